"""TensorRT-RTX, for GeForce and RTX cards: the network through ONNX to a plan, built without a GPU, run with one.

A plan holds intermediate code for the cards it was made for; the card's own machine code is made when it is first run.
Its cards have compute capability 7.5, 8.0, 8.6, 8.9, 12.0 or 12.1, which the H100 (9.0) has not.
This module owns the `tensorrt_rtx_bindings` library: nothing else imports it.
"""

import collections
import functools
import importlib.metadata
import importlib.util
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from models.device import open_device
from models.engines.engine import Engine, Precision, Target
from models.engines.failure import as_engine_error, reason
from models.engines.identity import device_identity
from models.engines.program import export_program
from models.engines.tensorrt import PlannedEngine, Shapes, batch_profile, profile_shapes
from models.errors import EngineError
from models.precision import in_precision

log = logging.getLogger(__name__)

PLAN_FILE = "model.engine"

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities TensorRT-RTX 1.7 builds for."""
TURING = "7.5"
"""Of these cards TensorRT-RTX runs half precision only: no bfloat16, no matrix products in float32."""

# The bindings ship no types: these names say which of their objects an `Any` is.
TensorRT: TypeAlias = Any
Logger: TypeAlias = Any
Definition: TypeAlias = Any  # INetworkDefinition
Context: TypeAlias = Any  # IExecutionContext
Severity: TypeAlias = Any
Port: TypeAlias = Any  # ITensor


@dataclass(frozen=True, slots=True)
class Plan:
    """What was built, as TensorRT-RTX describes it."""

    size_bytes: int
    inputs: dict[str, tuple[str, list[int]]]  # by name: type, and shape with -1 for the batch
    outputs: dict[str, tuple[str, list[int]]]
    profile: dict[str, list[list[int]]]  # of each input, by name: smallest, best and largest shape
    layers: dict[tuple[str, str], int]  # how many layers of a kind (CONVOLUTION) compute in a type (HALF)


class TensorRTRTXBackend:
    """The runtime `tensorrt-rtx`: f32, f16 and bf16 on GeForce and RTX cards."""

    def identity(self, target: Target) -> dict[str, Any]:
        """See `Backend`."""
        library()
        packages = ("tensorrt-rtx-cu13-bindings", "onnx", "onnxscript")
        return {
            "device": device_identity(_card(target.device)),
            "versions": {package: importlib.metadata.version(package) for package in packages},
            "batch": {"min": 0, "max": None, "profile": list(batch_profile(target.max_batch))},
        }

    def build(self, network: torch.nn.Module, example: Sequence[torch.Tensor], folder: Path, target: Target) -> None:
        """See `Backend`."""
        capability = _capability(_card(target.device))
        build_plan(network, example, folder / PLAN_FILE, target.precision, target.max_batch, capabilities=(capability,))

    def load(self, folder: Path, target: Target, item_shapes: Sequence[tuple[int, ...]]) -> Engine:
        """See `Backend`."""
        device = _card(target.device)
        path = folder / PLAN_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EngineError(
                f"cannot read {path} ({error.strerror}); remove its folder to have it built again"
            ) from error
        with torch.cuda.device(device):
            runner = PlanRunner(_execution_context(data, path), device)
        return PlannedEngine("tensorrt-rtx", runner, device, item_shapes, target.max_batch)


BACKEND = TensorRTRTXBackend()


class PlanRunner:
    """Runs a plan on tensors of one device, as work on its current stream; not thread-safe."""

    def __init__(self, context: Context, device: torch.device) -> None:
        """`context` is an IExecutionContext of `device`; its tensors are float32 and named as `export_onnx` does."""
        self._context = context
        self._device = device
        names = [context.engine.get_tensor_name(number) for number in range(context.engine.num_io_tensors)]
        self._inputs = _numbered(names, "input")
        self._outputs = _numbered(names, "output")

    def __call__(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Outputs [b, ...], in memory of their own, for inputs [b, ...] within the plan's profile."""
        tensors = [tensor.contiguous() for tensor in inputs]
        for name, tensor in zip(self._inputs, tensors, strict=True):
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                raise EngineError(
                    f"the plan does not take {name} of {list(tensor.shape)}; the largest batch is too small"
                )
            self._context.set_tensor_address(name, tensor.data_ptr())
        outputs = []
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            outputs.append(torch.empty(shape, dtype=torch.float32, device=self._device))
            self._context.set_tensor_address(name, outputs[-1].data_ptr())
        stream = torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else 0
        if not self._context.execute_async_v3(stream):
            raise EngineError(f"TensorRT-RTX cannot run the plan ({_complaints()}); report it")
        return outputs


def build_plan(
    network: torch.nn.Module,
    example: Sequence[torch.Tensor],
    path: Path,
    precision: Precision,
    max_batch: int,
    *,
    capabilities: Sequence[str] | None = None,
) -> Plan:
    """Write a plan to `path` that runs `network` in `precision` for 1 to `max_batch` items. Needs no GPU.

    `network` is float32, on the CPU and in evaluation mode; `example` holds one tensor [B, ...] per input, B >= 2.
    `capabilities`: the cards it is for, by default all that know the precision. Raises EngineError for a network that
    cannot be exported, parsed or built.
    """
    library()
    possible = [capability for capability in CAPABILITIES if capability != TURING or precision == "f16"]
    capabilities = capabilities or possible
    unknown = [capability for capability in capabilities if capability not in possible]
    if unknown:
        raise EngineError(
            f"TensorRT-RTX does not build for compute capability {', '.join(unknown)} in {precision}, "
            f"only for {', '.join(possible)}"
        )
    onnx = export_onnx(in_precision(network, precision), example, max_batch)
    return compile_onnx(onnx, profile_shapes(example, max_batch), path, capabilities)


def export_onnx(network: torch.nn.Module, example: Sequence[torch.Tensor], max_batch: int) -> bytes:
    """`network` as an ONNX model, the batch open: inputs `input0`.., outputs `output0`.., in their order."""
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise EngineError(
                f"the tensorrt-rtx engine needs {package}; install it with `pip install 'flamestream[rtx]'`"
            )
    program = export_program(network, example, max_batch=max_batch)
    outputs = len(program.graph_signature.user_outputs)
    with as_engine_error("the network cannot be written as ONNX", remedy="use the inductor engine"):
        model = torch.onnx.export(
            program,
            input_names=[f"input{number}" for number in range(len(example))],
            output_names=[f"output{number}" for number in range(outputs)],
            dynamo=True,
            optimize=True,  # folds constants: TensorRT wants the axes of a mean, say, to be one
            verbose=False,
        )
    assert model is not None  # it is for a call with a file name only
    return bytes(model.model_proto.SerializeToString())


def compile_onnx(onnx: bytes, shapes: Sequence[Shapes], path: Path, capabilities: Sequence[str]) -> Plan:
    """Write a plan to `path` for a model of `export_onnx`, in the types it is written in; `shapes` of each input."""
    trt = library()
    builder = trt.Builder(_logger())
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(definition, onnx)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 means float32
    config.num_compute_capabilities = len(capabilities)
    for number, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, "SM" + capability.replace(".", "")), number)
    profile = builder.create_optimization_profile()
    for number, of_input in enumerate(shapes):
        profile.set_shape(f"input{number}", *(of_input[which] for which in ("min_shape", "opt_shape", "max_shape")))
    config.add_optimization_profile(profile)
    # `onnx` is still referenced here: the definition reads its weights where they lie.
    data = builder.build_serialized_network(definition, config)
    if data is None:
        raise EngineError(f"TensorRT-RTX cannot build the network ({_complaints()}); use the inductor engine")
    path.write_bytes(data)
    inputs = _ports(map(definition.get_input, range(definition.num_inputs)))
    return Plan(
        size_bytes=data.nbytes,
        inputs=inputs,
        outputs=_ports(map(definition.get_output, range(definition.num_outputs))),
        profile={name: [list(shape) for shape in profile.get_shape(name)] for name in inputs},
        layers=_layers(definition),
    )


@functools.cache
def library() -> TensorRT:
    """The `tensorrt_rtx_bindings` module. Raises EngineError when it is not installed."""
    with as_engine_error(
        "the tensorrt-rtx engine cannot be imported",
        remedy="install it with `pip install 'flamestream[rtx]'` or choose the inductor engine",
        kinds=(ImportError, OSError),
    ):
        return importlib.import_module("tensorrt_rtx_bindings")


_said: collections.deque[str] = collections.deque(maxlen=8)
"""The latest errors TensorRT-RTX has logged: its functions give None, and only the log says why."""


@functools.cache
def _logger() -> Logger:
    """The one logger that TensorRT-RTX takes per process."""
    trt = library()
    levels = {trt.ILogger.WARNING: logging.WARNING, trt.ILogger.INFO: logging.INFO, trt.ILogger.VERBOSE: logging.DEBUG}

    def write(self: Logger, severity: Severity, message: str) -> None:
        level = levels.get(severity, logging.ERROR)
        log.log(level, "%s", message)
        if level == logging.ERROR:
            _said.append(message)

    def initialise(self: Logger) -> None:
        trt.ILogger.__init__(self)

    return type("Logger", (trt.ILogger,), {"__init__": initialise, "log": write})()


def _complaints() -> str:
    """The last thing TensorRT-RTX complained about."""
    return reason(RuntimeError(_said[-1] if _said else "it does not say why"))


def _parse(definition: Definition, onnx: bytes) -> None:
    parser = library().OnnxParser(definition, _logger())
    if not parser.parse(onnx):
        problems = [parser.get_error(number) for number in range(parser.num_errors)]
        told = f"{problems[0].node_operator()}: {problems[0].desc()}" if problems else _complaints()
        raise EngineError(
            f"TensorRT-RTX cannot read the network ({reason(RuntimeError(told))}); use the inductor engine"
        )


def _layers(definition: Definition) -> dict[tuple[str, str], int]:
    found = map(definition.get_layer, range(definition.num_layers))
    return dict(collections.Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in found))


def _ports(ports: Iterable[Port]) -> dict[str, tuple[str, list[int]]]:
    return {port.name: (port.dtype.name, list(port.shape)) for port in ports}


def _numbered(names: Sequence[str], kind: str) -> list[str]:
    return sorted((name for name in names if name.startswith(kind)), key=lambda name: int(name.removeprefix(kind)))


def _card(device: torch.device) -> torch.device:
    """`device`, when TensorRT-RTX runs on it."""
    if device.type != "cuda" or not torch.cuda.is_available():
        raise EngineError(
            f"the tensorrt-rtx engine runs on GeForce and RTX cards, but device {device} is to be used and torch sees "
            f"{torch.cuda.device_count()} GPUs; `flamestream doctor` tells why, and --engine openvino runs on the CPU"
        )
    open_device(str(device))  # refuses a card that is not there
    capability = _capability(device)
    if capability not in CAPABILITIES:
        raise EngineError(
            f"{torch.cuda.get_device_name(device)} has compute capability {capability}, and TensorRT-RTX runs on "
            f"{', '.join(CAPABILITIES)} only; use the tensorrt or the inductor engine"
        )
    return device


def _capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"


def _execution_context(data: bytes, path: Path) -> Context:
    """The plan on the current GPU."""
    trt = library()
    engine = trt.Runtime(_logger()).deserialize_cuda_engine(data)
    context = None if engine is None else engine.create_execution_context()
    if context is None:
        raise EngineError(
            f"TensorRT-RTX cannot load {path} ({_complaints()}); remove its folder to have it built again"
        )
    return context
