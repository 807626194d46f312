"""TensorFlow Lite operators as torch modules: each takes the activations of one operator and returns its output.

Image operators work channels first, because that is what torch and every engine run fastest; `models.tflite` places
the transpositions. Constants become buffers, so a graph's weights are its `state_dict`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]


class Layout(StrEnum):
    """How an operator wants its 4-D activations."""

    AS_WRITTEN = "as written"  # the file's own order: batch, height, width, channels
    CHANNELS_FIRST = "channels first"
    EITHER = "either"  # but all inputs alike, and the output is like them


class UnsupportedError(ValueError):
    """An operator, or a use of it, that has no torch counterpart here; the importer turns it into a GraphError."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator as the file describes it."""

    operator: str
    options: Mapping[str, int]
    shapes: tuple[Shape, ...]  # of every input, batch 1
    constants: tuple[Tensor | None, ...]  # the value of every input that is not an activation
    output_shape: Shape

    def constant(self, position: int) -> Tensor:
        """The constant that this operator must have at an input."""
        value = self.constants[position] if position < len(self.constants) else None
        if value is None:
            raise UnsupportedError(f"input {position} is computed, a constant was expected")
        return value

    def axes(self, position: int) -> list[int]:
        """Constant axis numbers, counted from the front; the batch axis is not allowed among them."""
        rank = len(self.shapes[0])
        axes = [int(axis) % rank for axis in self.constant(position).flatten().tolist()]
        if 0 in axes:
            raise UnsupportedError("it works across the batch axis")
        return axes


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis, before and after: the odd pixel goes after."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _activation(options: Mapping[str, int]) -> Callable[[Tensor], Tensor]:
    code = options.get("FusedActivationFunction", 0)
    known: dict[int, Callable[[Tensor], Tensor]] = {0: lambda x: x, 1: F.relu, 3: F.relu6}
    if code not in known:
        raise UnsupportedError(f"fused activation {code} is not one of none (0), relu (1), relu6 (3)")
    return known[code]


def _padding(node: Node, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> list[int]:
    """Padding of the last two axes in torch's order: left, right, top, bottom."""
    if node.options["Padding"] == 1:  # VALID
        return [0, 0, 0, 0]
    height, width = node.shapes[0][1:3]
    top, bottom = same_padding(height, kernel[0], stride[0], dilation[0])
    left, right = same_padding(width, kernel[1], stride[1], dilation[1])
    return [left, right, top, bottom]


class Convolution(nn.Module):
    """CONV_2D (weights [out, h, w, in]) and DEPTHWISE_CONV_2D (weights [1, h, w, channels])."""

    weight: Tensor
    bias: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        depthwise = node.operator == "DEPTHWISE_CONV_2D"
        weight = node.constant(1)
        weight = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
        self.groups = node.shapes[0][3] if depthwise else 1
        if weight.shape[1] * self.groups != node.shapes[0][3]:
            raise UnsupportedError(f"weights for {weight.shape[1]} channels, the input has {node.shapes[0][3]}")
        bias = node.constant(2) if len(node.shapes) > 2 else torch.zeros(weight.shape[0])
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("bias", bias)
        self.stride = (node.options["StrideH"], node.options["StrideW"])
        self.dilation = (node.options["DilationHFactor"], node.options["DilationWFactor"])
        kernel = (weight.shape[2], weight.shape[3])
        self.pad = _padding(node, kernel, self.stride, self.dilation)
        # Symmetric padding goes into the convolution itself: engines need not fold a separate pad.
        self.even_pad = (self.pad[2], self.pad[0]) if self.pad[0::2] == self.pad[1::2] else None
        self.activation = _activation(node.options)

    def forward(self, x: Tensor) -> Tensor:  # [B, in, H, W] -> [B, out, H', W']
        if self.even_pad is None:
            x = F.pad(x, self.pad)
        x = F.conv2d(x, self.weight, self.bias, self.stride, self.even_pad or (0, 0), self.dilation, self.groups)
        return self.activation(x)


class MaxPool(nn.Module):
    """MAX_POOL_2D; padding never wins."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.kernel = (node.options["FilterHeight"], node.options["FilterWidth"])
        self.stride = (node.options["StrideH"], node.options["StrideW"])
        self.pad = _padding(node, self.kernel, self.stride, (1, 1))
        self.activation = _activation(node.options)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.pad):
            x = F.pad(x, self.pad, value=float("-inf"))
        return self.activation(F.max_pool2d(x, self.kernel, self.stride))


class Prelu(nn.Module):
    """PRELU with one slope per channel."""

    slope: Tensor

    def __init__(self, node: Node) -> None:
        super().__init__()
        slope = node.constant(1)
        if slope.numel() != node.shapes[0][3]:
            raise UnsupportedError(f"{slope.numel()} slopes for {node.shapes[0][3]} channels")
        self.register_buffer("slope", slope.flatten().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.slope)


class Pad(nn.Module):
    """PAD with zeros; MediaPipe's graphs also widen the channels with it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        amounts = [[int(n) for n in pair] for pair in node.constant(1).tolist()]
        if amounts[0] != [0, 0]:
            raise UnsupportedError("it pads the batch axis")
        _, rows, columns, channels = amounts
        self.pad = [*columns, *rows, *channels]

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pad)


class Elementwise(nn.Module):
    """One or two activations, or an activation and a constant, in the order the file gives."""

    constant: Tensor | None

    def __init__(self, node: Node, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.activation = _activation(node.options)
        given = [value for value in node.constants if value is not None]
        if len(given) > 1:
            raise UnsupportedError(f"{len(given)} constants")
        self.constant_first = bool(given) and node.constants[0] is not None
        self.register_buffer("constant", given[0] if given else None)

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.constant is not None:
            inputs = (self.constant, *inputs) if self.constant_first else (*inputs, self.constant)
        return self.activation(self.function(*inputs))


class Reduce(nn.Module):
    """MEAN or SUM over axes other than the batch."""

    def __init__(self, node: Node, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.axes = node.axes(1)
        self.keep = bool(node.options["KeepDims"])

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.axes, keepdim=self.keep)


class Reshape(nn.Module):
    """RESHAPE with the file's baked batch of 1 replaced by the real batch."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        if node.output_shape[0] != 1:
            raise UnsupportedError(f"it folds the batch axis into {list(node.output_shape)}")
        self.tail = node.output_shape[1:]

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.tail)


class Transpose(nn.Module):
    """TRANSPOSE of the axes behind the batch."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.order = [int(axis) for axis in node.constant(1).tolist()]
        if self.order[0] != 0:
            raise UnsupportedError("it moves the batch axis")

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class StridedSlice(nn.Module):
    """STRIDED_SLICE with step 1; a slice that would drop the batch of 1 keeps it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        begin, end, step = ([int(n) for n in node.constant(i).tolist()] for i in (1, 2, 3))
        options = node.options
        if set(step) != {1} or options["EllipsisMask"] or options["NewAxisMask"] or options["ShrinkAxisMask"] & ~1:
            raise UnsupportedError("only slices of step 1 that keep every axis but the batch's are known")
        if node.shapes[0][0] != 1:
            raise UnsupportedError(f"its input has no batch axis: {list(node.shapes[0])}")
        self.slices = [
            slice(
                None if options["BeginMask"] >> axis & 1 else begin[axis],
                None if options["EndMask"] >> axis & 1 else end[axis],
            )
            for axis in range(1, len(begin))
        ]

    def forward(self, x: Tensor) -> Tensor:
        return x[(slice(None), *self.slices)]


class Concatenation(nn.Module):
    """CONCATENATION of activations and constants; a constant is repeated for each item of the batch."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.axis = node.options["Axis"] % len(node.output_shape)
        if self.axis == 0:
            raise UnsupportedError("it joins along the batch axis")
        for position, value in enumerate(node.constants):
            self.register_buffer(f"constant{position}", value)
        self.activation = _activation(node.options)

    def forward(self, *inputs: Tensor) -> Tensor:
        batch = inputs[0].shape[0]
        rest = iter(inputs)
        parts = []
        for value in self._buffers.values():
            parts.append(next(rest) if value is None else value.expand(batch, *value.shape[1:]))
        return self.activation(torch.cat(parts, self.axis))


class ToChannelsFirst(nn.Module):
    """[B, H, W, C] -> [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class ToChannelsLast(nn.Module):
    """[B, C, H, W] -> [B, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Operator:
    """How to build an operator, in which layout, and which options of its table it reads."""

    build: Callable[[Node], nn.Module]
    layout: Layout
    table: str | None = None  # name of the options table in the TensorFlow Lite schema
    options: tuple[str, ...] = ()


def _elementwise(function: Callable[..., Tensor], table: str | None = None) -> Operator:
    options = ("FusedActivationFunction",) if table else ()
    return Operator(lambda node: Elementwise(node, function), Layout.EITHER, table, options)


def _reduce(function: Callable[..., Any]) -> Operator:
    return Operator(lambda node: Reduce(node, function), Layout.AS_WRITTEN, "ReducerOptions", ("KeepDims",))


_CONVOLUTION = ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction")
_POOL = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")
_SLICE = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")

OPERATORS: dict[str, Operator] = {
    "CONV_2D": Operator(Convolution, Layout.CHANNELS_FIRST, "Conv2DOptions", _CONVOLUTION),
    "DEPTHWISE_CONV_2D": Operator(Convolution, Layout.CHANNELS_FIRST, "DepthwiseConv2DOptions", _CONVOLUTION),
    "MAX_POOL_2D": Operator(MaxPool, Layout.CHANNELS_FIRST, "Pool2DOptions", _POOL),
    "PRELU": Operator(Prelu, Layout.CHANNELS_FIRST),
    "PAD": Operator(Pad, Layout.CHANNELS_FIRST),
    "RELU": _elementwise(F.relu),
    "LOGISTIC": _elementwise(torch.sigmoid),
    "NEG": _elementwise(torch.neg),
    "SQRT": _elementwise(torch.sqrt),
    "RSQRT": _elementwise(torch.rsqrt),
    "ADD": _elementwise(torch.add, "AddOptions"),
    "SUB": _elementwise(torch.sub, "SubOptions"),
    "MUL": _elementwise(torch.mul, "MulOptions"),
    "DIV": _elementwise(torch.div, "DivOptions"),
    "SQUARED_DIFFERENCE": _elementwise(lambda a, b: (a - b).square()),
    "MEAN": _reduce(torch.mean),
    "SUM": _reduce(torch.sum),
    "RESHAPE": Operator(Reshape, Layout.AS_WRITTEN),
    "TRANSPOSE": Operator(Transpose, Layout.AS_WRITTEN),
    "STRIDED_SLICE": Operator(StridedSlice, Layout.AS_WRITTEN, "StridedSliceOptions", _SLICE),
    "CONCATENATION": Operator(
        Concatenation, Layout.AS_WRITTEN, "ConcatenationOptions", ("Axis", "FusedActivationFunction")
    ),
}
"""Every operator of MediaPipe's face graphs; DEQUANTIZE of float16 weights is done while importing."""
