"""Which way to decode files and cameras, from what the user asked for and what the machine has."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.errors import EngineError
from stream.errors import ConfigError
from stream.ingest.decode_cpu import CpuDecoding
from stream.ingest.decoder import Decoding

if TYPE_CHECKING:
    import torch

    from models.device import MemoryBudget  # these load torch, for which a command's wrong arguments should not wait

log = logging.getLogger(__name__)

Ingest = Literal["auto", "cpu", "nvdec", "gop"]


@dataclass(frozen=True, slots=True)
class DecodingChoice:
    """The decoding of a run's sources; each is shared by all sources of its kind."""

    for_files: Decoding
    for_live: Decoding


ON_CPU = DecodingChoice(CpuDecoding(), CpuDecoding())


def choose_decoding(ingest: Ingest, device: "torch.device", budget: "MemoryBudget") -> DecodingChoice:
    """How to decode for networks on `device`.

    auto: on the CPU without a GPU; with one, files by DALI where that works, whole groups of pictures at a time, and
    all else by NVDEC, picture by picture. What these cannot decode, the CPU does, and its description says why.
    Raises ConfigError for what cannot work at all, EngineError when DALI was asked for and does not work here.
    """
    if device.type != "cpu":
        return _on_gpu(ingest, device, budget)
    if ingest == "nvdec":
        raise ConfigError(
            "--ingest nvdec: NVDEC is part of an NVIDIA GPU, but this run is on the CPU; "
            "use --ingest auto, or --device cuda where there is one"
        )
    if ingest != "gop":
        return ON_CPU
    from stream.ingest.decode_gop import GopDecoding
    from stream.ingest.decode_upload import UploadDecoding

    gop = GopDecoding(device, otherwise=UploadDecoding(device, budget), budget=budget)
    return DecodingChoice(gop, gop)


def _on_gpu(ingest: Ingest, device: "torch.device", budget: "MemoryBudget") -> DecodingChoice:
    if ingest == "cpu":
        from stream.ingest.decode_upload import UploadDecoding

        upload = UploadDecoding(device, budget)
        return DecodingChoice(upload, upload)
    from stream.ingest.decode_gpu import NvdecDecoding

    nvdec = NvdecDecoding(device, budget)
    if ingest == "nvdec":
        return DecodingChoice(nvdec, nvdec)
    from stream.ingest.decode_gop import GopDecoding

    try:
        gop = GopDecoding(device, otherwise=nvdec, budget=budget)
    except EngineError as error:
        if ingest == "gop":
            raise
        log.warning("files are decoded one picture at a time: %s", error)
        return DecodingChoice(nvdec, nvdec)
    return DecodingChoice(gop, gop if ingest == "gop" else nvdec)
