#!/bin/sh
# Build or update .venv: everything that development needs, at the versions of constraints.txt.
#
# Run by `make setup`. Nothing outside the checkout is written, apart from pip's own cache.
set -eu
cd "$(dirname "$0")/.."

# An interrupted run, or a Python that has been uninstalled since, leaves a .venv that can't be used.
if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python="$(sh tools/find_python.sh)"
    echo "Creating .venv with $("$python" --version)"
    if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        "$python" -m venv --clear .venv
    elif "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet --clear .venv
    else
        echo "$python can't create virtual environments: it has neither ensurepip nor virtualenv." >&2
        echo "On Debian and Ubuntu: apt install python3-venv. Elsewhere: pip install virtualenv." >&2
        exit 1
    fi
fi

echo "Installing forthwith and its development tools into .venv"
.venv/bin/python -m pip install --quiet pip
.venv/bin/python -m pip install --quiet --editable '.[dev]'

# pip says nothing of what a build that went well had to say: here it went well, but without the libraries of
# the dashboard's pages.
if [ -f frontend/failed.txt ]; then
    printf '\n*** WARNING ***\n' >&2
    cat frontend/failed.txt >&2
fi
