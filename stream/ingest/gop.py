"""Packets to groups that decode on their own, each in a buffer of its own (a group of pictures, GOP)."""

import io
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.video.stream import VideoStream

from stream.ingest.bitstream import Content, Kind, read_packet, unit_length_bytes
from stream.ingest.decoder import MediaPacket

MAX_PICTURES = 600
"""A group that has no end after so many is not waited for further: 20 s at 30 pictures a second, and twice the
longest that encoders make by default."""

_TICK = Fraction(1, 25)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that a group shows."""

    pts: int | None
    """Its packet's own, in the stream's time base."""
    place: int
    """Its place among all decoded pictures of the group, in the order of presentation."""
    lost: int
    """Pictures between the previous one shown and this that are known to be damaged, or came before any key picture."""


@dataclass(frozen=True, slots=True)
class Gop:
    """Packets that decode without any others."""

    packets: tuple[MediaPacket, ...]
    """As received, up to the next group's key picture; what a decoder of the whole stream is fed instead."""
    key: MediaPacket
    parameters: bytes
    """What declares its size, format and colour: two groups with equal ones have these in common."""
    extradata: bytes
    """The parameter sets in force at its start; b'' for codecs that have none."""
    data: tuple[bytes, ...]
    """The packets to decode, in decoding order; some may be there only to be referred to."""
    order: tuple[int, ...]
    """For each of `data`, its picture's place in the order of presentation."""
    shown: tuple[Shown, ...]
    """The pictures to show, in that order."""
    lost_after: int
    """The same, after the last one shown."""


@dataclass(slots=True)
class _Entry:
    data: bytes
    pts: int | None
    segment: int
    visible: bool
    """Shown with this group; else only referred to."""
    intact: bool


@dataclass(slots=True)
class _Group:
    key: MediaPacket
    parameters: bytes
    extradata: bytes
    lost_before: int
    packets: list[MediaPacket]
    entries: list[_Entry] = field(default_factory=list)


class GopCutter:
    """Cuts a stream where nothing later refers back: at IDR and IRAP pictures, at key frames of AV1 and VP9.

    Pictures that are shown before an open key picture (HEVC's CRA) but refer back beyond it go into the buffer of the
    group before, followed by a copy of that key picture: so nothing is lost, for one picture decoded twice.
    H.264 with open groups is only cut at its IDR pictures, of which there may be no second one: see `too_long`.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._codec = codec_of(stream)
        self._extradata = stream.codec_context.extradata or b""
        self._length_bytes = unit_length_bytes(self._codec, self._extradata)
        self._before: _Group | None = None  # waits for pictures that follow the next one's key picture
        self._group: _Group | None = None
        self._prefix = b""
        self._headless: list[MediaPacket] = []
        self._segment = 0
        self._last_dts: int | None = None

    @property
    def too_long(self) -> bool:
        """Whether MAX_PICTURES came without a place to cut."""
        return len(self._group.entries if self._group else self._headless) > MAX_PICTURES

    def pending(self) -> list[MediaPacket]:
        """The packets that are in no group yet, in decoding order."""
        groups = [group for group in (self._before, self._group) if group]
        return [packet for group in groups for packet in group.packets] or list(self._headless)

    def add(self, packet: MediaPacket) -> list[Gop]:
        """The groups that `packet` completes: mostly none, sometimes one, two at most."""
        if packet.has_sidedata("new_extradata"):
            self._extradata = bytes(packet.get_sidedata("new_extradata"))
            self._length_bytes = unit_length_bytes(self._codec, self._extradata)
        data = self._prefix + bytes(packet)
        content = read_packet(self._codec, data, key=packet.is_keyframe, length_bytes=self._length_bytes)
        if content.kind is Kind.NONE and content.whole:
            # Not a packet of its own: each packet of a buffer is counted as a picture.
            self._prefix = data
            return []
        self._prefix = b""
        done: list[_Group | None] = []
        if content.kind not in (Kind.LEADING, Kind.CLEAN_LEADING):
            done.append(self._before)
            self._before = None
        if content.kind is Kind.CLEAN:
            done.append(self._group)
            self._group = None
        if content.kind in (Kind.CLEAN, Kind.OPEN):
            self._before, self._group = self._group, self._begin(packet, data, content)
        self._append(packet, data, content)
        return [_gop(group) for group in done if group]

    def finish(self) -> list[Gop]:
        """The groups that the end of the stream completes."""
        done = [group for group in (self._before, self._group) if group]
        self._before = self._group = None
        return [_gop(group) for group in done]

    def lost_at_end(self) -> int:
        """Pictures that came after the last group, or without any."""
        return len(self._headless)

    def _begin(self, packet: MediaPacket, data: bytes, content: Content) -> _Group:
        headless, self._headless = self._headless, []
        if content.sets:
            self._extradata = content.sets
        if packet.size != len(data):  # its parameters came in a packet of their own
            packet = av.Packet(data)
        return _Group(packet, content.parameters + self._extradata, self._extradata, len(headless), headless)

    def _append(self, packet: MediaPacket, data: bytes, content: Content) -> None:
        if packet.dts is not None:
            self._segment += self._last_dts is not None and packet.dts < self._last_dts
            self._last_dts = packet.dts
        if self._group is None:
            self._headless.append(packet)
            return
        self._group.packets.append(packet)
        intact = content.whole and not packet.is_corrupt
        leading = content.kind is Kind.LEADING
        if self._before:
            self._before.entries.append(_Entry(data, packet.pts, self._segment, visible=leading, intact=intact))
        if not leading:  # without a group before, leading ones refer to pictures that were never sent
            self._group.entries.append(
                _Entry(data, packet.pts, self._segment, visible=not packet.is_discard, intact=intact)
            )


def codec_of(stream: VideoStream) -> str:
    """FFmpeg's name of the stream's codec, not of the decoder that was picked for it (av1, not libdav1d)."""
    name: str = stream.codec_context.codec.canonical_name
    return name


def contain(gop: Gop, stream: VideoStream, width: int, height: int) -> bytes:
    """The group as a Matroska file. `width` and `height` are of its pictures: DALI takes them from the file's head.

    Its time stamps are made up: no real one is negative, rounded or missing then, which DALI would leave out.
    """
    reordered = max(index - place for index, place in enumerate(gop.order))
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        track = output.add_stream_from_template(stream, opaque=True)
        track.codec_context.width, track.codec_context.height = width, height
        track.codec_context.extradata = gop.extradata or None
        for index, (data, place) in enumerate(zip(gop.data, gop.order, strict=True)):
            packet = av.Packet(data)
            packet.stream, packet.time_base = track, _TICK
            packet.dts, packet.pts, packet.duration = index, place + reordered, 1
            packet.is_keyframe = index == 0
            output.mux(packet)
    return file.getvalue()


def _gop(group: _Group) -> Gop:
    """The group up to its first damaged packet: what follows that may refer to it."""
    entries = group.entries
    intact = next((index for index, entry in enumerate(entries) if not entry.intact), len(entries))
    places: dict[int, int] = {}
    shown: list[Shown] = []
    lost = group.lost_before
    for index in _presentation(entries):
        entry = entries[index]
        if index < intact:
            places[index] = len(places)
            if entry.visible:
                shown.append(Shown(entry.pts, places[index], lost))
                lost = 0
        elif entry.visible:
            lost += 1
    return Gop(
        packets=tuple(group.packets),
        key=group.key,
        parameters=group.parameters,
        extradata=group.extradata,
        data=tuple(entry.data for entry in entries[:intact]),
        order=tuple(places[index] for index in range(intact)),
        shown=tuple(shown),
        lost_after=lost,
    )


def _presentation(entries: list[_Entry]) -> list[int]:
    """The entries' indices in the order of presentation: by stamp, where the clock was not set back.

    One without a stamp is shown after the one before it in the stream.
    """
    keys: list[tuple[int, int, int]] = []
    pts: int | None = None
    for index, entry in enumerate(entries):
        pts = entry.pts if entry.pts is not None else pts
        keys.append((entry.segment, -(2**63) if pts is None else pts, index))
    return sorted(range(len(entries)), key=keys.__getitem__)
