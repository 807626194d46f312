"""What every source is: something that opens, yields frames, and tells how it is doing."""

import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

from stream.frame import Frame


class SourceState(StrEnum):
    """Where a source is in its life; each change is published on the status stream."""

    CONNECTING = "connecting"
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    ENDED = "ended"
    FAILED = "failed"


ReportState = Callable[[SourceState, str], None]
"""Called by the source's thread on each change of state, with a reason fit to print (never a password)."""


class Source(Protocol):
    """A file or camera. One thread reads it."""

    name: str
    """Unique in the run, and part of the Redis keys: letters, digits, '.', '_' and '-'."""
    live: bool
    """Live sources keep only the freshest frames when the pipeline is slower; files wait."""
    total_frames: int | None
    """How many frames a file says it holds, for progress bars; None when unknown."""
    decoder: str
    """`Decoder.description` of the stream that is read; empty before its first picture."""

    def frames(self, stop: threading.Event, report: ReportState) -> Iterator[Frame]:
        """Every frame in presentation order, until the end, `stop`, or an error.

        Reports CONNECTING, ONLINE and RECONNECTING itself; the pipeline reports ENDED and FAILED.
        Raises SourceInvalid or SourceUnreachable.
        """
        ...


def online_reason(codec: str, width: int, height: int, decoder: str) -> str:
    """What to say with ONLINE: `h264, 640x360, decoded by NVDEC`; plain decoding on the CPU goes without saying."""
    how = {"CPU": ""}.get(decoder, f", decoded {'on the' if decoder.startswith('CPU') else 'by'} {decoder}")
    return f"{codec}, {width}x{height}{how}"
