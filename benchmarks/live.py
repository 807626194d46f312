"""Synthetic cameras: a file's packets, read once, sent again and again at the pace of the clock."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from stream.frame import Frame
from stream.ingest.decoder import Decoding, MediaPacket
from stream.ingest.source import ReportState, SourceState, online_reason
from stream.ingest.timeline import OnDrop, Timeline, ignore_drops


@dataclass(frozen=True, slots=True)
class Footage:
    """The packets of a file without B-frames, in memory, for any number of cameras."""

    path: Path
    packets: tuple[tuple[bytes, bool], ...]
    """Data, and whether it is a key frame."""
    ticks: int
    """Of `time_base` from frame to frame."""
    time_base: Fraction

    @classmethod
    def read(cls, path: Path) -> "Footage":
        """Raises ValueError for a file that cannot be played in a loop: another order of frames, no key frame first."""
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            stamps = [packet.pts for packet in packets]
            time_base = Fraction(stream.time_base.numerator, stream.time_base.denominator) if stream.time_base else None
        if time_base is None or len(packets) < 2 or not packets[0].is_keyframe:
            raise ValueError(f"{path}: expected two frames or more with time stamps, the first a key frame")
        ticks = (stamps[1] or 0) - (stamps[0] or 0)
        if ticks <= 0 or stamps != [(stamps[0] or 0) + number * ticks for number in range(len(stamps))]:
            raise ValueError(f"{path}: expected a constant frame rate without B-frames")
        return cls(path, tuple((bytes(packet), packet.is_keyframe) for packet in packets), ticks, time_base)

    @property
    def frame_s(self) -> float:
        """Seconds of the file's own time from frame to frame."""
        return float(self.ticks * self.time_base)

    def packet(self, number: int) -> MediaPacket:
        """The packet of frame `number`, counted on through the repetitions."""
        data, is_keyframe = self.packets[number % len(self.packets)]
        packet = MediaPacket(data)
        packet.pts = packet.dts = number * self.ticks
        packet.duration = self.ticks
        packet.time_base = self.time_base
        packet.is_keyframe = is_keyframe
        return packet


class Gate:
    """Lets all cameras begin together, once the last of them has opened its decoder."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._begin_s = 0.0
        self.wall_less_monotonic_s = _clock_difference_s()
        """Adds to a moment of the monotonic clock to give the wall clock's; one for all cameras."""
        self._changed = threading.Condition()

    def arrive(self, stop: threading.Event) -> float | None:
        """The moment of beginning on the monotonic clock, the same for all; None when `stop` came first."""
        with self._changed:
            self._missing -= 1
            if self._missing == 0:
                self._begin_s = time.monotonic() + 0.1
                self._changed.notify_all()
            while self._missing > 0:
                if stop.is_set():
                    return None
                self._changed.wait(0.1)
            return self._begin_s


class LiveSource:
    """A camera: `stream.ingest.source.Source`, live. Frame n is due at the same moment whether or not anyone keeps up.

    `captured_ms` is that moment, so that all that comes after it counts as delay: waiting for the decoder too.
    """

    live = True

    def __init__(
        self,
        footage: Footage,
        decoding: Decoding,
        gate: Gate,
        *,
        name: str,
        fps: float,
        frames: int,
        delay_s: float = 0.0,
        on_drop: OnDrop = ignore_drops,
    ) -> None:
        """Sends `frames` frames, the first `delay_s` after the gate opened."""
        self.name = name
        self.total_frames: int | None = frames
        self.decoder = ""
        self.sent = 0
        """Packets given to the decoder so far."""
        self.latest_s = 0.0
        """The furthest that a packet was sent behind its moment: this thread was kept from running, or decoding."""
        self.decode_s = 0.0
        """Time that went into decoding."""
        self._footage, self._decoding, self._gate = footage, decoding, gate
        self._fps, self._frames, self._delay_s = fps, frames, delay_s
        self._on_drop = on_drop

    def frames(self, stop: threading.Event, report: ReportState) -> Iterator[Frame]:
        """See `Source`."""
        report(SourceState.CONNECTING, f"playing {self._footage.path.name}")
        timeline = Timeline(self.name, self._on_drop, interval_s=1 / self._fps)
        with self._decoding.open(f"file:{self._footage.path}") as container:
            stream = container.streams.video[0]
            decoder = self._decoding.decoder(stream, live=True)
            begin_s = self._gate.arrive(stop)
            if begin_s is None:
                return
            begin_s += self._delay_s
            wall_s = begin_s + self._gate.wall_less_monotonic_s
            for packet in self._paced(stop, begin_s):
                started_s = time.perf_counter()
                pictures = list(decoder.decode(packet))
                self.decode_s += time.perf_counter() - started_s
                for decoded in pictures:
                    if decoded is None:
                        continue
                    timeline.dropped("decode_error", decoded.lost)
                    number = timeline.received if decoded.pts_s is None else self._number(decoded.pts_s)
                    moment_s = number / self._fps
                    timeline.step(moment_s, None)
                    if decoded.rgb is None:
                        timeline.dropped("overload", 1)
                        continue
                    height, width = decoded.rgb.shape[:2]
                    if not self.decoder:
                        self.decoder = decoder.description
                        report(SourceState.ONLINE, online_reason(stream.codec.name, width, height, self.decoder))
                    yield Frame(timeline.stamp(round((wall_s + moment_s) * 1000), width, height), decoded.rgb)
            timeline.dropped("decode_error", decoder.lost_at_end())

    def _paced(self, stop: threading.Event, begin_s: float) -> Iterator[MediaPacket | None]:
        """Each packet at its moment; None at the end, for what the decoder holds back."""
        for number in range(self._frames):
            left_s = begin_s + number / self._fps - time.monotonic()
            if stop.wait(left_s) if left_s > 0 else stop.is_set():
                break
            self.latest_s = max(self.latest_s, -left_s)
            self.sent += 1
            yield self._footage.packet(number)
        yield None

    def _number(self, pts_s: float) -> int:
        return round(pts_s / self._footage.frame_s)


def _clock_difference_s(tries: int = 5) -> float:
    """The wall clock less the monotonic one; of the reading that was least interrupted."""
    readings = []
    for _ in range(tries):
        before_s, wall_s, after_s = time.monotonic(), time.time(), time.monotonic()
        readings.append((after_s - before_s, wall_s - (before_s + after_s) / 2))
    return min(readings)[1]
