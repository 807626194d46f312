"""The annotated video: each frame with box, landmarks, circumplex and the valence-arousal trace below."""

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageDraw, ImageFont

from models.spec import FloatArray
from stream.demo.contours import CONTOURS
from stream.demo.record import Recording, SeenFace, SeenFrame
from stream.demo.style import AROUSAL, BOX, GRID, LANDMARK, PANEL, TEXT, VALENCE, Colour
from stream.frame import Pixels
from stream.ingest.file import FileSource

PANEL_HEIGHT = 132
TRACE_SECONDS = 8.0
"""How much of the past the trace shows."""
MARGIN = 10


def write_video(clip: Path, recording: Recording, out: Path) -> Iterator[int]:
    """Decode `clip` again, draw every frame that was analysed, encode as H.264; yields the frames written so far."""
    seen = {frame.seq: index for index, frame in enumerate(recording.frames)}
    with av.open(str(out), "w") as container:
        stream = container.add_stream(
            "libx264", rate=_frame_rate(recording), options={"crf": "20", "preset": "veryfast"}
        )
        stream.pix_fmt = "yuv420p"
        frames = FileSource(clip, name="again").frames(threading.Event(), lambda state, reason: None)
        for written, frame in enumerate((f for f in frames if f.stamp.seq in seen), start=1):
            assert isinstance(frame.rgb, np.ndarray)  # decoded on the CPU
            picture = draw_frame(frame.rgb, recording.frames[: seen[frame.stamp.seq] + 1])
            if written == 1:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(_to_yuv(picture, stream.width, stream.height)))
            yield written
        container.mux(stream.encode(None))


def _frame_rate(recording: Recording) -> Fraction:
    """The clip's own mean rate, so that the drawn video runs at the same speed."""
    first, last = recording.frames[0], recording.frames[-1]
    if last.pts_s <= first.pts_s:
        return Fraction(25)
    return Fraction((last.seq - first.seq) / (last.pts_s - first.pts_s)).limit_denominator(1001)


def draw_frame(rgb: Pixels, past: Sequence[SeenFrame]) -> Pixels:
    """The last frame of `past` drawn over its pixels [H, W, 3], with the panel below; sides made even for H.264."""
    now = past[-1]
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    canvas = np.empty((height + PANEL_HEIGHT, width, 3), np.uint8)
    canvas[:height] = rgb[:height, :width]
    canvas[height:] = PANEL
    for face in now.faces:
        _dot(canvas[:height], face.landmarks)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for face in now.faces:
        _draw_contours(draw, face.landmarks)
        _draw_box(draw, face)
    side = PANEL_HEIGHT - 2 * MARGIN
    _draw_circumplex(draw, (MARGIN, height + MARGIN, side), now)
    _draw_trace(draw, (side + 3 * MARGIN, height + MARGIN, width - side - 4 * MARGIN, side), past)
    return np.asarray(image)


def _dot(pixels: Pixels, landmarks: FloatArray) -> None:
    height, width = pixels.shape[:2]
    x, y = np.rint(landmarks[:, :2]).astype(np.int64).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels[y[inside], x[inside]] = LANDMARK


def _draw_contours(draw: ImageDraw.ImageDraw, landmarks: FloatArray) -> None:
    for contour in CONTOURS:
        draw.line([(float(x), float(y)) for x, y in landmarks[list(contour), :2]], fill=LANDMARK)


def _draw_box(draw: ImageDraw.ImageDraw, face: SeenFace) -> None:
    left, top = face.landmarks[:, :2].min(axis=0)
    right, bottom = face.landmarks[:, :2].max(axis=0)
    draw.rectangle((left, top, right, bottom), outline=BOX)
    label = f"face {face.track}   V {face.smoothed.valence:+.2f}   A {face.smoothed.arousal:+.2f}"
    draw.text((left, max(top - 16, 0)), label, fill=BOX, font=_font(13), stroke_width=2, stroke_fill=PANEL)


def _draw_circumplex(draw: ImageDraw.ImageDraw, place: tuple[int, int, int], now: SeenFrame) -> None:
    left, top, side = place
    centre_x, centre_y, radius = left + side / 2, top + side / 2, side / 2
    draw.ellipse((left, top, left + side, top + side), outline=GRID)
    draw.line((left, centre_y, left + side, centre_y), fill=GRID)
    draw.line((centre_x, top, centre_x, top + side), fill=GRID)
    draw.text((left + side - 9, centre_y + 1), "V", fill=VALENCE, font=_font(11))
    draw.text((centre_x + 3, top), "A", fill=AROUSAL, font=_font(11))
    for face in now.faces:
        x, y = centre_x + face.smoothed.valence * radius, centre_y - face.smoothed.arousal * radius
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=TEXT)


def _draw_trace(draw: ImageDraw.ImageDraw, place: tuple[int, int, int, int], past: Sequence[SeenFrame]) -> None:
    left, top, width, height = place
    middle = top + height / 2
    draw.line((left, middle, left + width, middle), fill=GRID)
    draw.rectangle((left, top, left + width, top + height), outline=GRID)
    now_s = past[-1].pts_s
    shown = [frame for frame in past[-1000:] if frame.pts_s > now_s - TRACE_SECONDS]
    for track in {face.track for frame in shown for face in frame.faces}:
        for name, colour in (("valence", VALENCE), ("arousal", AROUSAL)):
            points = [
                (
                    left + width * (1 - (now_s - frame.pts_s) / TRACE_SECONDS),
                    middle - getattr(face.smoothed, name) * height / 2,
                )
                for frame in shown
                for face in frame.faces
                if face.track == track
            ]
            draw.line(points, fill=colour, width=2, joint="curve")
    _draw_legend(draw, left + 6, top + 3)
    draw.text((left + width - 52, top + height - 16), f"{now_s:6.2f} s", fill=TEXT, font=_font(12))


def _draw_legend(draw: ImageDraw.ImageDraw, left: float, top: float) -> None:
    entries: tuple[tuple[str, Colour], ...] = (("valence", VALENCE), ("arousal", AROUSAL))
    for index, (name, colour) in enumerate(entries):
        draw.text((left + 58 * index, top), name, fill=colour, font=_font(12))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _to_yuv(picture: Pixels, width: int, height: int) -> av.VideoFrame:
    """Limited-range BT.709, at the video's size: a clip may change its own half-way."""
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        width=width,
        height=height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
