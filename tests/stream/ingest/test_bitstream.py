"""What is read from packets, checked on hand-made ones; real encoders' are cut in test_gop.py."""

import pytest

from stream.ingest.bitstream import Kind, read_packet, unit_length_bytes

AVCC = bytes([1, 100, 0, 11, 0xFF, 0xE1])
HVCC = bytes([1]) + bytes(20) + bytes([0xFC | 1]) + bytes(10)


def h264(number: int) -> bytes:
    return bytes([0x60 | number, 0xB8, 4, 5])


def hevc(number: int, layer: int = 0) -> bytes:
    return bytes([number << 1 | layer >> 5, (layer & 31) << 3 | 1, 4, 5])


def lengths(*units: bytes, size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


def start_codes(*units: bytes) -> bytes:
    return b"".join((b"\0\0\1" if index else b"\0\0\0\1") + unit for index, unit in enumerate(units))


def test_unit_lengths_are_read_from_the_extradata() -> None:
    assert unit_length_bytes("h264", AVCC) == 4
    assert unit_length_bytes("hevc", HVCC) == 2
    assert unit_length_bytes("h264", b"\0\0\0\1\x67\x64") == 0
    assert unit_length_bytes("hevc", b"") == 0
    assert unit_length_bytes("vp9", AVCC) == 0


@pytest.mark.parametrize(
    ("number", "kind"),
    [(5, Kind.CLEAN), (1, Kind.OTHER), (2, Kind.OTHER), (6, Kind.NONE), (7, Kind.NONE), (9, Kind.NONE)],
)
def test_h264_units_in_both_framings(number: int, kind: Kind) -> None:
    for data, length_bytes in ((lengths(h264(6), h264(number)), 4), (start_codes(h264(9), h264(number)), 0)):
        content = read_packet("h264", data, key=True, length_bytes=length_bytes)
        assert (content.kind, content.whole) == (kind, True)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, Kind.CLEAN) for number in (16, 17, 18, 19, 20)),
        (21, Kind.OPEN),
        *((number, Kind.LEADING) for number in (8, 9)),
        *((number, Kind.CLEAN_LEADING) for number in (6, 7)),
        (1, Kind.OTHER),
        (39, Kind.NONE),
    ],
)
def test_hevc_units_in_both_framings(number: int, kind: Kind) -> None:
    for data, length_bytes in ((lengths(hevc(39), hevc(number), size=2), 2), (start_codes(hevc(35), hevc(number)), 0)):
        content = read_packet("hevc", data, key=True, length_bytes=length_bytes)
        assert (content.kind, content.whole) == (kind, True)


def test_other_layers_of_hevc_say_nothing() -> None:
    data = start_codes(hevc(1, layer=1), hevc(19))
    assert read_packet("hevc", data, key=True, length_bytes=0).kind is Kind.CLEAN


def test_parameter_sets_are_collected() -> None:
    content = read_packet("h264", start_codes(h264(7), h264(8), h264(5)), key=True, length_bytes=0)
    assert content.parameters == h264(7)
    assert content.sets == b"\0\0\0\1" + h264(7) + b"\0\0\0\1" + h264(8)
    assert read_packet("h264", lengths(h264(7), h264(5)), key=True, length_bytes=4).sets == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        lengths(h264(1))[:-1],  # cut
        lengths(h264(1)) + b"\0\0",
        lengths(b""),
        lengths(bytes([0x80 | 1, 1])),  # the bit that must be 0
    ],
)
def test_what_does_not_fit_into_its_packet_is_damaged(data: bytes) -> None:
    assert not read_packet("h264", data, key=False, length_bytes=4).whole


@pytest.mark.parametrize("data", [b"\1\2\3\4", b"", b"\0\0\1", b"\0\0\1\x81\x01"])
def test_what_has_no_start_codes_is_damaged(data: bytes) -> None:
    assert not read_packet("hevc", data, key=False, length_bytes=0).whole


def test_av1_sequence_header_is_found_behind_other_units() -> None:
    header = bytes([9]) * 130
    delimiter, padding = bytes([0x12, 0]), bytes([0x7E, 0, 1, 7])  # with a size; with an extension and a size
    data = delimiter + padding + bytes([0x0A, 0x82, 1]) + header + bytes([0x32, 1, 0])
    assert read_packet("av1", data, key=True, length_bytes=0).parameters == header
    assert read_packet("av1", data[:-5], key=False, length_bytes=0).kind is Kind.OTHER
    assert read_packet("av1", bytes([0x12, 0x82]), key=True, length_bytes=0).parameters == b""
    assert read_packet("av1", bytes([0x08]) + header, key=True, length_bytes=0).parameters == header
