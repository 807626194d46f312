"""Decoding whole groups of pictures with DALI: the way with the most throughput on a GPU."""

import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakSet

import torch
from av.container import InputContainer
from av.video.stream import VideoStream

from models.device import DeviceArray, MemoryBudget
from stream.ingest.dali import CODECS, Dali, Refused
from stream.ingest.decoder import Decoded, Decoder, Decoding, MediaPacket
from stream.ingest.gop import MAX_PICTURES, Gop, GopCutter, Shown, codec_of, contain
from stream.ingest.gop_look import Look, look_of
from stream.redact import redact

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE = 8
"""Levels by which a picture of slowly changing colours may differ from the CPU decoder's: DALI interpolates chroma
between samples where that one repeats it, and where the stream's matrix is not BT.601 its 8-bit RGB is corrected
afterwards. Measured with VP9 on the CPU: 5, over every matrix and range. At edges of colours, and where DALI cut off
what BT.601 makes of strong colours of another matrix, single pixels differ without a bound."""
MEAN_DIFFERENCE = 2.0
"""The same on average over any picture. Measured: at most 1.3."""

GOPS_AT_ONCE = 4
"""Groups of one file that are decoded in one call, each on an NVDEC of its own where the GPU has several."""
MAX_REDECODING = 4.0
"""How often, on average, a picture of a group that does not fit into memory at once may be decoded: for each part of
it DALI starts from the group's first picture again."""
LEAST_SHARERS = 2
"""One call takes a source's even share of the memory budget, but no more than one part in so many."""
_COPIES = 2  # the pictures as DALI gives them, and as they are handed on

_WAIT_S = 1.0
_PATIENCE = 5  # waits before the call is made smaller

_REORDERED, _UNORDERED = ("h264", "hevc"), ("avi",)


class GopDecoding:
    """Groups of pictures through DALI; what it cannot decode, `otherwise` does, and the description says why.

    For files. A live stream's pictures all come when their group ends, so it adds the group's own length to the
    latency (1 to 10 s with most cameras); decode those picture by picture instead.
    """

    def __init__(
        self, device: torch.device, *, otherwise: Decoding, budget: MemoryBudget, gops_at_once: int = GOPS_AT_ONCE
    ) -> None:
        """Imports DALI, which takes 10 s. Raises EngineError when it is missing or does not work on `device`."""
        self._dali = Dali(device, at_once=gops_at_once)
        self._otherwise = otherwise
        self._budget = budget
        self._gops_at_once = gops_at_once
        self._decoders: WeakSet[GopDecoder] = WeakSet()

    def open(self, url: str, options: dict[str, str] | None = None, *, demuxer: str | None = None) -> InputContainer:
        """See `Decoding`."""
        return self._otherwise.open(url, options, demuxer=demuxer)

    def decoder(self, stream: VideoStream, *, live: bool) -> Decoder:
        """See `Decoding`."""
        otherwise = self._otherwise.decoder(stream, live=live)
        at_once = 1 if live else self._gops_at_once
        decoder = GopDecoder(
            stream,
            self._dali,
            otherwise,
            self._budget,
            gops_at_once=at_once,
            live=live,
            sharers=lambda: len(self._decoders),
        )
        codec, device = codec_of(stream), self._dali.device
        if codec not in CODECS[device.type]:
            decoder.give_up(f"no {codec} on the {'CPU' if device.type == 'cpu' else 'GPU'}")
        elif codec in _REORDERED and stream.container.format.name in _UNORDERED:
            decoder.give_up("this container does not say when pictures are shown")
        else:
            self._decoders.add(decoder)
        return decoder


_Made = tuple[DeviceArray, Shown]
_Missing = tuple[None, Shown]


@dataclass(frozen=True, slots=True)
class _Job:
    gop: Gop
    look: Look
    file: bytes

    @property
    def count(self) -> int:
        return len(self.gop.data)


class GopDecoder:
    """The decoder of one stream. Belongs to one thread.

    A group that DALI refuses is lost as a whole, counted in `lost`, and the next one goes on. A stream whose first
    group is refused, whose groups have no end or whose format DALI cannot read goes on with the decoder `otherwise`,
    from the start of that group, so that nothing is lost.
    """

    def __init__(
        self,
        stream: VideoStream,
        dali: Dali,
        otherwise: Decoder,
        budget: MemoryBudget,
        *,
        gops_at_once: int = GOPS_AT_ONCE,
        live: bool = False,
        sharers: Callable[[], int] = lambda: 1,
    ) -> None:
        """`otherwise` is a decoder of the same stream that has not been used.

        `sharers` tells how many decoders use the memory budget now.
        """
        self._stream = stream
        self._dali = dali
        self._otherwise = otherwise
        self._budget = budget
        self._gops_at_once = gops_at_once
        self._live = live
        self._sharers = sharers
        self._cutter = GopCutter(stream)
        self._waiting: deque[Gop] = deque()
        self._look: Look | None = None
        self._proven = False  # a group of this stream was decoded
        self._handed_over = False
        self.description = "DALI"
        self._lost = 0
        self._refused = 0

    @property
    def failures_in_a_row(self) -> int:
        """Groups refused since the last picture came out, or packets after another decoder took over."""
        return self._otherwise.failures_in_a_row if self._handed_over else self._refused

    def decode(self, packet: MediaPacket | None) -> Iterator[Decoded | None]:
        """See `Decoder`. Pictures come when their group, or several, have come to their end."""
        if self._handed_over:
            yield from self._by_other([packet])
        else:
            yield from self._by_groups(packet)

    def lost_at_end(self) -> int:
        """See `Decoder`."""
        lost = self._otherwise.lost_at_end() if self._handed_over else self._cutter.lost_at_end()
        return self._lost + lost

    def give_up(self, why: str) -> None:
        """Lets the other decoder do what comes from here on."""
        self._handed_over = True
        self.description = f"{self._otherwise.description} (DALI: {why})"

    def _by_groups(self, packet: MediaPacket | None) -> Iterator[Decoded | None]:
        if packet is None:
            self._waiting += self._cutter.finish()
        elif packet.size:
            self._waiting += self._cutter.add(packet)
        if packet is None or self._cutter.too_long or len(self._waiting) >= self._gops_at_once:
            while self._waiting and not self._handed_over:
                yield from self._decode_some()
        if self._cutter.too_long and not self._handed_over:
            yield from self._hand_over(f"{MAX_PICTURES} pictures without a place to cut")
        if packet is None and self._handed_over:
            yield from self._by_other([None])

    def _decode_some(self) -> Iterator[Decoded | None]:
        """Decodes the next group, with those after it that fit into the same call."""
        gop = self._waiting[0]
        look = self._look_of(gop) if gop.shown else None
        if look is None and gop.shown and not self._proven:
            yield from self._hand_over("its first picture cannot be decoded")
            return
        if look is None:
            self._waiting.popleft()
            self._refused += 1
            self._lose(gop.shown, gop.lost_after)
            return
        why = self._unfit(gop, look)
        jobs = [] if why else self._next_jobs(look)
        if len(jobs) > 1 and (yield from self._decode_together(jobs)):
            return
        while jobs and not why:
            why = yield from self._decode_alone(jobs[0])
            if not why:
                del jobs[0]
        self._waiting.extendleft(job.gop for job in reversed(jobs))
        if why:
            yield from self._hand_over(why)

    def _next_jobs(self, look: Look) -> list[_Job]:
        """The groups for one call: with the same look, all pictures of all at once in memory; or one, of any length."""
        jobs: list[_Job] = []
        room = self._capacity(look)
        while self._waiting and len(jobs) < self._gops_at_once:
            gop = self._waiting[0]
            room -= len(gop.data)
            if jobs and (room < 0 or not gop.shown or gop.parameters != look.parameters):
                break
            self._waiting.popleft()
            jobs.append(_Job(gop, look, contain(gop, self._stream, look.width, look.height)))
        return jobs

    def _decode_together(self, jobs: list[_Job]) -> Generator[Decoded | None, None, bool]:
        """Whether it could be done: else nothing is lost yet, and each group is to be tried alone."""
        reserved = sum(job.count for job in jobs) * _COPIES * jobs[0].look.size
        if not (yield from self._room(reserved)):
            return False
        try:
            made = self._call(jobs, None, reserved)
        except Refused:
            return False
        for job, pictures in zip(jobs, made, strict=True):
            yield from self._show(pictures)
            self._lost += job.gop.lost_after
        return True

    def _decode_alone(self, job: _Job) -> Generator[Decoded | None, None, str]:
        """Decodes a group in as many parts as its memory needs.

        Returns why another decoder should do it instead; then nothing of it has been shown.
        """
        shown, part, first = job.gop.shown, self._capacity(job.look), 0
        while first <= shown[-1].place:
            part = min(part, job.count - first)
            reserved = part * _COPIES * job.look.size
            here = [picture for picture in shown if first <= picture.place < first + part]
            if not (yield from self._room(reserved)):
                if self._live:
                    first += part
                    yield from self._show(deque((None, picture) for picture in here))
                part = max(1, part // 2)
                continue
            try:
                made = self._call([job], None if part == job.count else (first, part), reserved)
            except Refused as error:
                if not self._proven:
                    return f"it refuses this stream, {error}"
                if not self._refused:
                    name = redact(str(self._stream.container.name))
                    log.warning("%s: pictures up to the next key picture are lost, DALI refuses them: %s", name, error)
                self._refused += 1
                self._lose(tuple(picture for picture in shown if picture.place >= first), job.gop.lost_after)
                return ""
            yield from self._show(made[0])
            first += part
        self._lost += job.gop.lost_after
        return ""

    def _call(self, jobs: list[_Job], window: tuple[int, int] | None, reserved: int) -> list[deque[_Made]]:
        """What DALI makes of each group, in memory of its own: `reserved` bytes, given back where not needed.

        Raises Refused.
        """
        try:
            if window:
                sequences = [self._dali.decode_part(jobs[0].file, *window)]
            else:
                sequences = self._dali.decode([job.file for job in jobs])
            # Each is let go as soon as its pictures are copied.
            made = [self._copies(job, window or (0, job.count), sequences.pop(0)) for job in jobs]
        except Refused:
            self._budget.release(reserved)
            raise
        self._proven = True
        for job, pictures in zip(jobs, made, strict=True):
            for picture, _ in pictures:
                self._budget.bind(picture, job.look.size)
                reserved -= job.look.size
        self._budget.release(reserved)
        return made

    def _copies(self, job: _Job, window: tuple[int, int], sequence: torch.Tensor) -> deque[_Made]:
        """The pictures to show of a part of a group; Refused when it is not the part that was asked for."""
        (first, count), look = window, job.look
        expected = (count, look.height, look.width, 3)
        if sequence.shape != expected:
            raise Refused(f"it gives {tuple(sequence.shape)} for {expected}")
        return deque(
            (DeviceArray(look.picture(sequence[shown.place - first])), shown)
            for shown in job.gop.shown
            if first <= shown.place < first + count
        )

    def _show(self, pictures: "deque[_Made] | deque[_Missing]") -> Iterator[Decoded]:
        while pictures:
            yield self._decoded(*pictures.popleft())  # no name here keeps the picture while it is used elsewhere

    def _decoded(self, picture: DeviceArray | None, shown: Shown) -> Decoded:
        lost, self._lost = self._lost + shown.lost, 0
        self._refused = 0
        time_base = self._stream.time_base
        pts_s = float(shown.pts * time_base) if shown.pts is not None and time_base else None
        return Decoded(picture, pts_s, lost)

    def _lose(self, shown: tuple[Shown, ...], lost_after: int) -> None:
        self._lost += sum(1 + picture.lost for picture in shown) + lost_after

    def _room(self, count: int) -> Generator[None, None, bool]:
        """Whether `count` bytes could be reserved; a file waits longer, and its reader is asked each second."""
        for _ in range(1 if self._live else _PATIENCE):
            if self._budget.reserve(count, _WAIT_S):
                return True
            if not self._live:
                yield None
        return False

    def _hand_over(self, why: str) -> Iterator[Decoded | None]:
        """From here on the other decoder, beginning with what has not been decoded yet."""
        self.give_up(why)
        packets = [packet for gop in self._waiting for packet in gop.packets] + self._cutter.pending()
        self._waiting.clear()
        yield from self._by_other(packets)

    def _by_other(self, packets: Sequence[MediaPacket | None]) -> Iterator[Decoded | None]:
        for packet in packets:
            for decoded in self._otherwise.decode(packet):
                if decoded is not None:
                    lost, self._lost = self._lost, 0
                    decoded = replace(decoded, lost=decoded.lost + lost) if lost else decoded
                yield decoded

    def _look_of(self, gop: Gop) -> Look | None:
        if self._look is None or self._look.parameters != gop.parameters:
            self._look = look_of(gop, self._stream, self._dali.device)
        return self._look

    def _capacity(self, look: Look) -> int:
        """Pictures in one call."""
        return self._budget.limit_bytes // (self._shares() * _COPIES * look.size)

    def _shares(self) -> int:
        return max(LEAST_SHARERS, self._sharers())

    def _unfit(self, gop: Gop, look: Look) -> str:
        """Why DALI should not decode the group; '' when it should."""
        if look.unreadable:
            return look.unreadable
        pictures, room = len(gop.data), self._capacity(look)
        if room and (math.ceil(pictures / room) + 1) / 2 <= MAX_REDECODING:
            return ""
        needed = pictures * look.size * self._shares() * _COPIES / 2**20
        return f"groups of {pictures} pictures want {needed:.0f} MiB of memory for pictures, shared by all sources"
