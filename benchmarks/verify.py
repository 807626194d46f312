"""What every run must show before its figures count: frames accounted for, events on the server."""

from collections import defaultdict
from collections.abc import Mapping

from benchmarks.figures import BenchmarkInvalid
from stream.client.subscriber import Subscriber
from stream.emit.schema import EmotionEvent
from stream.run import SourceReport


def read_back(url: str, run: str) -> dict[str, list[EmotionEvent]]:
    """The emotion events of a run that the server holds, by source."""
    events: defaultdict[str, list[EmotionEvent]] = defaultdict(list)
    with Subscriber(url) as subscriber:
        for event in subscriber.emotions(start="start", block_s=0):
            if event.run == run:
                events[event.source].append(event)
    return events


def check_sources(sources: Mapping[str, SourceReport], events: Mapping[str, list[EmotionEvent]]) -> None:
    """Raises BenchmarkInvalid for a source that failed, lost sight of frames, or whose events are not on the server."""
    for name, source in sources.items():
        if source.error is not None:
            raise BenchmarkInvalid(f"source {name} failed: {source.error}")
        if unaccounted(source):
            raise BenchmarkInvalid(f"source {name}: {unaccounted(source)} frames unaccounted for: {source}")
        frames = {event.seq for event in events.get(name, ())}
        if len(frames) != source.published:
            raise BenchmarkInvalid(f"source {name}: {source.published} frames published, {len(frames)} on the server")
        if not all(-1 <= event.valence <= 1 and -1 <= event.arousal <= 1 for event in events.get(name, ())):
            raise BenchmarkInvalid(f"source {name}: valence or arousal outside -1..1")


def unaccounted(source: SourceReport) -> int:
    """Frames received of which nobody knows what became; 0 by the law of conservation."""
    return source.received - source.published - source.no_face - sum(source.dropped.values())
