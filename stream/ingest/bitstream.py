"""What a packet of coded video holds, read from its first bytes without decoding it.

Key flags do not tell enough to cut a stream: containers also set them on pictures after which come others that refer
back beyond them. Numbers from ITU-T H.264 table 7-1, H.265 table 7-1, and the AV1 and VP9 bitstream specifications.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

_H264_PARAMETERS = (7,)
_HEVC_PARAMETERS = (32, 33)
_AV1_SEQUENCE_HEADER = 1
_VP9_HEADER_BYTES = 10
"""Up to and including a key frame's size, in every profile."""


class Kind(Enum):
    """Where a picture stands among its neighbours."""

    NONE = auto()
    """No picture: parameters or messages only."""
    CLEAN = auto()
    """Refers to no other picture, nor does any later one refer to what came before it."""
    OPEN = auto()
    """Refers to no other picture, but some that follow in the stream and are shown before it may (HEVC's CRA)."""
    LEADING = auto()
    """Follows an OPEN picture, is shown before it, and refers to what came before it (RASL)."""
    CLEAN_LEADING = auto()
    """Follows a key picture and is shown before it, but does not refer back beyond it (RADL)."""
    OTHER = auto()
    """Refers to pictures before it."""


@dataclass(frozen=True, slots=True)
class Content:
    """One packet's content."""

    kind: Kind
    parameters: bytes
    """What declares size, format and colour; b'' when the packet declares nothing."""
    sets: bytes
    """All parameter sets, with start codes, when the packet is one with start codes."""
    whole: bool
    """False when its parts do not fit into it: it is damaged or cut."""


def read_packet(codec: str, data: bytes, *, key: bool, length_bytes: int) -> Content:
    """The content of a packet of `codec` (FFmpeg's name): h264, hevc, av1 or vp9.

    `length_bytes`: how long the length before each unit is, 0 when start codes part them (see `unit_length_bytes`).
    """
    if codec == "h264":
        return _nal_content(data, length_bytes, hevc=False)
    if codec == "hevc":
        return _nal_content(data, length_bytes, hevc=True)
    parameters = b""
    if key:
        parameters = _av1_sequence_header(data) if codec == "av1" else data[:_VP9_HEADER_BYTES]
    return Content(Kind.CLEAN if key else Kind.OTHER, parameters, b"", bool(data))


def unit_length_bytes(codec: str, extradata: bytes) -> int:
    """How many bytes the length before each unit takes; 0 when the stream uses start codes (ISO/IEC 14496-15)."""
    position = {"h264": 4, "hevc": 21}.get(codec)
    if position is None or len(extradata) <= position or extradata[0] != 1:
        return 0
    return (extradata[position] & 3) + 1


def _nal_content(data: bytes, length_bytes: int, *, hevc: bool) -> Content:
    kind, parameters, sets, whole = Kind.NONE, b"", b"", bool(data)
    for unit in _with_lengths(data, length_bytes) if length_bytes else _with_start_codes(data):
        if len(unit) < 2 or unit[0] & 0x80:  # forbidden_zero_bit
            whole = False
            continue
        if hevc:
            number, base_layer = unit[0] >> 1 & 63, not (unit[0] & 1 or unit[1] >> 3)
            found = _hevc_kind(number) if base_layer else Kind.NONE
            is_set, declares = 32 <= number <= 34, number in _HEVC_PARAMETERS
        else:
            number = unit[0] & 31
            found = _h264_kind(number)
            is_set, declares = number in (7, 8), number in _H264_PARAMETERS
        kind = found if kind is Kind.NONE else kind
        parameters += unit if declares else b""
        sets += b"\0\0\0\1" + unit if is_set and not length_bytes else b""
    return Content(kind, parameters, sets, whole)


def _h264_kind(number: int) -> Kind:
    # Only an IDR picture cuts all references; one with a recovery point message does not.
    if number == 5:
        return Kind.CLEAN
    return Kind.OTHER if 1 <= number <= 4 else Kind.NONE


def _hevc_kind(number: int) -> Kind:
    if 16 <= number <= 20:  # BLA and IDR
        return Kind.CLEAN
    if number == 21:
        return Kind.OPEN
    if number in (8, 9):
        return Kind.LEADING
    if number in (6, 7):
        return Kind.CLEAN_LEADING
    return Kind.OTHER if number < 32 else Kind.NONE


def _with_lengths(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The units; an empty one where a length leads out of the packet."""
    position = 0
    while position < len(data):
        start = position + length_bytes
        size = int.from_bytes(data[position:start], "big")
        position = start + size
        yield data[start:position] if size and position <= len(data) else b""


def _with_start_codes(data: bytes) -> Iterator[bytes]:
    code = b"\0\0\1"
    position = data.find(code)
    if position < 0 or data[:position].strip(b"\0"):
        yield b""
    while position >= 0:
        following = data.find(code, position + 3)
        yield data[position + 3 : following if following >= 0 else len(data)].rstrip(b"\0")
        position = following


def _av1_sequence_header(data: bytes) -> bytes:
    position = 0
    while position < len(data):
        head = data[position]
        position += 2 if head & 4 else 1  # with an extension byte
        size = len(data) - position
        if head & 2:  # has a size of its own, seven bits a byte, the lowest first
            size = shift = 0
            while position < len(data):
                byte = data[position]
                position += 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
        if head >> 3 & 15 == _AV1_SEQUENCE_HEADER:
            return data[position : position + size]
        position += size
    return b""
