"""Runs `flamestream-train` as a shell would, in this process."""

from collections.abc import Callable

import pytest

from train import __main__ as command

Train = Callable[..., int]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """`train("open-head", "show")`: runs the command and gives its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["flamestream-train", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return int(ended.value.code or 0)

    return run
