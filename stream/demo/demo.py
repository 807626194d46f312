"""`flamestream demo`: a real clip through the whole pipeline, then the pictures."""

from pathlib import Path

from rich.console import Console
from rich.progress import track as progress_bar

from models.assets import fetch
from stream.config import load_settings
from stream.demo.annotate import write_video
from stream.demo.plot import plot_affect
from stream.demo.record import Recording
from stream.errors import SourceInvalid
from stream.report import run_with_progress


def run_demo(console: Console, *, out: Path, clip: Path | None, redis: str | None, engine: str | None) -> None:
    """Run the demo clip (or `clip`) and write `annotated.mp4` and `affect.png` to `out`."""
    with console.status("fetching the demo clip (1.6 MB, Pexels licence)"):
        path = clip or fetch("demo_clip")
    source_settings = {"url": str(path), "name": "demo" if clip is None else None}
    settings = load_settings(None, {"sources": [source_settings], "redis": redis, "engine": engine})
    recording = Recording()
    report = run_with_progress(settings, console, observer=recording)
    (source,) = report.sources.values()
    if source.error is not None:
        raise SourceInvalid(source.error)

    out.mkdir(parents=True, exist_ok=True)
    video, plot = out / "annotated.mp4", out / "affect.png"
    frames = write_video(path, recording, video)
    for _ in progress_bar(frames, "drawing ", total=len(recording.frames), console=console):
        pass
    plot_affect(recording, f"{path.name}: valence and arousal", plot)
    console.print(f"\nlook at   {video}\n          {plot}", highlight=False, soft_wrap=True)
    console.print(NEXT_STEPS, highlight=False, markup=False, soft_wrap=True)


NEXT_STEPS = """
next      flamestream run YOUR_VIDEO_OR_RTSP_URL        prints the address of its Redis server
          flamestream tail --redis THAT_ADDRESS         shows every event as it is published

in Python
          from stream.client import Subscriber
          with Subscriber("redis://...") as subscriber:
              for event in subscriber.emotions("demo", start="start"):
                  print(event.pts_s, event.track, event.valence, event.arousal)
"""
