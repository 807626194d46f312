"""How the threads of PyTorch and OpenCV share the cores with the engines."""

import sys

import cv2
import torch

from models.engines.engine import Runtime
from models.engines.openvino import available_cores


def share_cores(runtime: Runtime) -> None:
    """One thread each beside compiled engines, which bring their own; every core for eager networks.

    What they still do beside a compiled engine, resampling a face, is too small to gain from a pool: on two cores
    PyTorch's made a run 15 % slower. Python's own threads take turns every millisecond instead of every five, so that a
    stage goes on soon after its network has answered: that gained 5 to 10 %.
    """
    sys.setswitchinterval(0.001)
    cv2.setNumThreads(1)
    torch.set_num_threads(1 if runtime == "openvino" else available_cores())
