"""`python -m forthwith`: the same command line as `forthwith`."""

from __future__ import annotations

from forthwith.cli import main

if __name__ == "__main__":
    main()
