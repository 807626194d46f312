"""Pictures put into a device's memory, within its budget: files wait for room, live streams go on without."""

from collections.abc import Callable, Iterator

import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.device import DeviceArray, MemoryBudget
from stream.frame import Pixels
from stream.ingest.decoder import Decoded
from stream.ingest.pictures import Shown

STEP_S = 0.1
"""How long a file waits for room before its reader gets to look at `stop`."""
LONGEST_LIVE_WAIT_S = 0.05
"""A live stream waits for half a frame interval, but no longer than this: it must not fall behind."""


class Room:
    """Where one stream's pictures go."""

    def __init__(self, budget: MemoryBudget, stream: VideoStream, *, live: bool) -> None:
        self._budget = budget
        self._live = live
        interval_s = float(1 / stream.guessed_rate) if stream.guessed_rate else 0.04
        self._wait_s = min(interval_s / 2, LONGEST_LIVE_WAIT_S) if live else STEP_S

    def place(self, shown: Shown, rgb_of: Callable[[VideoFrame], torch.Tensor]) -> Iterator[Decoded | None]:
        """The picture, once there is room: `rgb_of` gives its tensor [H, W, 3] uint8 in the device's memory.

        Meanwhile None for a file; a live stream's picture goes without pixels.
        """
        size = shown.picture.width * shown.picture.height * 3
        while not self._budget.reserve(size, self._wait_s):
            if self._live:
                yield Decoded(None, shown.pts_s, shown.lost)
                return
            yield None
        rgb = DeviceArray(rgb_of(shown.picture))
        self._budget.bind(rgb, size)
        yield Decoded(rgb, shown.pts_s, shown.lost)


def upload(rgb: Pixels, device: torch.device) -> torch.Tensor:
    """A copy on a GPU, which the current stream makes while the CPU goes on; the same memory on the CPU."""
    tensor = torch.from_numpy(rgb)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
