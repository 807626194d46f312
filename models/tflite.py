"""Imports a TensorFlow Lite graph as a torch module that takes any batch size.

Written for MediaPipe's float graphs: float32 activations, float16 weights behind DEQUANTIZE, batch 1 baked in.
The schema is that of tensorflow/lite/schema/schema.fbs, read through the `tflite` package.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import GraphError
from models.tflite_ops import OPERATORS, Layout, Node, Shape, ToChannelsFirst, ToChannelsLast, UnsupportedError

# tflite ships no types: these names say which of its tables an `Any` is.
Schema: TypeAlias = Any
Operator: TypeAlias = Any

_DTYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
"""TensorType of the schema -> element type; quantised types are not known."""

_MALFORMED = (struct.error, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)
"""What the flatbuffer reader and torch raise when offsets, lengths or shapes are nonsense."""


class Graph(nn.Module):
    """An imported graph. Inputs and outputs have the file's axes (images [B, H, W, C]), with a real batch axis."""

    def __init__(
        self, sha256: str, steps: list[tuple[nn.Module, list[str], str]], inputs: list[str], outputs: list[str]
    ) -> None:
        super().__init__()
        self.sha256 = sha256
        self.steps = nn.ModuleList(step for step, _, _ in steps)
        self.wiring = [(sources, target) for _, sources, target in steps]
        self.inputs = inputs
        self.outputs = outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(self.inputs, inputs, strict=True))
        for step, (sources, target) in zip(self.steps, self.wiring, strict=True):
            values[target] = step(*(values[source] for source in sources))
        return tuple(values[name] for name in self.outputs)

    def extra_repr(self) -> str:
        """Names the file's content, so that two graphs with equal weights but other wiring never look the same."""
        return f"sha256={self.sha256}"


def import_graph(data: bytes, name: str) -> Graph:
    """The graph in a .tflite file's bytes, as float32, in evaluation mode.

    Raises GraphError, naming `name` and the operator, for a file that is cut short or holds something unknown.
    """
    if data[4:8] != b"TFL3":
        raise GraphError(f"{name}: not a TensorFlow Lite file (no TFL3 mark); fetch it again")
    try:
        graph = _Importer(data, name).run()
    except GraphError:
        raise
    except _MALFORMED as error:
        raise GraphError(f"{name}: the file is cut short or damaged ({error}); fetch it again") from error
    return graph.eval().requires_grad_(False)


@dataclass
class _Importer:
    data: bytes
    name: str
    steps: list[tuple[nn.Module, list[str], str]] = field(default_factory=list)
    constants: dict[int, Tensor] = field(default_factory=dict)
    layouts: dict[int, Layout] = field(default_factory=dict)  # of the activations known so far, by tensor number
    converted: dict[tuple[int, Layout], str] = field(default_factory=dict)

    def run(self) -> Graph:
        import tflite  # 0.3 s of generated modules: paid only by who imports a graph

        self.schema: Schema = tflite
        self.model = tflite.Model.GetRootAsModel(self.data, 0)
        if self.model.SubgraphsLength() != 1:
            raise GraphError(f"{self.name}: {self.model.SubgraphsLength()} subgraphs, 1 expected")
        self.graph = self.model.Subgraphs(0)
        inputs = [int(i) for i in self.graph.InputsAsNumpy()]
        outputs = [int(i) for i in self.graph.OutputsAsNumpy()]
        for number in inputs:
            self.layouts[number] = Layout.AS_WRITTEN
        for position in range(self.graph.OperatorsLength()):
            self._add(self.graph.Operators(position))
        names = [self._value(i, Layout.AS_WRITTEN) for i in outputs]
        return Graph(hashlib.sha256(self.data).hexdigest(), self.steps, [str(i) for i in inputs], names)

    def _add(self, operator: Operator) -> None:
        """Appends one operator, and the transpositions it needs."""
        kind = self._kind(operator)
        inputs = [int(i) for i in operator.InputsAsNumpy() if i >= 0]
        (output,) = (int(i) for i in operator.OutputsAsNumpy())
        if kind == "DEQUANTIZE" and (half := self._constant(inputs[0])) is not None:
            self.constants[output] = half.float()
            return
        try:
            self._build(kind, operator, inputs, output)
        except UnsupportedError as error:
            raise GraphError(f"{self.name}: operator {kind} (tensor {output}): {error}") from error

    def _build(self, kind: str, operator: Operator, inputs: list[int], output: int) -> None:
        known = OPERATORS.get(kind)
        if known is None:
            raise UnsupportedError("not one the importer knows; known are " + ", ".join(sorted(OPERATORS)))
        options = self._options(operator, known.table, known.options)
        constants = tuple(self._constant(i) for i in inputs)
        shapes = tuple(self._shape(i) for i in inputs)
        node = Node(kind, options, shapes, constants, self._shape(output))
        activations = [i for i, value in zip(inputs, constants, strict=True) if value is None]
        for number in activations:
            if self._shape(number)[:1] != (1,):
                raise UnsupportedError(f"its input {list(self._shape(number))} has no batch axis of 1")
        layout = self._layout(known.layout, activations, constants)
        self.steps.append((known.build(node), [self._value(i, layout) for i in activations], str(output)))
        self.layouts[output] = layout

    def _layout(self, wanted: Layout, activations: list[int], constants: tuple[Tensor | None, ...]) -> Layout:
        """The layout an operator runs in: its own, or for elementwise ones what its inputs already have."""
        if wanted is not Layout.EITHER:
            return wanted
        first = {self.layouts[i] for i in activations} == {Layout.CHANNELS_FIRST}
        return Layout.CHANNELS_FIRST if first and all(value is None for value in constants) else Layout.AS_WRITTEN

    def _value(self, number: int, layout: Layout) -> str:
        """The name under which an activation is found in a layout; transposes it once when it has the other."""
        if number not in self.layouts:
            raise UnsupportedError(f"tensor {number} is used before it is computed")
        if self.layouts[number] is layout:
            return str(number)
        if len(self._shape(number)) != 4:
            raise UnsupportedError(f"an image was expected, tensor {number} is {list(self._shape(number))}")
        key = (number, layout)
        if key not in self.converted:
            first = layout is Layout.CHANNELS_FIRST
            self.converted[key] = f"{number} {layout}"
            step = ToChannelsFirst() if first else ToChannelsLast()
            self.steps.append((step, [str(number)], self.converted[key]))
        return self.converted[key]

    def _kind(self, operator: Operator) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        # Files older than schema 3a keep the number in the deprecated one-byte field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            return f"CUSTOM {bytes(code.CustomCode() or b'').decode(errors='replace')}"
        return str(self.schema.opcode2name(number))

    def _options(self, operator: Operator, table: str | None, wanted: tuple[str, ...]) -> dict[str, int]:
        if table is None:
            return {}
        reader = getattr(self.schema, table)()
        where = operator.BuiltinOptions()
        if where is None:
            raise UnsupportedError(f"it has no {table}")
        reader.Init(where.Bytes, where.Pos)
        return {option: _number(getattr(reader, option)) for option in wanted}

    def _shape(self, number: int) -> Shape:
        tensor = self.graph.Tensors(number)
        return tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

    def _constant(self, number: int) -> Tensor | None:
        """A tensor stored in the file, or None for an activation."""
        if number in self.constants:
            return self.constants[number]
        if number in self.layouts:
            return None
        tensor = self.graph.Tensors(number)
        stored = self.model.Buffers(tensor.Buffer())
        if not stored.DataLength():
            return None
        if tensor.Type() not in _DTYPES:
            raise GraphError(
                f"{self.name}: tensor {number} has element type {tensor.Type()}, only float and int are known"
            )
        raw = np.frombuffer(stored.DataAsNumpy().tobytes(), dtype=_DTYPES[tensor.Type()])
        self.constants[number] = torch.from_numpy(raw.reshape(self._shape(number)).copy())
        return self.constants[number]


def _number(read: Callable[[], Any]) -> int:
    return int(read())
