"""The open head, and its faces, opened once: making skins and walls takes seconds."""

import pytest

from models.head import HeadModel
from models.open_head import load_open_head
from train.synthetic.faces import SyntheticFaces


@pytest.fixture(scope="session")
def head() -> HeadModel:
    return load_open_head()


@pytest.fixture(scope="session")
def faces(head: HeadModel) -> SyntheticFaces:
    """Faces that nothing hides, already opened."""
    opened = SyntheticFaces(head, seed=11, batch_size=3, occluders=False)
    opened.batch([0])
    return opened
