"""What no program can pass on this machine: arithmetic, memory, the bus, the video decoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Floor, progress
from benchmarks.timing import samples_s
from models.engines.engine import Precision
from models.engines.failure import reason
from models.engines.torch import forbid_tf32

DTYPES: dict[Precision, torch.dtype] = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.int8,
    "fp8": torch.float8_e4m3fn,
}
DECODERS = {"H100": 7, "H200": 7, "GH200": 7, "B200": 7, "A100": 5, "L40S": 3, "L4": 4, "T4": 2, "A10": 2, "4090": 1}
"""Video decoders (NVDEC) of a GPU, by a word of its name: NVIDIA's support matrix of April 2026."""
FULL_HD = 1920 * 1080
DECODED_OLD, DECODED_NEW = 1000.0, 1400.0
"""1080p H.264 frames per second of one decoder, before and from compute capability 8.9: NVIDIA's own informal middle
figures, "of which 50 to 70 % are reached"."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Rates measured on this machine."""

    flops: dict[Precision, float]
    """Of a large matrix product, per second."""
    memory_bytes: float
    """Read and written by a copy within the device's memory, per second."""
    bus_bytes: float | None
    """Copied from page-locked memory to the GPU, per second; None on the CPU, which has no other memory."""

    def to_json(self) -> dict[str, Any]:
        """In units that people compare."""
        return {
            "matrix_product_tflops": {name: round(rate / 1e12, 3) for name, rate in self.flops.items()},
            "memory_copy_gb_s": round(self.memory_bytes / 1e9, 1),
            "host_to_device_gb_s": None if self.bus_bytes is None else round(self.bus_bytes / 1e9, 1),
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """What one item costs a network at the least, and what every call costs besides."""

    flops: float
    """Of convolutions and matrix products."""
    activations: float
    """Numbers that these read and write, everything between them thought of as fused into them."""
    weights: float
    """Numbers that a call reads once, however many items it has."""
    inputs: float
    """Numbers that come from the host."""


def measure_ceilings(device: torch.device, precisions: Sequence[Precision], *, quick: bool = False) -> Ceilings:
    """Multiply and copy large arrays; a precision that PyTorch cannot multiply in here is left out."""
    forbid_tf32()
    on_cuda = device.type == "cuda"
    repeats = 2 if quick else 5
    side = 512 if quick else 8192 if on_cuda else 2048
    flops: dict[Precision, float] = {}
    for precision in precisions:
        try:
            flops[precision] = _product_rate(device, precision, side, repeats)
        except (RuntimeError, NotImplementedError) as error:
            progress(f"floors: no matrix product in {precision} here ({reason(error)})")
    size = 2**30 if on_cuda else 2**26
    source = torch.empty(size, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    memory_bytes = 2 * size / min(samples_s(lambda: target.copy_(source), device, repeats=repeats))
    bus_bytes = None
    if on_cuda:
        host = torch.empty(2**28, dtype=torch.uint8, pin_memory=True).fill_(1)
        on_device = target[: len(host)]
        bus_bytes = len(host) / min(
            samples_s(lambda: on_device.copy_(host, non_blocking=True), device, repeats=repeats)
        )
    return Ceilings(flops, memory_bytes, bus_bytes)


def _product_rate(device: torch.device, precision: Precision, side: int, repeats: int) -> float:
    random = torch.rand(side, side, device=device)  # zeros would run faster than real numbers do
    other = torch.rand(side, side, device=device)
    if precision == "int8":
        a, b = (random * 100).to(torch.int8), (other * 100).to(torch.int8)
        seconds = samples_s(lambda: torch._int_mm(a, b), device, repeats=repeats)
    elif precision == "fp8":
        one = torch.ones((), device=device)
        a, b = random.to(DTYPES["fp8"]), other.to(DTYPES["fp8"]).t()
        seconds = samples_s(
            lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16), device, repeats=repeats
        )
    else:
        a, b = random.to(DTYPES[precision]), other.to(DTYPES[precision])
        seconds = samples_s(lambda: torch.mm(a, b), device, repeats=repeats)
    return 2 * side**3 / min(seconds)


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers that convolutions and matrix products read and write."""

    PRODUCTS = ("convolution", "mm", "addmm", "bmm", "baddbmm", "linear")

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        tensors = [*network.parameters(), *network.buffers()]
        self._weights = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self.activations = self.weights = 0

    def __torch_dispatch__(  # called by torch, with whatever its operators take
        self,
        func: Any,  # noqa: ANN401
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in self.PRODUCTS:
            for tensor in args:
                if isinstance(tensor, torch.Tensor):
                    if tensor.untyped_storage().data_ptr() in self._weights:
                        self.weights += tensor.numel()
                    else:
                        self.activations += tensor.numel()
            self.activations += result.numel()
        return result


def cost_of(network: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> Cost:
    """What `network` costs, counted while it runs on `example`: CPU tensors [B, ...]."""
    items = len(example[0])
    flops, traffic = FlopCounterMode(display=False), _Traffic(network)
    with torch.no_grad(), flops, traffic:
        network(*example)
    return Cost(
        flops=flops.get_total_flops() / items,
        activations=traffic.activations / items,
        weights=traffic.weights,
        inputs=sum(tensor.numel() for tensor in example) / items,
    )


def network_floor(
    cost: Cost, ceilings: Ceilings, precision: Precision, batch: int, *, from_host: bool
) -> tuple[Floor, dict[str, float]]:
    """The most items per second, and the least milliseconds of a call by what takes them.

    `from_host`: float32 inputs come over the bus.
    """
    size = torch.empty((), dtype=DTYPES[precision]).element_size()
    parts_s = {"memory": (cost.weights + batch * cost.activations) * size / ceilings.memory_bytes}
    if precision in ceilings.flops:
        parts_s["arithmetic"] = batch * cost.flops / ceilings.flops[precision]
    if from_host and ceilings.bus_bytes is not None:
        parts_s["host to device"] = batch * cost.inputs * 4 / ceilings.bus_bytes
    slowest = max(parts_s, key=lambda part: parts_s[part])
    floor = Floor(float(f"{batch / parts_s[slowest]:.5g}"), slowest)
    return floor, {part: float(f"{seconds * 1e3:.4g}") for part, seconds in parts_s.items()}


def bottleneck(floor: Floor, rate: float, *, explains: float = 1 / 3) -> str:
    """What limits a rate: what sets its floor, where that takes a good part of the time; else launching, Python..."""
    share = rate / floor.value
    return (
        floor.what if share >= explains else f"overhead beyond the floor ({floor.what} takes {share:.0%} of the time)"
    )


def decoders(device: torch.device) -> int | None:
    """How many video decoders the GPU has; None when that is not known."""
    if device.type != "cuda":
        return None
    return decoders_of(torch.cuda.get_device_name(device))


def decoders_of(gpu: str) -> int | None:
    """By the GPU's name."""
    words = gpu.upper().replace("-", " ").split()
    return next((count for name, count in DECODERS.items() if name in words), None)


def decode_floor(device: torch.device, codec: str, width: int, height: int, at_once: int) -> Floor | None:
    """The most frames per second that the decoders give, `at_once` files by one each; None when nobody says."""
    engines = decoders(device)
    if engines is None or codec != "h264":
        return None
    each = DECODED_NEW if torch.cuda.get_device_capability(device) >= (8, 9) else DECODED_OLD
    used = min(engines, at_once)
    rate = used * each * FULL_HD / (width * height)
    return Floor(round(rate, 1), f"{used} NVDEC at {each:g} 1080p frames/s each, NVIDIA's informal figure, by pixels")
