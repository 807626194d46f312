"""What decoding is: packets in, upright RGB pictures out, with an account of what was lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from stream.frame import Picture

if TYPE_CHECKING:
    MediaPacket = av.Packet[Any]
else:
    MediaPacket = av.Packet  # generic in its stubs only


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, and how many before it were lost."""

    rgb: "Picture | None"
    """Upright, full range, in the stream's own matrix. None for a live stream's picture that came when there was no
    room for it in the device's memory: it counts as dropped, for overload."""
    pts_s: float | None
    """Presentation time in the stream's own clock, seconds; None when it has none."""
    lost: int
    """Pictures between the previous one and this that were sent but could not be decoded."""


class Decoder(Protocol):
    """The decoder of one stream. Belongs to one thread. Damaged data never raises: it costs pictures."""

    @property
    def description(self) -> str:
        """For people: `CPU`, `NVDEC`, `DALI`, or `CPU (why not the GPU)`; of the last picture that came out."""
        ...

    @property
    def failures_in_a_row(self) -> int:
        """Packets refused since the last picture came out."""
        ...

    def decode(self, packet: MediaPacket | None) -> Iterator[Decoded | None]:
        """The pictures that `packet` completes, in presentation order; None gets the last ones at the end.

        Read it to its end before the next call. It yields None now and then while a file's picture waits for room in
        the device's memory, so that its reader can see whether to stop.
        """
        ...

    def lost_at_end(self) -> int:
        """Pictures sent since the last one that came out, and lost. Asked once, after the last `decode`."""
        ...


class Decoding(Protocol):
    """A way to decode, chosen once for a run and shared by its sources."""

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        """Opens a file or stream for reading. Raises av.error.FFmpegError for what is wrong with it."""
        ...

    def decoder(self, stream: VideoStream, *, live: bool) -> Decoder:
        """The decoder of a stream of such a container, before its first packet.

        What this way cannot decode, another decoder does, whose description says why.
        """
        ...
