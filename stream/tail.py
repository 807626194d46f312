"""`flamestream tail`: events as lines, for people and for machines."""

import json
import os
import sys
from itertools import islice

from stream.client.subscriber import Subscriber
from stream.emit.schema import EmotionEvent
from stream.errors import ConfigError


def print_events(
    source: str | None, redis: str | None, prefix: str, start: str, count: int | None, *, as_json: bool
) -> None:
    """Write emotion events to standard output until `count` or Ctrl-C."""
    if redis is None:
        raise ConfigError("no server to read from; give --redis URL (a run prints its own) or set FLAMESTREAM_REDIS")
    with Subscriber(redis, prefix=prefix) as subscriber:
        try:
            for event in islice(subscriber.emotions(source, start=start), count):
                line = json.dumps(event.to_json()) if as_json else _line(event)
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
        except KeyboardInterrupt:
            return  # the normal way to end an endless listing
        except BrokenPipeError:
            # The reader, `head` say, has seen enough. Python would complain once more when it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(event: EmotionEvent) -> str:
    return (
        f"{event.source}  {event.pts_s:9.3f} s  face {event.track}  "
        f"valence {event.valence:+.3f}  arousal {event.arousal:+.3f}  confidence {event.confidence:.2f}"
        f"{_emotion(event)}"
    )


def _emotion(event: EmotionEvent) -> str:
    if event.emotion is None or event.emotions is None:
        return ""
    return f"  {event.emotion} {event.emotions.get(event.emotion, 0):.2f}"
