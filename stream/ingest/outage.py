"""Why a camera gives no frames, in words for its user."""

import errno
from enum import Enum

import av


class Reason(Enum):
    """A class of failure: what to call it, and what to do about it."""

    REFUSED = ("connection refused", "check the address and port, and that the camera's RTSP service is on")
    TIMEOUT = ("timed out", "check that the camera is on and reachable from here, and that no firewall is between")
    UNREACHABLE = ("network unreachable", "check the address and this machine's network")
    ADDRESS = ("host not found, or the connection broke", "check the host name and the network")
    UNAUTHORIZED = ("401 not authorized", "check user and password: rtsp://USER:PASSWORD@host/path, percent-encoded")
    FORBIDDEN = ("403 forbidden", "give this user the right to watch, in the camera's own settings")
    NOT_FOUND = ("404 no such stream", "check the path after the host; the camera's manual names it")
    # Only video is asked for, so a stream of sound alone is refused at PLAY.
    REJECTED = (
        "request rejected by the server",
        "check that this path has video, or try another transport",
    )
    NOT_RTSP = ("no valid RTSP answer", "check that this port speaks RTSP")
    BAD_URL = ("not a valid URL", "percent-encode special letters in user and password")
    NO_VIDEO = ("no video in the stream", "check the path after the host: this one has no video")
    NO_PICTURE = ("packets but no picture", "set the camera to H.264 or H.265 with a key frame every 1 to 2 s")
    ENDED = ("ended by the server", "check whether the camera allows another viewer")
    BROKEN = ("connection broken", "check the network")


class Outage(Exception):  # not an error of the program: it leads to the next attempt
    """A connection gave out. Never leaves the package: RtspSource tries again."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value[0])
        self.remedy = reason.value[1]


_BY_TYPE: tuple[tuple[type[Exception], Reason], ...] = (
    (av.error.ConnectionRefusedError, Reason.REFUSED),
    (av.error.TimeoutError, Reason.TIMEOUT),
    (av.error.HTTPUnauthorizedError, Reason.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, Reason.FORBIDDEN),
    (av.error.HTTPNotFoundError, Reason.NOT_FOUND),
    (av.error.HTTPClientError, Reason.REJECTED),
    (av.error.HTTPError, Reason.REJECTED),
    (av.error.InvalidDataError, Reason.NOT_RTSP),
    (av.error.ArgumentError, Reason.BAD_URL),
)

_BY_ERRNO = {
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.EIO: Reason.ADDRESS,  # what FFmpeg makes of a failed name look-up
}


def classify(error: Exception, *, silent: bool) -> Reason:
    """The reason behind an error of FFmpeg; `silent` when it came after a whole I/O timeout.

    FFmpeg reports a server that accepts and then says nothing as invalid data.
    """
    if silent and isinstance(error, av.error.InvalidDataError):
        return Reason.TIMEOUT
    for kind, reason in _BY_TYPE:
        if isinstance(error, kind):
            return reason
    return _BY_ERRNO.get(getattr(error, "errno", None) or 0, Reason.BROKEN)
