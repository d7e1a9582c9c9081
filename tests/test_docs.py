"""The README and docs/ hold what they say: examples run, links lead somewhere, names exist.

An example is a fenced block that begins with three backticks and `python`. It is run as a program
of its own, on a database of its own; if it defines test functions, by pytest. A block that begins
with `python fragment` is no whole program: it only has to be valid Python.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from procrastinate.tasks import ConfigureTaskOptions

import forthwith
from forthwith.task import Task
from forthwith.worker import Worker
from tests.conftest import HOME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
EXAMPLE_MAX_S = 90.0
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *DOCS]
TEXTS = {page: page.read_text("utf-8") for page in PAGES}
SETTINGS = (ROOT / "docs/reference/settings.md").read_text("utf-8")

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced Python block of a page."""

    page: Path
    line: int
    info: str
    body: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*infos: str) -> list[Block]:
    """Return the blocks of all pages that begin with one of these words."""
    return list(_blocks(infos))


def _blocks(infos: tuple[str, ...]) -> Iterator[Block]:
    for page, text in TEXTS.items():
        for found in _BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            if found["info"].strip() in infos:
                yield Block(page, line, found["info"].strip(), found["body"])


def _name(value: object) -> str:
    return str(value.relative_to(ROOT) if isinstance(value, Path) else value)


@pytest.mark.parametrize("example", blocks("python"), ids=str)
def test_example_runs(example: Block, database_url: str, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(example.body, "utf-8")
    command = [sys.executable, str(program)]
    if re.search(r"^\s*(async )?def test_", example.body, re.MULTILINE):
        options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir=."]
        command = [sys.executable, "-m", "pytest", *options, program.name]
    # FORTHWITH_HOME is for the one example that opens the embedded server itself.
    environment = {
        **os.environ,
        "FORTHWITH_DATABASE_URL": database_url,
        "FORTHWITH_HOME": str(HOME),
    }
    environment.pop("FORTHWITH_APP", None)
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=EXAMPLE_MAX_S,
        check=False,
    )
    assert ended.returncode == 0, f"{example} fails:\n{ended.stdout}"
    assert "Traceback" not in ended.stdout, f"{example} logs an error:\n{ended.stdout}"


@pytest.mark.parametrize("fragment", blocks("python fragment"), ids=str)
def test_fragment_is_valid_python(fragment: Block) -> None:
    compile(fragment.body, str(fragment), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_python_blocks_are_marked_in_one_of_two_ways() -> None:
    infos = {found["info"] for text in TEXTS.values() for found in _BLOCK.finditer(text)}
    assert {info for info in infos if "py" in info} <= {"python", "python fragment"}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    prose = _BLOCK.sub("", TEXTS[page])
    targets = [found["target"] for found in _LINK.finditer(prose)]
    broken = [target for target in targets if not _leads_somewhere(page, target)]
    assert not broken


def _leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True  # another site: tests stay on this machine
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or ROOT not in (file, *file.parents):
        return False
    return not anchor or anchor in _anchors(file)


def _anchors(file: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    prose = _BLOCK.sub("", file.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCS, ids=_name)
def test_every_page_is_in_the_index(page: Path) -> None:
    index = ROOT / "docs/index.md"
    linked = {
        (index.parent / found["target"].partition("#")[0]).resolve()
        for found in _LINK.finditer(TEXTS[index])
    }
    assert page == index or page in linked


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    names = set(_CODE.findall(_BLOCK.sub("", TEXTS[page])))
    missing_tests = {name for name in names if re.fullmatch(r"test_\w+", name)} - _test_names()
    assert not missing_tests
    assert not [name for name in names if _is_source(name) and not _is_there(name)]


def _is_source(name: str) -> bool:
    """Whether a name in backticks is a file of ours; what users write has no such directory."""
    places = "src|tests|app|docs|benchmarks|tools|engine|store|database|cli"
    return re.fullmatch(rf"({places})/[\w./-]+\.(py|sql|md)", name) is not None


def _is_there(name: str) -> bool:
    return any((place / name).exists() for place in (ROOT, ROOT / "src/forthwith"))


def _test_names() -> set[str]:
    sources = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py")]
    return {name for text in sources for name in re.findall(r"def (test_\w+)", text)} | {
        file.stem for file in (ROOT / "tests").rglob("test_*.py")
    }


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        target for text in TEXTS.values() for target in re.findall(r"(?:^|`)make ([a-z]+)", text)
    }
    assert named <= targets


def test_every_environment_variable_is_documented() -> None:
    sources = [file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py")]
    variables = {name for text in sources for name in re.findall(r"\bFORTHWITH_[A-Z_]+\b", text)}
    assert not [name for name in sorted(variables) if f"`{name}`" not in SETTINGS]


@pytest.mark.parametrize(
    ("heading", "callable_"),
    [("App", forthwith.App.__init__), ("Worker", Worker.__init__), ("Task", Task.__init__)],
)
def test_every_option_is_documented(heading: str, callable_: Callable[..., object]) -> None:
    names = set(inspect.signature(callable_).parameters) - {"self", "app", "func", "blueprint"}
    assert not [name for name in sorted(names) if f"| `{name}`" not in _section(heading)]


def test_every_option_of_configure_is_documented() -> None:
    names = ConfigureTaskOptions.__annotations__
    assert not [name for name in names if f"| `{name}`" not in _section("Job")]


def _section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", SETTINGS, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/settings.md has no heading `## {heading}`"
    return found[1]
