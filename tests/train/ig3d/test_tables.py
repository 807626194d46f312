"""The paper's tables as data, and ours beside them."""

import json

import pytest

from train.errors import TrainingError
from train.ig3d.evaluation import VECTORS, rows_of
from train.ig3d.tables import TABLES, beside, paper_table


@pytest.mark.parametrize("number", range(2, 9))
def test_tables_are_whole(number: int) -> None:
    table = paper_table(number)
    assert table.number == number
    names = [row.name for row in table.rows]
    assert len(names) == len(set(names))
    for row in table.rows:
        assert set(row.cells) <= set(table.columns)
        assert all(0 <= value <= 1 for value in row.cells.values())
        assert not row.invalid or row.note.startswith("invalid")
    assert json.loads(json.dumps(table.to_json()))["title"] == table.title


def test_what_leaks_is_marked() -> None:
    invalid = {(number, row.name) for number, table in TABLES.items() for row in table.rows if row.invalid}
    assert {(5, f"late, EMOCA, {rule}") for rule in ("max", "mean", "weighted")} | {(6, "Ours")} <= invalid


@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("number", TABLES)
def test_rows_that_files_fill_are_there(number: int, vectors: str) -> None:
    rows = rows_of(number, vectors, fused=True)
    assert rows
    assert set(rows) <= {row.name for row in TABLES[number].rows}


def test_ours_stand_beside_with_their_difference() -> None:
    table = paper_table(7)
    cells = {(cell.row, cell.column): cell for cell in beside(table, {"late, mean": {"ccc": 0.8}})}
    assert len(cells) == 7 * 4
    told = cells["late, mean", "ccc"]
    assert told.difference == pytest.approx(0.8 - 0.7891)
    assert told.to_json()["difference"] == told.difference
    assert cells["late, max", "ccc"].ours is None
    assert cells["late, max", "ccc"].difference is None


def test_unknown_cells_stay_unknown() -> None:
    (cell,) = (
        cell
        for cell in beside(paper_table(5), {"intermediate, SMIRK": {"accuracy": 0.9}})
        if (cell.row, cell.column) == ("intermediate, SMIRK", "accuracy")
    )
    assert (cell.paper, cell.ours, cell.difference) == (None, 0.9, None)


def test_tables_and_rows_there_are_not() -> None:
    with pytest.raises(TrainingError, match="table 1, expected one of 2, 3, 4, 5, 6, 7, 8"):
        paper_table(1)
    with pytest.raises(TrainingError, match="table 8 has no row nobody, expected Ours, CAGE"):
        beside(paper_table(8), {"nobody": {}})
