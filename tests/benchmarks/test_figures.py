"""Figures: their spread, their place beside a floor, and their being saved as they come."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.figures import Floor, Row, Section, Spread, table_of, update_section, write_json


def row(rate: float, floor: float | None = None) -> Row:
    return Row("decode", Spread.of([rate], "frames/s"), None if floor is None else Floor(floor, "the decoder"))


def test_a_spread_is_the_median_with_its_extremes() -> None:
    spread = Spread.of([3.0, 1.0, 100.0], "frames/s")
    assert (spread.median, spread.minimum, spread.maximum, spread.repeats) == (3, 1, 100, 3)


def test_a_figure_is_shown_as_a_share_of_its_floor() -> None:
    assert row(50, 200).share == 0.25
    assert row(50).share is None


def test_every_row_is_on_disk_as_soon_as_it_is_known(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    write_json(results, {"sections": {}})
    section = Section("decode", results=results)
    section.add(row(50, 200))
    section.skip("nvdec", "no GPU")
    saved = json.loads(results.read_text())["sections"]["decode"]
    assert [one["figure"]["median"] for one in saved["rows"]] == [50]
    assert saved["rows"][0]["share_of_floor"] == 0.25
    assert saved["not_measured"] == {"nvdec": "no GPU"}
    update_section(results, "decode", {"status": "ok"})
    assert json.loads(results.read_text())["sections"]["decode"] == saved | {"status": "ok"}


def test_what_there_was_no_time_for_says_so() -> None:
    section = Section("engines", limit_s=-1)
    assert not section.has_time("smirk, batch 512")
    assert "time limit" in section.not_measured["smirk, batch 512"]
    assert Section("engines", limit_s=60).has_time("smirk", need_s=10)


@pytest.mark.parametrize("wanted", ["25.0%", "the decoder", "no GPU", "needs flamestream[gpu]", "it broke"])
def test_a_table_shows_figures_floors_gaps_and_failures(wanted: str) -> None:
    section = Section("decode")
    section.add(row(50, 200))
    section.skip("nvdec", "no GPU")
    section.skip("gop", "needs flamestream[gpu]")
    console = Console(file=io.StringIO(), width=160)
    console.print(table_of("decode", section.to_json() | {"error": "it broke"}))
    assert isinstance(console.file, io.StringIO)
    assert wanted in console.file.getvalue()
