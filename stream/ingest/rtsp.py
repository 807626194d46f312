"""A camera over RTSP as a source: reconnects for ever, and says what goes wrong meanwhile."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

import av
from av.container import InputContainer
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stream.errors import SourceUnreachable
from stream.frame import Frame
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decoder import Decoding, MediaPacket
from stream.ingest.outage import Outage, Reason, classify
from stream.ingest.source import ReportState, SourceState, online_reason
from stream.ingest.timeline import OnDrop, Timeline, ignore_drops
from stream.redact import redact

Wait = Callable[[threading.Event, float], bool]


class RtspSettings(BaseModel):
    """How cameras are read, and how long they may be silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transport: Literal["tcp", "udp"] = "tcp"
    """TCP loses nothing; UDP drops damaged frames instead of falling behind on a bad line."""
    io_timeout_s: float = Field(default=5.0, gt=0, le=600)
    """How long one network operation, connecting included, may stay without an answer; `stop` may take as long."""
    picture_timeout_s: float = Field(default=15.0, gt=0)
    """How long packets may come without one picture, at the start (a key frame must come first) or later."""
    connect_deadline_s: float = Field(default=20.0, ge=0)
    """How long to try before the first frame ever, until the source fails; 0 tries for ever. Later it never fails."""
    backoff_min_s: float = Field(default=0.5, gt=0)
    """Longest wait before the first new attempt; doubled after each further failure."""
    backoff_max_s: float = Field(default=30.0, gt=0)
    """Longest wait between two attempts."""
    healthy_s: float = Field(default=30.0, ge=0)
    """How long frames must have come until a next loss starts again at the shortest wait."""
    jump_s: float = Field(default=2.0, gt=0)
    """How far time stamps may leap ahead of the time that passed, or back, without a new epoch."""

    @model_validator(mode="after")
    def _check_together(self) -> "RtspSettings":
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError(f"backoff_min_s {self.backoff_min_s:g} is more than backoff_max_s {self.backoff_max_s:g}")
        return self


class RtspSource:
    """A live camera. After its first frame, whatever happens, it is tried again until `stop`.

    One network operation blocks for `io_timeout_s` at most, with the GIL released. PyAV's own timeouts are not used:
    they take the GIL at every poll, which slows all streams of a process. The price: a server that goes on sending
    control packets but no video is not noticed. TLS certificates of rtsps:// are not verified.
    """

    live = True
    total_frames: int | None = None

    def __init__(
        self,
        url: str,
        *,
        name: str,
        settings: RtspSettings | None = None,
        decoding: Decoding | None = None,
        on_drop: OnDrop = ignore_drops,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        wait: Wait = threading.Event.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """The clocks, waiting and chance (0..1) are given by tests."""
        self.name = name
        self.decoder = ""
        self._url = url
        self._settings = settings or RtspSettings()
        self._on_drop = on_drop
        self._decoding = decoding or CpuDecoding()
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s
        self._wait = wait
        self._jitter = jitter

    def frames(self, stop: threading.Event, report: ReportState) -> Iterator[Frame]:
        """Frames as they arrive, until `stop`.

        `captured_ms` is the wall clock at arrival. Each reconnect and each jump of the time stamps begins a new
        epoch; `seq` goes on. Frames before a connection's first key frame are dropped as "await_keyframe".
        Raises SourceUnreachable when no frame ever came within `connect_deadline_s`.
        """
        settings, shown = self._settings, redact(self._url)
        timeline = Timeline(self.name, self._on_drop, jump_s=settings.jump_s)
        trying_since_s = self._monotonic_s()
        failures = 0
        report(SourceState.CONNECTING, shown)
        while not stop.is_set():
            timeline.reconnected()
            connected_s = self._monotonic_s()
            try:
                yield from self._connection(stop, report, timeline)
                return
            except Outage as outage:
                reason = outage
            if stop.is_set():
                return
            been_online = timeline.last_pts_s is not None
            now_s = self._monotonic_s()
            # Before the first frame a connection that answers but shows nothing is no more healthy than none.
            failures = 1 if been_online and now_s - connected_s >= settings.healthy_s else failures + 1
            delay_s = self._jitter() * min(
                settings.backoff_max_s, settings.backoff_min_s * 2.0 ** min(failures - 1, 30)
            )
            if not been_online and settings.connect_deadline_s:
                left_s = trying_since_s + settings.connect_deadline_s - now_s
                if left_s <= 0:
                    raise SourceUnreachable(
                        f"{shown}: no picture within {settings.connect_deadline_s:g} s ({reason}); {reason.remedy}"
                    ) from None
                delay_s = min(delay_s, left_s)
            state = SourceState.RECONNECTING if been_online else SourceState.CONNECTING
            report(state, f"{reason}; trying again in {delay_s:.1f} s")
            self._wait(stop, delay_s)

    def _connection(self, stop: threading.Event, report: ReportState, timeline: Timeline) -> Iterator[Frame]:
        """The frames of one connection; returns on `stop`, raises Outage otherwise."""
        with self._connect() as container:
            if not container.streams.video:
                raise Outage(Reason.NO_VIDEO)
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise Outage(Reason.NO_PICTURE)  # a codec that this FFmpeg cannot decode
            decoder = self._decoding.decoder(stream, live=True)
            codec = stream.codec_context.name
            timeline.interval_s = float(1 / stream.guessed_rate) if stream.guessed_rate else 0.04
            online, key_frame_came = False, False
            picture_s = self._monotonic_s()
            try:
                for packet in self._packets(container):
                    if stop.is_set():
                        return
                    arrived_s, wall_ms = self._monotonic_s(), round(self._wall_s() * 1000)
                    key_frame_came = key_frame_came or (packet is not None and packet.is_keyframe)
                    if not key_frame_came and packet is not None:
                        timeline.dropped("await_keyframe", 1)
                    for decoded in filter(None, decoder.decode(packet) if key_frame_came else ()):
                        timeline.dropped("decode_error", decoded.lost)
                        timeline.step(decoded.pts_s, arrived_s - picture_s)
                        picture_s = arrived_s
                        if decoded.rgb is None:
                            timeline.dropped("overload", 1)
                            continue
                        height, width = decoded.rgb.shape[:2]
                        self.decoder = decoder.description
                        if not online:
                            report(SourceState.ONLINE, online_reason(codec, width, height, self.decoder))
                            online = True
                        yield Frame(timeline.stamp(wall_ms, width, height), decoded.rgb)
                        del decoded  # its memory is not to be held while the next one is awaited
                    if arrived_s - picture_s > self._settings.picture_timeout_s:
                        raise Outage(Reason.NO_PICTURE)
            finally:
                timeline.dropped("decode_error", decoder.lost_at_end())

    def _connect(self) -> InputContainer:
        settings = self._settings
        options = {
            "rtsp_transport": settings.transport,
            "allowed_media_types": "video",
            "timeout": str(round(settings.io_timeout_s * 1_000_000)),  # of each socket operation, microseconds
            # FFmpeg would measure the frame rate first, which delays the start by 0.7 s; nothing here needs it.
            "fpsprobesize": "0",
        }
        started_s = self._monotonic_s()
        try:
            return self._decoding.open(self._url, options, demuxer="rtsp")
        except (OSError, av.error.FFmpegError) as error:
            silent = self._monotonic_s() - started_s >= settings.io_timeout_s
            raise Outage(classify(error, silent=silent)) from None  # the error quotes the URL with its password

    def _packets(self, container: InputContainer) -> Iterator[MediaPacket | None]:
        """Packets as they come; None before the end, for what the decoder still holds; then Outage."""
        reason = Reason.ENDED
        try:
            for packet in container.demux(video=0):
                if packet.size:
                    yield packet
        except (OSError, av.error.FFmpegError) as error:
            reason = classify(error, silent=False)
        yield None
        raise Outage(reason)
