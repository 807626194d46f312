"""Where networks and pixels live: the CPU, or one NVIDIA GPU whose stages run on CUDA streams of their own."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.errors import EngineError

CPU = torch.device("cpu")


def open_device(name: str = "auto") -> torch.device:
    """The device that `name` asks for: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:1`.

    Raises EngineError for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else CPU
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"device {name}: expected auto, cpu, cuda or cuda:1 and so on")
    if device.type == "cpu":
        return CPU
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= found:
        raise EngineError(
            f"device {name}: torch sees {found or 'no'} GPU{'s' if found > 1 else ''} here; "
            "`flamestream doctor` tells why, and --device cpu works everywhere"
        )
    return torch.device("cuda", index)


class DeviceArray:
    """A tensor that one stage makes and another reads, each on its own CUDA stream, without either waiting on the CPU.

    Works alike with CPU tensors, where there is nothing to wait for.
    """

    __slots__ = ("__weakref__", "_event", "_tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        """`tensor` is the result of work already queued on the current stream."""
        self._tensor = tensor
        self._event = _queued_now(tensor.device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(self._tensor.shape)

    def __getitem__(self, items: slice) -> "DeviceArray":
        """Some of its items, in the same memory."""
        part = DeviceArray.__new__(DeviceArray)
        part._tensor, part._event = self._tensor[items], self._event
        return part

    def here(self) -> torch.Tensor:
        """The tensor, for work that is queued on the current stream from now on."""
        if self._event is not None:
            stream = torch.cuda.current_stream(self._tensor.device)
            self._event.wait(stream)
            self._tensor.record_stream(stream)  # its memory is not used again before this stream has read it
        return self._tensor


def _queued_now(device: torch.device) -> torch.cuda.Event | None:
    """An event that ends with the work queued so far on the current stream; None on the CPU."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


@contextmanager
def own_stream(device: torch.device, *, first: bool = False) -> Iterator[None]:
    """Gives the calling thread a CUDA stream of its own on `device`; does nothing on the CPU.

    `first`: for many threads whose small work others wait for, such as reading; the GPU takes it first.
    Raises EngineError when the work in it finds the device's memory full.
    """
    if device.type != "cuda":
        yield
        return
    # PyTorch has 32 streams of each priority and hands them out in turn. Another priority keeps the many apart from
    # the few, after whose long work theirs would come; and both from those (priority 0) on which CUDA graphs are
    # recorded, with all that others put there meanwhile.
    stream = torch.cuda.Stream(device, priority=-2 if first else -1)  # type: ignore[no-untyped-call]
    try:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            yield
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"device {device} has no memory left ({str(error).partition('. GPU')[0]}); read fewer sources at once, "
            "lower gpu_memory_mib, or end what else runs on it"
        ) from error


class MemoryBudget:
    """How many bytes of decoded pictures may be in a device's memory at once, over all sources.

    Reserve before allocating, then bind the reservation to what was allocated: it ends with that object.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.peak_bytes = 0
        self._freed = threading.Condition()

    def reserve(self, count: int, wait_s: float) -> bool:
        """Whether `count` more bytes may be used, waiting at most `wait_s` seconds for others to free theirs.

        One picture always may when nothing is held, however large: else it would never be processed.
        """
        with self._freed:
            if not self._freed.wait_for(lambda: self._fits(count), wait_s):
                return False
            self.held_bytes += count
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
            return True

    def bind(self, holder: object, count: int) -> None:
        """Gives `count` reserved bytes back when `holder` is no longer referenced."""
        weakref.finalize(holder, self.release, count).atexit = False

    def release(self, count: int) -> None:
        """Gives reserved bytes back."""
        with self._freed:
            self.held_bytes -= count
            self._freed.notify_all()

    def _fits(self, count: int) -> bool:
        return self.held_bytes == 0 or self.held_bytes + count <= self.limit_bytes
