"""What decodes video here besides NVDEC: PyAV and DALI, each asked to decode a clip made for it."""

import importlib
import importlib.metadata
import io
import socket
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import av
import numpy as np

from stream.ingest.decode_cpu import open_container
from stream.ops.check import Finding
from stream.ops.nvidia import for_gpu, load

GET_AV = "pip install --force-reinstall --only-binary=:all: 'av>=18.1'"
GET_DALI = "pip install 'nvidia-dali-cuda130>=2.4'"
PICTURES = 4
SIDE = 128
"""Pixels of the clips' pictures."""
CODECS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
"""What the clips are encoded with."""


def tiny_clip(codec: str) -> bytes:
    """A Matroska file with a few pictures in `codec`, one of CODECS. Raises av.error.FFmpegError."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream: Any = output.add_stream(CODECS[codec], rate=30)  # its type depends on the codec's name
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        if codec == "hevc":
            stream.options = {"x265-params": "log-level=none"}
        for number in range(PICTURES):
            pixels = np.full((SIDE, SIDE, 3), 60 * number, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file.getvalue()


def on_cpu() -> Finding:
    """Whether PyAV decodes what cameras and files hold."""
    decoded = {codec: _count_pictures(tiny_clip(codec)) for codec in CODECS}
    failed = [codec for codec, count in decoded.items() if count != PICTURES]
    detail = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}: {', '.join(CODECS)}"
    facts = {"av": av.__version__, "ffmpeg": av.ffmpeg_version_info}
    if failed:
        detail = f"PyAV {av.__version__} does not decode {', '.join(failed)}"
        return Finding("broken", detail, GET_AV, facts=facts)
    return Finding("works", detail, facts=facts)


def rtsp() -> Finding:
    """Whether this FFmpeg speaks RTSP: it must reach a port where nobody listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            open_container(f"rtsp://127.0.0.1:{nobody.getsockname()[1]}/", {"rtsp_transport": "tcp"})
        except ConnectionRefusedError:
            return Finding("works", "this FFmpeg opens rtsp:// and rtsps:// URLs")
        except av.error.FFmpegError as error:
            detail = f"this FFmpeg does not open rtsp:// URLs ({error.strerror})"
            return Finding("broken", detail, GET_AV)
    return Finding("broken", "this FFmpeg opened an rtsp:// URL where nobody listens", GET_AV)


def dali() -> Finding:
    """Whether DALI decodes: on the GPU as a run does, without one on the CPU. Raises EngineError."""
    if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
        return Finding("missing", "not installed", for_gpu(GET_DALI))
    version = importlib.metadata.version("nvidia-dali-cuda130")
    facts = {"version": version}
    if load("libcuda.so.1") is None:
        decoded = _count_pictures_by_dali(tiny_clip("vp9"))
        if decoded != PICTURES:
            return Finding("broken", f"{version} gives {decoded} of {PICTURES} pictures", GET_DALI, facts=facts)
        return Finding("works", f"{version}, on the CPU (VP9); the GPU is what it is for", facts=facts)
    from models.device import open_device
    from stream.ingest.dali import Dali

    Dali(open_device("cuda"))
    return Finding("works", f"{version}, decodes on the GPU", facts=facts)


def _count_pictures(clip: bytes) -> int:
    container = open_container(io.BytesIO(clip))
    with container:
        return sum(1 for _ in container.decode(video=0))


def _count_pictures_by_dali(clip: bytes) -> int:
    """By a pipeline on the CPU: dynamic mode, which runs use, takes ten seconds to import."""
    module: Any = importlib.import_module("nvidia.dali")
    functions: Any = importlib.import_module("nvidia.dali.fn")
    pipeline = module.Pipeline(batch_size=1, num_threads=1, device_id=None)
    with pipeline:
        file = functions.external_source(source=lambda: [np.frombuffer(clip, np.uint8)])
        pipeline.set_outputs(functions.decoders.video(file, device="cpu"))
    pipeline.build()
    (pictures,) = pipeline.run()
    return int(pictures.shape()[0][0])
