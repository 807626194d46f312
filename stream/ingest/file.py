"""A video file as a source: every frame, in presentation order."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from stream.errors import SourceInvalid
from stream.frame import Frame
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decoder import Decoded, Decoder, Decoding, MediaPacket
from stream.ingest.source import ReportState, SourceState, online_reason
from stream.ingest.timeline import OnDrop, Timeline, ignore_drops

MAX_FAILURES_IN_A_ROW = 300
"""Packets without a picture until a file is given up. One lost key frame can cost all up to the next, and encoders
put key frames up to 250 or 300 frames apart: fewer would give up files that recover."""

_MISSING_END_S = 1.0
_MISSING_END_SHARE = 0.05


class FileSource:
    """A video file, an animated GIF, or a picture (one frame).

    Raises SourceInvalid when made, if the file cannot be opened as a video. Damaged parts cost their frames, which
    are counted as `on_drop("decode_error", n)`; the rest goes on.
    """

    live = False

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        decoding: Decoding | None = None,
        on_drop: OnDrop = ignore_drops,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`wall_s` gives the start of the run, seconds since 1970, to which pts are added for `captured_ms`."""
        self.path = path
        self.name = name
        self.decoder = ""
        self._decoding = decoding or CpuDecoding()
        self._on_drop = on_drop
        self._wall_s = wall_s
        with _open(path, CpuDecoding()) as container:  # nothing is decoded
            self.total_frames: int | None = _total_frames(container, _video_stream(container, path))

    def frames(self, stop: threading.Event, report: ReportState) -> Iterator[Frame]:
        """Every frame that decodes; then SourceInvalid if the file broke off before its declared end.

        `pts_s` is the file's own; a missing stamp becomes the previous plus one frame interval, one that does not
        increase the previous plus 1 ms, and one that steps back by more than a second begins a new epoch.
        """
        report(SourceState.CONNECTING, f"opening {self.path}")
        with _open(self.path, self._decoding) as container:
            stream = _video_stream(container, self.path)
            decoder = self._decoding.decoder(stream, live=False)
            rate = stream.guessed_rate or stream.average_rate
            timeline = Timeline(self.name, self._on_drop, interval_s=float(1 / rate) if rate else 0.04)
            reading = _Reading(self.path, container, stream)
            started_s, media_s, published = self._wall_s(), 0.0, 0
            for decoded in reading.pictures(decoder):
                if stop.is_set():
                    return
                if decoded is None:
                    continue
                timeline.dropped("decode_error", decoded.lost)
                media_s += timeline.step(decoded.pts_s, None)
                if decoded.rgb is None:
                    timeline.dropped("overload", 1)
                    continue
                height, width = decoded.rgb.shape[:2]
                self.decoder = decoder.description
                if not published:
                    reason = online_reason(stream.codec_context.name, width, height, self.decoder)
                    report(SourceState.ONLINE, reason)
                yield Frame(timeline.stamp(round((started_s + media_s) * 1000), width, height), decoded.rgb)
                del decoded  # its memory is not to be held while the next one waits for room
                published += 1
            timeline.dropped("decode_error", decoder.lost_at_end() + reading.cut_packets)
            reading.check_end(published, self.total_frames)


class _Reading:
    """Reads a file's packets to the end, and tells whether that was its declared end."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self._path = path
        self._container = container
        self._stream = stream
        self._packets = 0
        self._end_s = 0.0
        self._failure = ""
        self.cut_packets = 0
        """1 when the file ends inside a frame."""

    def pictures(self, decoder: Decoder) -> Iterator[Decoded | None]:
        """What decodes, until the end or the first thing that cannot be read."""
        cut: MediaPacket | None = None
        for packet in self._read():
            if cut is not None:
                yield from decoder.decode(cut)
                cut = None
            if packet.is_corrupt:
                cut = packet  # fed only if it is not the last: half a frame there would spoil the ones still held back
                continue
            yield from decoder.decode(packet)
            if decoder.failures_in_a_row > MAX_FAILURES_IN_A_ROW:
                self._failure = f"{MAX_FAILURES_IN_A_ROW} packets in a row could not be decoded"
                return
        if cut is not None:
            self.cut_packets = 1
            self._failure = "the file ends inside a frame"
        yield from decoder.decode(None)

    def check_end(self, published: int, total: int | None) -> None:
        """Raises SourceInvalid when nothing was published or the file did not end where it should."""
        if not published:
            reason = self._failure or f"{self._packets} packets and not one picture"
            raise SourceInvalid(f"{self._path} cannot be decoded: {reason}; record or convert it again")
        failure = self._failure or self._missing_end()
        if failure:
            of = f" of about {total}" if total else ""
            raise SourceInvalid(
                f"{self._path} broke off after frame {published}{of}: {failure}; copy or record it again "
                "(the frames before were passed on)"
            )

    def _read(self) -> Iterator[MediaPacket]:
        """The video packets. Other streams are read too: the longest tells where the file ended."""
        try:
            for packet in self._container.demux():
                if not packet.size and packet.dts is None:
                    continue  # PyAV's own end mark
                if packet.pts is not None and packet.time_base:
                    self._end_s = max(self._end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == self._stream.index:
                    self._packets += 1
                    yield packet
        except av.error.FFmpegError as error:
            self._failure = f"it cannot be read further ({error.strerror})"

    def _missing_end(self) -> str:
        """Why the file must be longer than it is; '' when nothing says so.

        MP4 and MOV list where each frame lies. Matroska declares its duration. Most others (MPEG-TS, raw streams)
        declare nothing that could be checked, so a cut between two of their frames is not noticed.
        """
        entries = self._stream.index_entries
        needed = max((entry.pos + entry.size for entry in entries[:]), default=0) if len(entries) else 0
        size = self._path.stat().st_size
        if needed > size:
            return f"its index lists frames up to byte {needed}, but the file has {size}"
        if "matroska" in self._container.format.name and self._container.duration:
            declared_s = self._container.duration / 1_000_000
            if declared_s - self._end_s > max(_MISSING_END_S, _MISSING_END_SHARE * declared_s):
                return f"it declares {declared_s:.1f} s, but ends at {self._end_s:.1f} s"
        return ""


def _open(path: Path, decoding: Decoding) -> InputContainer:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise SourceInvalid(f"{path}: no such file; check the path, relative to {Path.cwd()}") from error
    except IsADirectoryError as error:
        raise SourceInvalid(f"{path} is a folder, expected a video file; name one file in it") from error
    except PermissionError as error:
        raise SourceInvalid(f"{path} may not be read by this user; change its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise SourceInvalid(f"{path!s:.200} cannot be read, expected a video file ({error}); check the path") from error
    try:
        # 'file:' keeps names like '12:30.mp4' from being taken for a network address.
        return decoding.open(f"file:{path}")
    except av.error.FFmpegError as error:
        raise SourceInvalid(f"{path} {_what_is_wrong(head)}") from error


def _what_is_wrong(head: bytes) -> str:
    if not head:
        return "is empty, expected a video file; copy or record it again"
    if head[4:8] == b"ftyp":
        return "is an MP4 without its index (moov): cut short or never finished; copy or record it again"
    return "is not a video file that FFmpeg knows; convert it, for example to MP4 with H.264"


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        kinds = ", ".join(sorted({other.type for other in container.streams})) or "nothing"
        raise SourceInvalid(f"{path} holds no video (only {kinds}); expected a file with a video stream")
    if stream.codec_context is None:
        raise SourceInvalid(f"{path}: no decoder for its video codec; convert it, for example to MP4 with H.264")
    return stream


def _total_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """The shown frames that the index lists, else the declared number, else duration times rate, else None."""
    if container.format.name.startswith(("image2", "png", "jpeg", "webp", "bmp", "tiff")):
        return 1
    if container.format.name.startswith("mov") and len(stream.index_entries):
        return sum(not entry.is_discard for entry in stream.index_entries[:])
    if stream.frames:
        return stream.frames
    if container.duration and stream.average_rate:
        return round(container.duration / 1_000_000 * stream.average_rate)
    return None
