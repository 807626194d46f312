"""What is asked of valence-arousal, on affects that are made up."""

from pathlib import Path

import pytest

from models.spec import Affect
from train.errors import MediaError
from train.evaluate.affect import GRINS, PICTURES, SMILES, read_labelled, requirements
from train.evaluate.report import Figure

GOOD = {
    **dict.fromkeys(SMILES, Affect(0.7, 0.4)),
    **dict.fromkeys(GRINS, Affect(0.8, 0.5)),
    "faint smile": Affect(0.2, 0.1),
    "serious boy": Affect(0.0, 0.02),
    "acted anger": Affect(-0.1, 0.1),
    "acted surprise": Affect(0.3, 0.6),
    "acted disgust": Affect(-0.1, 0.1),
}


def missed(affects: dict[str, Affect]) -> list[str]:
    return [what for what, value, target in requirements(affects) if not Figure(what, value, target=target).met]


def test_every_picture_is_asked_about_and_good_affects_pass() -> None:
    assert GOOD.keys() == PICTURES.keys()
    assert missed(GOOD) == []
    for name in PICTURES:
        assert missed(GOOD | {name: Affect(-0.9 if GOOD[name].valence > 0 else 0.9, -0.9)}), name


def test_a_neutral_answer_to_everything_is_not_enough() -> None:
    failed = missed(dict.fromkeys(PICTURES, Affect(0.0, 0.0)))
    assert "acted anger: valence" in failed
    assert "acted disgust: valence" in failed
    assert "acted surprise: arousal" in failed


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"15-f13-anc-ph\.jpg: no such picture; give --media"):
        read_labelled(tmp_path, PICTURES["acted anger"])
