"""8-bit networks, through NVIDIA's ModelOpt: layers whose inputs and weights are rounded to few levels.

The ranges come from real inputs run through the network on the CPU. What comes out still computes in float32, with the
rounding put in; TensorRT finds it in the exported graph and runs those layers in 8 bits. Whether the result is good
enough is decided where every engine is: by the parity check.
This module owns the `modelopt` library: nothing else imports it, and it takes 20 s to import.
"""

import contextlib
import copy
import importlib.metadata
import importlib.util
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import torch

from models.engines.engine import Precision
from models.engines.failure import as_engine_error
from models.errors import EngineError
from models.tflite_ops import Convolution

PRECISIONS: tuple[Precision, ...] = ("int8", "fp8")

NOT_INSTALLED = "int8 and fp8 need ModelOpt; install it with `pip install 'flamestream[gpu]'` or use f16"

# modelopt's types are not strict enough to check against: this name says which module an `Any` is.
ModelOpt: TypeAlias = Any
Quantiser: TypeAlias = Any


def quantise(network: torch.nn.Module, example: Sequence[torch.Tensor], precision: Precision) -> torch.nn.Module:
    """A copy of `network` with the inputs and weights of its convolutions and linear layers rounded to 8 bits.

    `network` is float32, on the CPU and in evaluation mode. int8: 255 equal steps, of each output channel's own size
    for weights; fp8: E4M3, one scale per tensor. Activations are scaled by the largest number that `example`, real
    inputs [B, ...], leads to; larger ones are cut off later. Layers with a forward of their own, like timm's
    convolutions with TensorFlow's padding, stay as they are. Raises EngineError when nothing in it can be quantised.
    """
    mtq = library()
    config = {"int8": mtq.INT8_DEFAULT_CFG, "fp8": mtq.FP8_DEFAULT_CFG}.get(precision)
    if config is None:
        raise ValueError(f"precision {precision} is not one of {', '.join(PRECISIONS)}")

    def calibrate(quantised: torch.nn.Module) -> None:
        with torch.no_grad():
            quantised(*example)

    with (
        as_engine_error("ModelOpt cannot quantise the network", remedy="use f16", kinds=(RuntimeError, ValueError)),
        contextlib.redirect_stdout(io.StringIO()),  # it prints how many quantisers it has put in
        _known_warnings(),
    ):
        result: torch.nn.Module = mtq.quantize(copy.deepcopy(network), copy.deepcopy(config), calibrate)
    return result.eval().requires_grad_(False)


def quantised_layers(network: torch.nn.Module) -> list[str]:
    """Names of the layers of a quantised network whose inputs and weights are both rounded."""
    return [
        name
        for name, module in network.named_modules()
        if _rounds(getattr(module, "weight_quantizer", None)) and _rounds(getattr(module, "input_quantizer", None))
    ]


@contextlib.contextmanager
def exporting(network: torch.nn.Module) -> Iterator[None]:
    """While a network is exported: the roundings of a quantised one become operators that TensorRT knows.

    Only on a GPU: on the CPU ModelOpt rounds with code that looks at the numbers, which torch.export refuses.
    """
    if not quantised_layers(network):
        yield
        return
    library()
    from modelopt.torch.quantization.utils import export_torch_mode

    with export_torch_mode():
        yield


def library() -> ModelOpt:
    """`modelopt.torch.quantization`. Raises EngineError, saying what to install, when it cannot be imported."""
    if importlib.util.find_spec("modelopt") is None:
        raise EngineError(NOT_INSTALLED)
    with (
        as_engine_error(
            "ModelOpt cannot be imported",
            remedy="install what it misses, as `pip install 'flamestream[gpu]'` does, or use f16",
            kinds=(ImportError, RuntimeError, AttributeError, OSError),
        ),
        _known_warnings(),
    ):
        import modelopt.torch.quantization as mtq

        _register(mtq)
        return mtq


def version() -> str:
    """Version of ModelOpt, without importing it. Raises EngineError when it is not installed."""
    try:
        return importlib.metadata.version("nvidia-modelopt")
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineError(NOT_INSTALLED) from error


def _register(mtq: ModelOpt) -> None:
    """Tells ModelOpt that the convolutions of imported graphs are convolutions: it knows PyTorch's own."""
    from modelopt.torch.quantization.nn.modules.quant_module import QuantLinearConvBase, QuantModuleRegistry
    from modelopt.torch.quantization.tensor_quant import QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL

    if Convolution in QuantModuleRegistry:
        return
    quantised = type(
        "QuantConvolution",
        (QuantLinearConvBase,),
        {"default_quant_desc_weight": QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL},
    )
    mtq.register(original_cls=Convolution, quantized_cls=quantised)


def _rounds(quantiser: Quantiser) -> bool:
    return quantiser is not None and bool(quantiser.is_enabled)


@contextlib.contextmanager
def _known_warnings() -> Iterator[None]:
    """What ModelOpt says about itself and not about the network: old functions it uses, packages it can do without."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=r".*torch\.jit\.script.*")
        warnings.filterwarnings("ignore", category=UserWarning, message="Cannot find transformers package")
        yield
