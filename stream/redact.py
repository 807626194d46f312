"""Takes passwords out of URLs, and out of messages that quote URLs.

The rule is to hide too much rather than too little: a URL that does not parse cleanly loses its whole authority,
and everything up to the last '@' counts as user and password, because people do type '/', '#' and '@' into them.
"""

import re

HIDDEN = "***"

_MASK = "\x00"
_SECRET_PARAMETER = re.compile(
    # Also in the path and with '_' between parameters: some cameras want 'user=admin_password=x_channel=1' there.
    r"(?P<key>(?:user(?:name)?|login|pass(?:word|wd)?|pwd|token|secret|signature|sig|auth|(?:api|access)[-_]?key)=)"
    r"(?P<value>.*?)(?=[&;\s]|_[a-z]+=|$)",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?:[\w.-]*|\[[0-9a-f:.%\w]+\])(?::\d{0,5})?", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"""(?P<quote>['"])[a-z][a-z0-9+.-]*://.*?(?P=quote)|[a-z][a-z0-9+.-]*://\S+""", re.I | re.S)


def redact(url: str) -> str:
    """`url` without user, password and secret parameters: 'rtsp://***@10.0.0.5:554/live?token=***'."""
    scheme, separator, rest = url.partition("://")
    if not _SCHEME.fullmatch(scheme) or not separator:
        separator = ""
        scheme, rest = "", url
    end = next((at for at, letter in enumerate(rest) if letter in "/?#"), len(rest))
    # Masked letter by letter, so that positions stay those of the raw text while the last '@' is looked for.
    masked = rest[:end] + _SECRET_PARAMETER.sub(
        lambda found: found["key"] + _MASK * len(found["value"]), rest[end:].replace(_MASK, "?")
    )
    at = rest.rfind("@")
    if at >= 0:
        shown = f"{HIDDEN}@{masked[at + 1 :]}"
    elif separator and not _HOST_AND_PORT.fullmatch(masked[:end]):
        shown = HIDDEN + masked[end:]
    else:
        shown = masked
    return scheme + separator + re.sub(f"{_MASK}+", HIDDEN, shown)


def redact_text(text: str) -> str:
    """`text` (a message of FFmpeg, redis-py, ...) with every URL in it redacted."""
    return _URL_IN_TEXT.sub(_redact_found, text)


def _redact_found(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return quote + redact(found[0].removeprefix(quote).removesuffix(quote)) + quote
