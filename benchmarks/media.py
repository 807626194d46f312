"""The videos that are measured: the demo clip, and enlargements of it made once and kept in the cache."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from models.assets import cache_dir, fetch

FPS = 30
GOP = 30
"""Frames from key frame to key frame: a second, as cameras send."""
OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "23", "bf": "0"},
    # No frames that are never shown: what goes in comes out, one for one.
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0", "lag-in-frames": "0"},
}
SUFFIXES = {"libx264": "mp4", "libvpx-vp9": "mkv"}


@dataclass(frozen=True, slots=True)
class Video:
    """A file, and what is in it."""

    path: Path
    codec: str
    width: int
    height: int
    frames: int

    @property
    def label(self) -> str:
        """For tables."""
        return f"{self.path.stem} ({self.width}x{self.height} {self.codec}, {self.frames} frames)"


def describe(path: Path) -> Video:
    """What the container says; the demo clip and what is made here count their frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
        return Video(path, stream.codec_context.name, stream.width, stream.height, frames)


def demo_clip() -> Video:
    """472 frames of a face, 640x360 H.264. Raises AssetUnavailable."""
    return describe(fetch("demo_clip"))


def made_from_clip(width: int, height: int, frames: int, codec: str = "libx264") -> Video:
    """The demo clip at another size, 30 frames a second without B-frames, played again and again up to `frames`."""
    path = cache_dir() / "benchmarks" / f"clip-{width}x{height}-{frames}-{codec}.{SUFFIXES[codec]}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{os.getpid()}-{path.name}")
        _encode(fetch("demo_clip"), draft, width, height, frames, codec)
        draft.replace(path)
    return describe(path)


def _encode(clip: Path, path: Path, width: int, height: int, frames: int, codec: str) -> None:
    scale = VideoReformatter()
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=FPS, options=OPTIONS[codec])
        assert isinstance(stream, VideoStream)  # what it returns depends on the codec
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.time_base = stream.codec_context.time_base = Fraction(1, FPS)
        done = 0
        while done < frames:
            with av.open(str(clip)) as source:
                for picture in source.decode(video=0):
                    if done == frames:
                        break
                    frame: VideoFrame = scale.reformat(picture, width, height, "yuv420p")
                    frame.pts, frame.time_base = done, Fraction(1, FPS)
                    output.mux(stream.encode(frame))
                    done += 1
        output.mux(stream.encode(None))
