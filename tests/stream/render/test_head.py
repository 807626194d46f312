"""The head that fits a face model, and what to give when it cannot be shipped."""

from pathlib import Path

import pytest

from models.errors import AssetError
from stream.config import RunSettings
from stream.errors import ConfigError
from stream.render.head import SMIRK_ASSETS, beside, check_head, open_head

SMIRK = RunSettings(face_model="smirk", checkpoint=Path("SMIRK_em1.pt"))


def test_the_default_model_is_drawn_on_the_open_head() -> None:
    assert open_head(RunSettings(), None).basis == "open"


def test_smirk_without_flame_is_told_what_to_give() -> None:
    with pytest.raises(ConfigError, match=r"--head generic_model\.pkl"):
        check_head(SMIRK, None)


def test_a_flame_file_that_is_not_there_or_not_needed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        check_head(SMIRK, tmp_path / "generic_model.pkl")
    with pytest.raises(ConfigError, match="--head is for --face-model smirk"):
        check_head(RunSettings(), tmp_path / "generic_model.pkl")


def test_a_file_that_is_not_flame_is_named(tmp_path: Path) -> None:
    (tmp_path / "FLAME2020").mkdir()
    flame = tmp_path / "FLAME2020" / "generic_model.pkl"
    flame.write_bytes(b"not FLAME")
    with pytest.raises(AssetError, match=r"generic_model\.pkl"):
        open_head(SMIRK, flame)


@pytest.mark.parametrize("flame", ["FLAME2020/generic_model.pkl", "generic_model.pkl"])
def test_smirks_files_are_found_where_its_assets_folder_has_them(tmp_path: Path, flame: str) -> None:
    for place in SMIRK_ASSETS.values():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    for place in SMIRK_ASSETS.values():
        assert beside(tmp_path / flame, place) == tmp_path / place


def test_smirks_files_are_found_beside_flame_and_else_looked_for_there(tmp_path: Path) -> None:
    flame = tmp_path / "models" / "generic_model.pkl"
    masks = flame.parent / "FLAME_masks.pkl"
    assert beside(flame, SMIRK_ASSETS["masks"]) == masks  # named in the error of who opens it
    masks.parent.mkdir()
    masks.touch()
    assert beside(flame, SMIRK_ASSETS["masks"]) == masks
