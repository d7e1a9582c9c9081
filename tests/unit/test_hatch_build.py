"""The build fetches the libraries of the dashboard's pages, once, and packs nothing without them."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hatch_build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build's hook, with an npm that has what is asked for."""
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    def install(work: Path) -> None:
        for files in module.FILES.values():
            for file in files:
                place = work / "node_modules" / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(f"{file} of {(work / 'package-lock.json').stat().st_size} bytes")

    monkeypatch.setattr(module, "install", install)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing has been fetched."""
    shutil.copytree(
        ROOT / "frontend", tmp_path / "frontend", ignore=shutil.ignore_patterns("failed.txt")
    )
    return tmp_path


def hook(hatch_build: ModuleType, root: Path) -> Any:
    return hatch_build.FrontEnd(str(root), {}, None, None, "", "wheel")


def cannot_fetch(_work: Path) -> None:
    raise RuntimeError("nothing is asked for here")


def test_libraries_and_licences_are_fetched_once(
    hatch_build: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hook(hatch_build, checkout).dependencies() == [hatch_build.NPM]
    hook(hatch_build, checkout).initialize("standard", {})
    vendor = checkout / hatch_build.VENDOR
    assert sorted(str(path.relative_to(vendor)) for path in vendor.rglob("*.*")) == [
        "htmx/htmx.min.js",
        "lock.sha256",
        "uplot/uPlot.iife.min.js",
        "uplot/uPlot.min.css",
    ]
    assert sorted(path.parent.name for path in vendor.rglob("LICENSE")) == ["htmx", "uplot"]
    monkeypatch.setattr(hatch_build, "install", cannot_fetch)
    assert hook(hatch_build, checkout).dependencies() == []
    hook(hatch_build, checkout).initialize("standard", {})


def test_libraries_are_fetched_again_when_the_lockfile_has_changed(
    hatch_build: ModuleType, checkout: Path
) -> None:
    hook(hatch_build, checkout).initialize("standard", {})
    library = checkout / hatch_build.VENDOR / "htmx" / "htmx.min.js"
    before = library.read_text()
    with (checkout / "frontend" / "package-lock.json").open("a") as lock:
        lock.write("\n")
    assert hook(hatch_build, checkout).dependencies() == [hatch_build.NPM]
    hook(hatch_build, checkout).initialize("editable", {})
    assert library.read_text() != before


def test_nothing_is_packed_without_libraries_but_a_checkout_goes_on(
    hatch_build: ModuleType,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(_work: Path) -> None:
        raise hatch_build.FetchError("npm error: no route to anywhere")

    fetches = hatch_build.install
    monkeypatch.setattr(hatch_build, "install", refuse)
    with pytest.raises(
        SystemExit, match=r"Nothing was built: .*\n.*no route(.*\n)+.*npm's settings"
    ):
        hook(hatch_build, checkout).initialize("standard", {})
    hook(hatch_build, checkout).initialize("editable", {})
    said = (checkout / hatch_build.FAILURE).read_text()  # tools/setup.sh shows it
    assert "will show no charts" in said
    assert said in capsys.readouterr().err
    assert not hatch_build.is_fetched(checkout)
    monkeypatch.setattr(hatch_build, "install", fetches)
    hook(hatch_build, checkout).initialize("editable", {})
    assert not (checkout / hatch_build.FAILURE).exists()
    assert hatch_build.is_fetched(checkout)
