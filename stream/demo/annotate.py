"""The annotated video: each frame with box, landmarks, circumplex and the valence-arousal trace below."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from models.spec import FloatArray
from stream.demo.contours import CONTOURS
from stream.demo.record import Recording, SeenFace, SeenFrame
from stream.demo.style import AROUSAL, BOX, GRID, LANDMARK, PANEL, TEXT, VALENCE, Colour
from stream.frame import Pixels
from stream.ingest.file import FileSource
from stream.render.label import describe_face, draw_label, font
from stream.render.video import PlayingTime, VideoWriter

PANEL_HEIGHT = 132
TRACE_SECONDS = 8.0
"""How much of the past the trace shows."""
MARGIN = 10


def write_video(clip: Path, recording: Recording, out: Path) -> Iterator[int]:
    """Decode `clip` again, draw every frame that was analysed, encode as H.264; yields the frames written so far."""
    seen = {frame.seq: index for index, frame in enumerate(recording.frames)}
    frames = FileSource(clip, name="again").frames(threading.Event(), lambda state, reason: None)
    time = PlayingTime()
    with VideoWriter(out) as video:
        for frame in frames:
            if frame.stamp.seq not in seen:
                continue
            assert isinstance(frame.rgb, np.ndarray)  # decoded on the CPU
            picture = draw_frame(frame.rgb, recording.frames[: seen[frame.stamp.seq] + 1])
            video.write(picture, time.ticks(frame.stamp))
            yield video.frames


def draw_frame(rgb: Pixels, past: Sequence[SeenFrame]) -> Pixels:
    """The last frame of `past` drawn over its pixels [H, W, 3], with the panel below; sides made even for H.264."""
    now = past[-1]
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    canvas = np.empty((height + PANEL_HEIGHT, width, 3), np.uint8)
    canvas[:height] = rgb[:height, :width]
    canvas[height:] = PANEL
    for face in now.faces:
        _dot(canvas[:height], face.landmarks)
        left, top = face.landmarks[:, :2].min(axis=0)
        draw_label(canvas[:height], left, top, describe_face(face.track, face.smoothed))
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


def _draw_circumplex(draw: ImageDraw.ImageDraw, place: tuple[int, int, int], now: SeenFrame) -> None:
    left, top, side = place
    centre_x, centre_y, radius = left + side / 2, top + side / 2, side / 2
    draw.ellipse((left, top, left + side, top + side), outline=GRID)
    draw.line((left, centre_y, left + side, centre_y), fill=GRID)
    draw.line((centre_x, top, centre_x, top + side), fill=GRID)
    draw.text((left + side - 9, centre_y + 1), "V", fill=VALENCE, font=font(11))
    draw.text((centre_x + 3, top), "A", fill=AROUSAL, font=font(11))
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
    draw.text((left + width - 52, top + height - 16), f"{now_s:6.2f} s", fill=TEXT, font=font(12))


def _draw_legend(draw: ImageDraw.ImageDraw, left: float, top: float) -> None:
    entries: tuple[tuple[str, Colour], ...] = (("valence", VALENCE), ("arousal", AROUSAL))
    for index, (name, colour) in enumerate(entries):
        draw.text((left + 58 * index, top), name, fill=colour, font=font(12))
