"""A library's own exceptions, as one line of flamestream's error tree."""

from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import EngineError


@contextmanager
def as_engine_error(what: str, *, remedy: str, kinds: tuple[type[Exception], ...] = (RuntimeError,)) -> Iterator[None]:
    """Turns the exceptions a library documents or is known to raise into an EngineError that ends with a remedy."""
    try:
        yield
    except EngineError:
        raise
    except kinds as error:
        raise EngineError(f"{what} ({reason(error)}); {remedy}") from error


def reason(error: Exception, limit: int = 300) -> str:
    """The first line an exception says, or its name when it says nothing."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if len(line) <= limit else line[: limit - 1] + "…"
