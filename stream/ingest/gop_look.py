"""What the pictures of a group have in common, and how DALI's become the stream's own, upright."""

from dataclasses import dataclass

import av
import numpy as np
import torch
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.spec import FloatArray
from stream.ingest.coding import BT601, Coding, is_full_range, matrix_of
from stream.ingest.dali import FORMATS
from stream.ingest.gop import Gop
from stream.ingest.upright import Turn, turn_of


@dataclass(frozen=True, slots=True)
class Look:
    """The same for all groups with equal `parameters`."""

    parameters: bytes
    width: int
    height: int
    unreadable: str
    """Why DALI cannot read such pictures on its device; '' when it can."""
    colours: torch.Tensor | None
    """[4, 3]: what 1 of DALI's red, green and blue adds to the right ones, and what these start from. None when DALI's
    are right: it makes them with the matrix of BT.601, whatever the stream says, and with the range it declares."""
    turn: Turn

    @property
    def size(self) -> int:
        """Bytes of one picture."""
        return self.width * self.height * 3

    def picture(self, rgb: torch.Tensor) -> torch.Tensor:
        """[H, W, 3] uint8 of DALI's, in the stream's colours, upright, and in memory of its own."""
        if self.colours is None:
            return self.turn.tensor(rgb) if self.turn else rgb.clone()
        flat = torch.addmm(self.colours[3], rgb.reshape(-1, 3).float(), self.colours[:3])
        return self.turn.tensor(flat.round_().clamp_(0, 255).to(torch.uint8).view(rgb.shape))


def look_of(gop: Gop, stream: VideoStream, device: torch.device) -> Look | None:
    """By FFmpeg's decoding of the group's first picture; None when that is damaged.

    Uses the stream's own decoder, which knows what the container says, and leaves it as new.
    """
    codec = stream.codec_context
    try:
        pictures = codec.decode(gop.key) + codec.decode(None)
    except av.error.FFmpegError:
        return None
    finally:
        codec.flush_buffers()
    if not pictures or pictures[0].is_corrupt:
        return None
    picture = pictures[0]
    right = Coding(matrix_of(picture), is_full_range(picture))
    # On a GPU the container's word does not reach NVDEC's parser.
    full = right.full_range and (device.type == "cpu" or declares_full_range(gop, codec.name))
    given = Coding(BT601, full)
    colours = None if right == given else torch.from_numpy(_correction(given, right)).to(device)
    return Look(
        gop.parameters, picture.width, picture.height, unreadable(picture, device.type), colours, turn_of(picture)
    )


def unreadable(picture: VideoFrame, device_type: str) -> str:
    """Why DALI cannot read such pictures on such a device; '' when it can."""
    if picture.interlaced_frame:
        return "interlaced pictures"  # it takes each field that the parser finds for a picture
    stored = picture.sw_format or picture.format  # a picture in a GPU's memory calls its format "cuda"
    return "" if stored.name in FORMATS[device_type] else f"cannot read {stored.name}"


def declares_full_range(gop: Gop, decoder: str) -> bool:
    """Whether the group itself says that it has the full range, whatever its container says.

    `decoder` is FFmpeg's name of one that works on the CPU: for AV1 the codec's own name is none of these.
    """
    context = av.CodecContext.create(decoder, "r")
    if not isinstance(context, VideoCodecContext):
        raise TypeError(f"{decoder} is no video decoder")
    context.extradata = gop.extradata or None
    try:
        pictures = context.decode(av.Packet(gop.data[0])) + context.decode(None)
    except av.error.FFmpegError:
        return False
    return any(is_full_range(picture) for picture in pictures)


def _correction(given: Coding, right: Coding) -> FloatArray:
    """[4, 3]: from RGB that was made with one matrix to what another would have made; but for what was cut off."""
    of, to = given.coefficients().astype(np.float64), right.coefficients().astype(np.float64)
    turned = np.linalg.solve(of[:3], to[:3])
    correction: FloatArray = np.vstack([turned, to[3] - of[3] @ turned]).astype(np.float32)
    return correction
