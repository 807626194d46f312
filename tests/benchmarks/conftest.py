"""What the benchmarks measure, small: a second of the demo clip, and the networks of the CPU."""

import pytest

from benchmarks import media
from benchmarks.media import Video
from models.errors import AssetUnavailable
from stream.config import RunSettings
from stream.load import Networks, load_networks


@pytest.fixture(scope="session")
def short() -> Video:
    """The first 24 frames of the demo clip."""
    try:
        return media.made_from_clip(640, 360, 24)
    except AssetUnavailable as error:
        pytest.skip(f"the demo clip could not be fetched: {error}")


@pytest.fixture(scope="session")
def networks() -> Networks:
    return load_networks(RunSettings(device="cpu"))
