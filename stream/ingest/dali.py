"""DALI's video decoder, on one device, as a function of buffers. The only module that imports DALI.

Dynamic mode is used because a buffer that cannot be decoded fails its own call only; a DALI pipeline would be lost.
"""

import importlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from models.errors import EngineError

CODECS = {"cpu": {"vp9"}, "cuda": {"h264", "hevc", "av1", "vp9"}}
"""What is given to DALI on each kind of device. It also takes VP8, MPEG-4 and MJPEG, but counts hidden pictures of the
first as shown ones, the second may hold two pictures in a packet, and the third has no groups to gain from."""
FORMATS = {"cpu": {"yuv420p", "yuvj420p"}, "cuda": {"yuv420p", "yuvj420p", "yuv420p10le", "nv12", "p010le"}}
"""Pixel formats; 10 bits become 8. On a GPU DALI reads every surface as NV12."""


class Refused(EngineError):
    """DALI cannot decode a buffer; says why in one line."""


class Dali:
    """DALI on one device. May be called by several threads at once; each thread has a context of its own."""

    def __init__(self, device: torch.device, *, at_once: int = 4) -> None:
        """Imports DALI (10 s the first time) and decodes a picture. `at_once`: most files that one call is given.

        Raises EngineError when it is not installed or cannot decode on `device`.
        """
        self.device = device
        self._name = "cpu" if device.type == "cpu" else f"gpu:{device.index or 0}"
        try:
            self._dynamic: Any = importlib.import_module("nvidia.dali.experimental.dynamic")
        except ImportError as error:
            raise EngineError(
                f"--ingest gop needs NVIDIA DALI, which cannot be imported ({str(error).splitlines()[0]}); "
                "pip install 'flamestream[gpu]', or use another --ingest"
            ) from error
        if device.type == "cuda":
            # There DALI starts a set of threads, one for each core, for every kind of call of every thread that calls.
            self._dynamic.set_num_threads(at_once)
        try:
            picture = _one_picture("libvpx-vp9" if device.type == "cpu" else "libx264")
            self.decode([picture])
            self.decode_part(picture, 0, 1)
        except Refused as error:
            raise EngineError(
                f"DALI cannot decode on {device} ({error}); `flamestream doctor` tells what of it works here, "
                "and another --ingest does without it"
            ) from error

    def decode(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        """All pictures of each file in the order of presentation, [F, H, W, 3] uint8 RGB with the matrix of BT.601.

        Tensors are in DALI's memory and belong to the current stream: copy what another stream is to read (torch
        cannot keep foreign memory for a stream). On a GPU damage shows as smeared pictures and not as an error: NVDEC
        conceals it, and DALI does not ask. Raises Refused, for all files together.
        """
        with self._call() as dynamic:
            batch = dynamic.as_batch([np.frombuffer(file, np.uint8) for file in files])
            return [_shared(sequence) for sequence in dynamic.decoders.video(batch, device=self._name).tensors]

    def decode_part(self, file: bytes, first: int, count: int) -> torch.Tensor:
        """The same, `count` pictures of one file from `first` on, or fewer when it has no more of them.

        All before them are decoded too.
        """
        with self._call() as dynamic:
            return _shared(
                dynamic.decoders.video(
                    dynamic.as_tensor(np.frombuffer(file, np.uint8)),
                    device=self._name,
                    start_frame=first,
                    sequence_length=count,
                    pad_mode="none",  # by default missing pictures come as black ones
                )
            )

    @contextmanager
    def _call(self) -> Iterator[Any]:
        dynamic = self._dynamic
        try:
            with self._on_current_stream(), dynamic.EvalMode.sync_cpu:
                yield dynamic
        except RuntimeError as error:
            raise Refused(_first_line(error)) from error

    @contextmanager
    def _on_current_stream(self) -> Iterator[None]:
        if self.device.type == "cpu":
            yield
            return
        with torch.cuda.device(self.device):
            self._dynamic.set_current_stream(torch.cuda.current_stream(self.device))
            yield


def _shared(sequence: object) -> torch.Tensor:
    """The same memory, kept for as long as the tensor lives."""
    tensor: torch.Tensor = from_dlpack(sequence)
    return tensor


def _first_line(error: RuntimeError) -> str:
    """Of a message that goes on with the stack of DALI's own code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__


def _one_picture(encoder: Literal["libvpx-vp9", "libx264"]) -> bytes:
    """A small video of one gray picture; no codec's decoder has a minimum above this size."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((192, 320, 3), 128, np.uint8), "rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file.getvalue()
