"""Decoding on the CPU for networks on a device: each picture is copied there."""

from collections.abc import Callable, Iterator

import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.device import MemoryBudget
from stream.ingest.decode_cpu import RgbConverter, open_container, use_threads
from stream.ingest.decoder import Decoded, MediaPacket
from stream.ingest.device_memory import Room, upload
from stream.ingest.pictures import PictureReader

Warn = Callable[[str], None]
"""Told why the CPU decodes, where a GPU should."""


class UploadDecoding:
    """Decodes on the CPU, into a device's memory. Works alike with the CPU as the device."""

    def __init__(self, device: torch.device, budget: MemoryBudget, why: str = "") -> None:
        """`why` tells why not on the GPU; empty when that was asked for."""
        self._device = device
        self._budget = budget
        self._why = why

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        """See `Decoding`."""
        return open_container(url, options, demuxer=demuxer)

    def decoder(self, stream: VideoStream, *, live: bool) -> "UploadDecoder":
        """See `Decoding`."""
        return UploadDecoder(stream, self._device, self._budget, self._why, live=live)


class UploadDecoder:
    """The decoder of one stream; see `PictureReader` for what becomes of damaged data. Belongs to one thread."""

    def __init__(
        self,
        stream: VideoStream,
        device: torch.device,
        budget: MemoryBudget,
        why: str = "",
        *,
        live: bool,
        warn: Warn | None = None,
    ) -> None:
        """Prepares `stream`, before its first packet. `warn` is told `why` once a picture comes from the CPU."""
        self.description = f"CPU ({why})" if why else "CPU"
        self._why = why
        self._warn = warn
        self._reader = PictureReader(stream)
        self._rgb = RgbConverter()
        self._device = device
        self._room = Room(budget, stream, live=live)
        use_threads(stream, live=live)

    @property
    def failures_in_a_row(self) -> int:
        """Packets refused since the last picture came out."""
        return self._reader.failures_in_a_row

    def decode(self, packet: MediaPacket | None) -> Iterator[Decoded | None]:
        """See `Decoder`. The copies are queued on the caller's current CUDA stream."""
        for shown in self._reader.read(packet):
            if self._warn is not None:
                self._warn(self._why)
                self._warn = None
            yield from self._room.place(shown, self._uploaded)

    def lost_at_end(self) -> int:
        """See `Decoder`."""
        return self._reader.lost_at_end()

    def _uploaded(self, picture: VideoFrame) -> torch.Tensor:
        return upload(self._rgb(picture), self._device)
