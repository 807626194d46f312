"""From what the user typed to a source."""

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from stream.errors import ConfigError
from stream.ingest.choose import ON_CPU, DecodingChoice
from stream.ingest.file import FileSource
from stream.ingest.rtsp import RtspSettings, RtspSource
from stream.ingest.source import Source
from stream.ingest.timeline import OnDrop, ignore_drops
from stream.redact import redact

LIVE_SCHEMES = ("rtsp", "rtsps")
MAX_NAME_LENGTH = 64

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME_LENGTH}}}")
_DEFAULT_PORTS = (554, 322)


def open_source(
    spec: str,
    *,
    name: str | None = None,
    taken: Collection[str] = (),
    rtsp: RtspSettings | None = None,
    decoding: DecodingChoice = ON_CPU,
    on_drop: OnDrop = ignore_drops,
) -> Source:
    """The file or camera that `spec` (a path or an rtsp:// or rtsps:// URL) names.

    Without `name` it is called after the file, or the URL's host and
    path, with a number added when that is `taken`.
    Raises ConfigError for a name or URL that cannot work, SourceInvalid for a file that is no video; cameras are
    first reached by `frames`.
    """
    scheme = _scheme(spec)
    if name is None:
        name = source_name(spec, taken)
    elif not _NAME.fullmatch(name):
        raise ConfigError(f"source name {name!r}: expected 1 to {MAX_NAME_LENGTH} letters, digits, '.', '_' or '-'")
    elif name in taken:
        raise ConfigError(f"source name {name!r} is given twice; each source needs its own")
    if scheme is None:
        return FileSource(Path(spec), name=name, decoding=decoding.for_files, on_drop=on_drop)
    _check_url(spec)
    return RtspSource(spec, name=name, settings=rtsp, decoding=decoding.for_live, on_drop=on_drop)


def source_name(spec: str, taken: Collection[str] = ()) -> str:
    """A name from a path's stem or a URL's host, port and path; never from what may be secret."""
    if _scheme(spec) is None:
        text = Path(spec).stem
    else:
        # What `redact` hides is '***', which is no letter of a name.
        host_and_path = re.split(r"[?#]", redact(spec).partition("://")[2])[0].removeprefix("***@")
        text = re.sub(rf":(?:{'|'.join(map(str, _DEFAULT_PORTS))})?(?=/|$)", "", host_and_path, count=1)
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "source"
    base = base[:MAX_NAME_LENGTH]
    name, number = base, 1
    while name in taken:
        number += 1
        ending = f"-{number}"
        name = base[: MAX_NAME_LENGTH - len(ending)] + ending
    return name


def _scheme(spec: str) -> str | None:
    """The scheme of a live URL; None for a path."""
    found = _SCHEME.match(spec)
    if found is None:
        return None
    scheme = found[1].lower()
    if scheme not in LIVE_SCHEMES:
        raise ConfigError(
            f"{redact(spec)}: sources are files and rtsp:// or rtsps:// URLs, not {scheme}://; "
            "give a path for a file, or let a media server turn the stream into RTSP"
        )
    return scheme


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"{redact(url)}: expected rtsp://user:password@host:port/path; "
            "percent-encode special letters in user and password ('@' is %40, '/' is %2F)"
        )
