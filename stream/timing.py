"""How long each stage works per frame: medians, cheap enough to be always on."""

import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

KEPT_SAMPLES = 4096
"""Newest samples per stage: two minutes at 30 fps, and a bounded memory."""


class StageTimes:
    """Busy time of each stage, waiting excluded. Thread-safe."""

    def __init__(self) -> None:
        self._samples: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT_SAMPLES))
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str, frames: int = 1) -> Iterator[None]:
        """Time a block that works on `frames` frames."""
        started_s = time.perf_counter()
        yield
        self.add(stage, (time.perf_counter() - started_s) / max(frames, 1))

    def add(self, stage: str, elapsed_s: float) -> None:
        """Record one sample, seconds per frame."""
        with self._lock:
            self._samples[stage].append(elapsed_s)

    def medians_ms(self) -> dict[str, float]:
        """Median busy time per frame of each stage, milliseconds."""
        with self._lock:
            return {stage: statistics.median(samples) * 1e3 for stage, samples in self._samples.items()}
