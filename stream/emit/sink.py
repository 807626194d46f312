"""What every sink is: where events go, and the accounts of which frames arrived there."""

from collections.abc import Callable
from typing import Protocol

from stream.emit.event import FrameEvents
from stream.emit.schema import StatusEvent

CountFrames = Callable[[str, int], None]
"""Told a source and how many more of its frames were published (or could not be); called by the sink's own thread."""


class Sink(Protocol):
    """Takes events off the hot path and keeps their order. Any thread may call `put` and `status`.

    Delivery is at least once: an event is counted as published only when the server has acknowledged it.
    """

    def open(self) -> None:
        """Reach the server. Raises SinkRefused, SinkUnreachable."""
        ...

    def put(self, frame: FrameEvents) -> None:
        """Take the face events of a frame (its `status` goes to `status`); waits while the sink is full.

        Raises SinkRefused once the server has refused.
        """
        ...

    def status(self, event: StatusEvent) -> None:
        """Take a status event; never waits. Raises SinkRefused once the server has refused."""
        ...

    def flush(self, deadline_s: float) -> bool:
        """Wait until all that was put so far is acknowledged; False if the deadline came first. Raises SinkRefused."""
        ...

    def published(self, source: str) -> int:
        """How many frames of a source have at least one event and every event acknowledged."""
        ...

    def close(self, deadline_s: float = 10.0) -> dict[str, int]:
        """Send what waits, then stop; how many frames of each source could not be published, empty when all were.

        Raises SinkRefused if the server refused and no earlier call has raised it.
        """
        ...
