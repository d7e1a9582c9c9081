"""What pages load: little, from here alone, never before the page itself, and with its licences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forthwith.web.pages import libraries
from tests.web.test_pages import PATHS, Reader, read

if TYPE_CHECKING:
    import httpx

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "src" / "forthwith" / "web" / "static" / "vendor"
ASSETS_BYTES_MAX = 300_000
needs_libraries = pytest.mark.skipif(
    not libraries.are_there(), reason="the libraries of the pages are missing: `make -B setup`"
)


def assets(page: Reader) -> list[str]:
    """Return what a page loads."""
    scripts = [script["src"] for script in page.all("script")]
    styles = [link["href"] for link in page.all("link") if link["rel"] == "stylesheet"]
    return [str(address) for address in (*scripts, *styles)]


async def test_pages_load_little_and_wait_for_no_script(client: httpx.AsyncClient) -> None:
    for path in PATHS:
        page = await read(client, path)
        for script in page.all("script"):
            assert "defer" in script or script.get("type") == "module", (path, script)
        loaded = [await client.get(address) for address in assets(page)]
        assert all(answer.status_code == 200 for answer in loaded), path
        assert 0 < sum(len(answer.content) for answer in loaded) < ASSETS_BYTES_MAX, path


@needs_libraries
async def test_pages_load_the_libraries_that_they_use(client: httpx.AsyncClient) -> None:
    names = {Path(address).name for address in assets(await read(client, "/"))}
    assert {"htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css"} <= names
    others = {Path(address).name for address in assets(await read(client, "/jobs"))}
    assert "htmx.min.js" in others
    assert "uPlot.iife.min.js" not in others


async def test_pages_leave_out_libraries_that_are_missing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "are_there", lambda: False)
    for path in PATHS:
        assert assets(await read(client, path)) == ["/static/style.css"], path
    assert "The charts in numbers" in (await read(client, "/")).text


@needs_libraries
def test_libraries_are_pinned_and_their_licences_lie_beside_them() -> None:
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text())
    told = (ROOT / "THIRD_PARTY.md").read_text()
    packages = {path.split("/")[-1]: each for path, each in lock["packages"].items() if path}
    for name, package in packages.items():
        folder = name.removesuffix(".org")
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name
        assert package["version"] in told, name
        assert f"vendor/{folder}/LICENSE" in told, name
        assert (VENDOR / folder / "LICENSE").read_text().strip(), name
    assert {folder.name for folder in VENDOR.iterdir() if folder.is_dir()} == {
        name.removesuffix(".org") for name in packages
    }
