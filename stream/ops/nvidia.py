"""The NVIDIA driver and the GPUs, asked through the driver's own libraries, so that no other need be installed."""

import ctypes
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from stream.ops.check import Finding

LEAST_DRIVER = 580
"""First driver for CUDA 13, which the wheels of PyTorch and DALI are built for (NVIDIA's CUDA release notes)."""
NO_DRIVER = "no NVIDIA driver"
GET_DRIVER = (
    f"not needed on the CPU; for a GPU install NVIDIA's driver {LEAST_DRIVER} or newer, "
    "or start the container with --gpus all"
)
GET_VIDEO = (
    "in a container: -e NVIDIA_DRIVER_CAPABILITIES=compute,video,utility; "
    "else install the driver's decoding library: apt-get install libnvidia-decode-VERSION"
)
REMEDIES = {
    100: "check that CUDA_VISIBLE_DEVICES is not empty, and that a container was started with --gpus all",
    802: "start the fabric manager, which GPUs joined by NVSwitch need: systemctl start nvidia-fabricmanager",
    803: "the driver was updated while it was loaded, or the container brings its own libcuda: restart the machine",
    999: "restart the machine, or load the driver's module anew: modprobe -r nvidia_uvm && modprobe nvidia_uvm",
}
"""Result of cuInit: what helps."""
H264, YUV420 = 4, 1
"""cudaVideoCodec and cudaVideoChromaFormat of NVIDIA's Video Codec SDK."""


class DecodeCaps(ctypes.Structure):
    """CUVIDDECODECAPS of NVIDIA's Video Codec SDK: what NVDEC can do with one kind of video."""

    _fields_ = (
        ("codec", ctypes.c_int),
        ("chroma", ctypes.c_int),
        ("bit_depth_minus_8", ctypes.c_uint),
        ("reserved_in", ctypes.c_uint * 3),
        ("supported", ctypes.c_ubyte),
        ("engines", ctypes.c_ubyte),
        ("formats", ctypes.c_ushort),
        ("largest", ctypes.c_uint * 3),
        ("smallest", ctypes.c_ushort * 2),
        ("histogram", ctypes.c_ubyte * 4),
        ("reserved_out", ctypes.c_uint * 10),
    )


def load(library: str) -> ctypes.CDLL | None:
    """A library of the driver; None where it is not."""
    try:
        return ctypes.CDLL(library)
    except OSError:
        return None


def for_gpu(remedy: str) -> str:
    """A remedy that helps only where there is a GPU, said so where there is none."""
    return remedy if load("libcuda.so.1") is not None else f"on a machine with an NVIDIA GPU: {remedy}"


def driver() -> Finding:
    """Whether there is a driver that works, its version, and the newest CUDA it runs."""
    cuda = load("libcuda.so.1")
    if cuda is None:
        return Finding("missing", f"{NO_DRIVER} (no libcuda.so.1)", GET_DRIVER)
    version = _driver_version()
    facts: dict[str, Any] = {"version": version}
    described = f"driver {version or 'of unknown version'}"
    code = cuda.cuInit(0)
    if code:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(code, ctypes.byref(name))
        reason = (name.value or b"unknown error").decode()
        remedy = REMEDIES.get(code, "restart the machine; nvidia-smi and dmesg tell more")
        return Finding("broken", f"{described}: {reason} ({code})", remedy, facts=facts)
    newest = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(newest))
    facts["cuda"] = f"{newest.value // 1000}.{newest.value % 1000 // 10}"
    detail = f"{described}, CUDA up to {facts['cuda']}"
    if newest.value < 13000:
        return Finding("broken", detail, f"update the driver to {LEAST_DRIVER} or newer", facts=facts)
    return Finding("works", detail, facts=facts)


def gpus() -> Finding:
    """Each GPU that torch sees: name, compute capability, memory."""
    if load("libcuda.so.1") is None:
        return Finding("missing", NO_DRIVER)
    import torch

    if not torch.cuda.is_available():
        return Finding("missing", "none that PyTorch can use", "see PyTorch and NVIDIA driver in this table")
    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        capability = f"{about.major}.{about.minor}"
        found.append(
            {"name": about.name, "capability": capability, "free_bytes": free, "total_bytes": total, "index": index}
        )
    detail = "\n".join(
        f"{gpu['index']}: {gpu['name']}, compute {gpu['capability']}, "
        f"{gpu['free_bytes'] / 2**30:.1f} of {gpu['total_bytes'] / 2**30:.1f} GiB free"
        for gpu in found
    )
    return Finding("works", detail, facts={"gpus": found})


def decoding_library() -> Finding:
    """Whether the driver's decoding library is there, and how many engines the first GPU has for it."""
    if load("libcuda.so.1") is None:
        return Finding("missing", NO_DRIVER)
    library = load("libnvcuvid.so.1")
    if library is None:
        return Finding("missing", "no libnvcuvid.so.1", GET_VIDEO)
    import torch

    if not torch.cuda.is_available():
        return Finding("missing", "libnvcuvid.so.1 is there, but no GPU", "see PyTorch and NVIDIA driver in this table")
    torch.zeros(1, device="cuda")  # makes the CUDA context that the library asks for
    caps = DecodeCaps(codec=H264, chroma=YUV420)
    code = library.cuvidGetDecoderCaps(ctypes.byref(caps))
    if code or not caps.supported:
        detail = f"libnvcuvid.so.1 is there, but this GPU decodes no H.264 (error {code})"
        return Finding("missing", detail, "videos are decoded on the CPU; use a GPU with NVDEC")
    facts = {"engines": caps.engines}
    plural = "s" if caps.engines != 1 else ""
    return Finding("works", f"libnvcuvid.so.1, {caps.engines or '?'} engine{plural} for H.264", facts=facts)


def nvdec() -> Finding:
    """Whether NVDEC, through PyAV, decodes a picture into memory that torch reads."""
    if load("libcuda.so.1") is None:
        return Finding("missing", NO_DRIVER)
    import torch

    from models.device import open_device
    from stream.ingest.decode_gpu import probe

    if not torch.cuda.is_available():
        return Finding("missing", "no GPU that PyTorch can use", "see PyTorch and NVIDIA driver in this table")
    why = probe(open_device("cuda"))
    if why is not None:
        return Finding("broken", why, GET_VIDEO)
    return Finding("works", "PyAV decodes H.264 into the GPU's memory")


def _driver_version() -> str | None:
    """From whichever of the driver's parts is visible here: containers often hide some."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        text = ""
    if found := re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text):
        return found[1]
    return _nvml_version() or _nvidia_smi_version()


def _nvml_version() -> str | None:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None


def _nvidia_smi_version() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return asked.stdout.split()[0] if asked.returncode == 0 and asked.stdout.strip() else None
