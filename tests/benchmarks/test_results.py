"""Where results are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Result, fresh_file

if TYPE_CHECKING:
    from pathlib import Path


def test_no_result_is_written_over(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = fresh_file(tmp_path, "abc1234")
        Result({}, [], []).save(path)
        names.append(path.name)
    assert len(set(names)) == 3
    assert [name.partition("abc1234")[2] for name in names] == [".json", "-2.json", "-3.json"]
    assert fresh_file(tmp_path, "another").name.endswith("-another.json")
