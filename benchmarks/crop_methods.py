"""The ways to cut SMIRK's crops out of frames that `benchmarks.crops` compares.

Each gives what `geometry.crop_faces` gives: float32 [faces, 3, 224, 224], RGB 0..1 in whole 255ths. `open_methods`
imports the libraries, so that each is needed only by its own row.
"""

import functools
import subprocess
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from models.device_sampler import CROP, crop_matrices, gather_each, sample, upload
from models.geometry import Float64Array, crop_faces
from models.spec import CROP_SIZE, FloatArray

Frames = Sequence[torch.Tensor]
"""Each [H, W, 3] uint8 on the device that is measured."""
Boxes = Sequence[FloatArray]
"""Of each frame, [faces, 3]: centre x, centre y, side."""
Method = Callable[[Frames, Boxes], torch.Tensor]

UNAVAILABLE = (ImportError, RuntimeError, OSError, subprocess.CalledProcessError)
"""What libraries raise where they are missing, or lack a compiler or a driver."""


def open_methods(device: torch.device) -> tuple[dict[str, Method], dict[str, str]]:
    """What can be run on this device by name, and why the rest cannot."""
    methods: dict[str, Method] = {}
    skipped: dict[str, str] = {}
    for name, opening in _OPENINGS.items():
        try:
            methods[name] = opening(device)
        except UNAVAILABLE as error:
            skipped[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return methods, skipped


# What flamestream uses


def _cpu_sampler(device: torch.device) -> Method:
    if device.type != "cpu":
        raise OSError("reads frames in the CPU's memory only")

    def crops(frames: Frames, boxes: Boxes) -> torch.Tensor:
        of_frames = [crop_faces(frame.numpy(), of_frame) for frame, of_frame in zip(frames, boxes, strict=True)]
        return torch.from_numpy(np.concatenate(of_frames))

    return crops


def _gather_eager(device: torch.device) -> Method:
    return lambda frames, boxes: gather_each(frames, _matrices(boxes), CROP_SIZE, CROP)


def _gather_compiled(device: torch.device) -> Method:
    compiled: Callable[..., torch.Tensor] = torch.compile(
        functools.partial(sample, size=CROP_SIZE, rule=CROP), dynamic=True
    )
    tried = torch.zeros(2, 4, 3, dtype=torch.uint8, device=device)
    for faces in (1, 3):  # compiles here, for any number of faces and any size, so that what fails fails here
        compiled(tried, upload(crop_matrices(np.ones((faces, 3), np.float32), CROP_SIZE), device))
    return lambda frames, boxes: torch.cat(
        [
            compiled(frame, upload(crop_matrices(of_frame, CROP_SIZE), device))
            for frame, of_frame in zip(frames, boxes, strict=True)
        ]
    )


def _gather_triton(device: torch.device) -> Method:
    if device.type != "cuda":
        raise OSError("runs on NVIDIA GPUs only")
    from models.sampling_kernel import gather

    return lambda frames, boxes: gather(frames, _matrices(boxes), CROP_SIZE, CROP)


def _matrices(boxes: Boxes) -> list[Float64Array]:
    return [crop_matrices(of_frame, CROP_SIZE) for of_frame in boxes]


# What else there is: all but DALI's want the whole frame in float32, channels first


def _planes(frame: torch.Tensor) -> torch.Tensor:
    return frame.permute(2, 0, 1)[None].float()


def _levels(crops: torch.Tensor) -> torch.Tensor:
    """Whole 255ths of samples 0..255, which end a little short of a whole level where the picture is flat."""
    return (crops + 1e-3).floor() / 255


def _grid_sample(device: torch.device) -> Method:
    def crops(frames: Frames, boxes: Boxes) -> torch.Tensor:
        return _levels(torch.cat([of_frame(*pair) for pair in zip(frames, boxes, strict=True)]))

    def of_frame(frame: torch.Tensor, boxes: FloatArray) -> torch.Tensor:
        height, width = frame.shape[:2]
        x, y, side = boxes.T[:, :, None]
        steps = np.arange(CROP_SIZE, dtype=np.float32) / (CROP_SIZE - 1) - np.float32(0.5)
        across, down = (2 * (start + side * steps) / (of - 1) - 1 for start, of in ((x, width), (y, height)))
        places = upload(np.stack([across, down]), device)  # [2, faces, 224], -1..1 from first to last pixel
        shape = (-1, CROP_SIZE, CROP_SIZE)
        grid = torch.stack([places[0][:, None].expand(shape), places[1][:, :, None].expand(shape)], dim=3)
        return F.grid_sample(_planes(frame).expand(len(boxes), -1, -1, -1), grid, align_corners=True)

    return crops


def _kornia(device: torch.device) -> Method:
    from kornia.geometry.transform import warp_affine

    def crops(frames: Frames, boxes: Boxes) -> torch.Tensor:
        return _levels(torch.cat([of_frame(*pair) for pair in zip(frames, boxes, strict=True)]))

    def of_frame(frame: torch.Tensor, boxes: FloatArray) -> torch.Tensor:
        x, y, side = boxes.T
        scale = (CROP_SIZE - 1) / side
        to_crop = np.zeros((len(boxes), 2, 3), np.float32)
        to_crop[:, 0, 0] = to_crop[:, 1, 1] = scale
        to_crop[:, 0, 2], to_crop[:, 1, 2] = (side / 2 - x) * scale, (side / 2 - y) * scale
        pixels = _planes(frame).expand(len(boxes), -1, -1, -1)
        return torch.as_tensor(warp_affine(pixels, upload(to_crop, device), (CROP_SIZE, CROP_SIZE)))

    return crops


def _roi_align(device: torch.device) -> Method:
    from torchvision.ops import roi_align

    def crops(frames: Frames, boxes: Boxes) -> torch.Tensor:
        return _levels(torch.cat([of_frame(*pair) for pair in zip(frames, boxes, strict=True)]))

    def of_frame(frame: torch.Tensor, boxes: FloatArray) -> torch.Tensor:
        x, y, side = boxes.T
        reach = side / 2 + side / (CROP_SIZE - 1) / 2  # it samples the middles of cells: half a cell further out
        edges = np.stack([x - reach, y - reach, x + reach, y + reach], axis=1) + 0.5
        of_picture = upload(np.column_stack([np.zeros(len(boxes), np.float32), edges]).astype(np.float32), device)
        found = roi_align(_planes(frame), of_picture, CROP_SIZE, sampling_ratio=1, aligned=True)
        return torch.as_tensor(found)

    return crops


def _dali(device: torch.device) -> Method:
    import nvidia.dali.experimental.dynamic as ndd

    def crops(frames: Frames, boxes: Boxes) -> torch.Tensor:
        matrices = np.concatenate(_matrices(boxes))
        # Its pixels have their centres at one half, both in the frame and in the crop.
        matrices[:, :, 2] += 0.5 - matrices[:, :, :2].sum(axis=2) / 2
        tensors = [ndd.as_tensor(frame) for frame in frames]
        repeated = [tensor for tensor, of_frame in zip(tensors, boxes, strict=True) for _ in of_frame]
        places = ndd.as_batch(list(upload(matrices.astype(np.float32), device)))
        found = ndd.warp_affine(
            ndd.as_batch(repeated), places, size=[CROP_SIZE, CROP_SIZE], fill_value=0, dtype=ndd.float32
        )
        return _levels(found.torch().permute(0, 3, 1, 2)).contiguous()

    return crops


_OPENINGS: dict[str, Callable[[torch.device], Method]] = {
    "geometry (NumPy)": _cpu_sampler,
    "gather, eager": _gather_eager,
    "gather, compiled": _gather_compiled,
    "gather, Triton": _gather_triton,
    "torch grid_sample": _grid_sample,
    "kornia warp_affine": _kornia,
    "torchvision roi_align": _roi_align,
    "DALI warp_affine": _dali,
}
