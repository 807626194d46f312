"""What the tests of whole runs share: a real clip, and a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.assets import fetch
from models.errors import AssetUnavailable
from stream.emit.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def clip() -> Path:
    """One face, 472 frames of 640x360."""
    try:
        return fetch("demo_clip")
    except AssetUnavailable as error:
        pytest.skip(f"the demo clip could not be fetched: {error}")


@pytest.fixture
def server() -> Iterator[str]:
    """URL of an empty server of the test's own."""
    with EmbeddedServer() as running:
        yield running.url
