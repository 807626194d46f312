"""The program: sections apart from each other, results on disk, an exit code that tells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.figures import Section
from benchmarks.sections import SECTIONS

REPOSITORY = Path(gpu.__file__).parents[1]


def chosen(*arguments: str) -> tuple[gpu.Options, list[str]]:
    parsed = gpu._parser().parse_args(["--device", "cpu", *arguments])
    return gpu._options(parsed), gpu._sections(parsed)


def test_plain_it_runs_every_section_within_the_time_of_one_command() -> None:
    _, sections = chosen()
    assert sections == list(SECTIONS) == list(gpu.SHARES)
    assert sum(gpu.SHARES.values()) == 100
    assert gpu._parser().parse_args([]).limit_s + gpu.GRACE_S <= 480


def test_find_max_streams_is_a_command_of_its_own() -> None:
    options, sections = chosen("find-max-streams", "--fps", "25", "--p95", "0.2s")
    assert sections == ["max_streams"]
    assert (options.fps, options.p95_ms, options.seconds) == (25, 200, 20)


@pytest.mark.parametrize("arguments", [("--sections", "decode,speed"), ("--p95", "soon"), ("--face-models", "deca")])
def test_what_cannot_be_is_refused_with_what_can(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--device", "cpu", *arguments])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_engines_of_whole_runs_are_made_before_anything_is_measured() -> None:
    options, sections = chosen("--face-models", "mediapipe", "--quick")
    section = Section(sections[0])
    SECTIONS["build"](section, options)
    (row,) = section.rows
    assert sections[0] == "build"
    assert row.figure.unit == "s"


def test_a_section_that_fails_does_not_take_the_others_along(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick", "--sections", "end_to_end,trace"]
    # No such engine on the CPU: what loads networks fails, what does not goes on.
    done = subprocess.run(
        [*command, "--engine", "tensorrt", "--out", str(out)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    results = json.loads(out.read_text())
    failed, sound = results["sections"]["end_to_end"], results["sections"]["trace"]
    assert failed["status"] == "failed"
    assert "engine tensorrt does not run on cpu" in failed["error"]
    assert sound["status"] == "ok"
    assert all(reason.startswith("not applicable") for reason in sound["not_measured"].values())
    assert results["machine"]["libraries"]["torch"]
    assert results["options"]["engine"] == "tensorrt"
    assert "FAILED" in done.stderr


def test_a_section_that_hangs_is_killed_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "results.json"
    out.write_text('{"sections": {}}')
    monkeypatch.setattr(gpu, "GRACE_S", 0.2)
    status = gpu._run_apart(["--device", "cpu", "--quick"], "max_streams", out, 0.1)
    assert status["status"] == "failed"
    assert "killed" in str(status["error"])
