"""The whole of `flamestream doctor` on this machine, and what it concludes."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from stream.ops.check import Check, Finding, Result
from stream.ops.diagnosis import Diagnosis, diagnose
from stream.ops.doctor import CHECKS, run_doctor, show
from stream.ops.isolate import run_checks
from stream.ops.nvidia import load

PLAN = Finding(
    "works", "device CPU, engine openvino in f32, decoding by CPU", facts={"device": "cpu", "engine": "openvino"}
)


def results(**findings: Finding) -> list[Result]:
    """A result of every check: `works`, unless told otherwise (by its name in lower case, letters only)."""
    made = []
    for check in CHECKS:
        key = "".join(letter for letter in check.name.lower() if letter.isalpha())
        made.append(Result(check, findings.pop(key, Finding("works", "fine")), 0.01))
    assert not findings, f"no check is called {list(findings)}"
    return made


def shown(diagnosis: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(console, diagnosis)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def here() -> Diagnosis:
    """What doctor finds on this machine."""
    return diagnose(run_checks(CHECKS))


def test_a_run_works_here_and_so_does_what_it_is_made_of(here: Diagnosis) -> None:
    found = {row.check.name: row.finding for row in here.rows}
    assert here.ok, here.last_words()
    for name in ("Python", "CPU", "cache", "Redis", "video", "RTSP", "PyTorch", "torchvision", "OpenVINO"):
        assert found[name].status == "works", found[name]
    assert found["OpenVINO"].facts["precision"] == "f32"
    assert here.last_words().startswith("flamestream run will use: device ")
    assert here.plan.finding.facts["decoding"]["files"]


def test_no_check_breaks_here(here: Diagnosis) -> None:
    broken = {row.check.name: row.finding.detail for row in here.rows if row.finding.status == "broken"}
    assert not broken


def test_without_a_gpu_its_rows_say_so(here: Diagnosis) -> None:
    if load("libcuda.so.1") is not None:
        pytest.skip("this machine has an NVIDIA driver")
    found = {row.check.name: row.finding for row in here.rows}
    for name in ("NVIDIA driver", "GPU", "NVDEC library", "NVDEC", "TensorRT"):
        assert found[name].status == "missing", found[name]
        assert not found[name].blocks
    facts = here.plan.finding.facts
    assert (facts["device"], facts["engine"], facts["precision"]) == ("cpu", "openvino", "f32")
    assert facts["decoding"] == {"files": "CPU", "cameras": "CPU"}


def test_the_table_has_every_row_and_whole_commands(here: Diagnosis) -> None:
    lines = shown(here).splitlines()
    for row in here.rows:
        assert any(row.check.name in line and row.finding.status in line for line in lines), row.check.name
        if row.finding.remedy:
            assert f"{row.check.name}: {row.finding.remedy}" in lines
    assert lines[-1] == here.last_words()


@pytest.mark.gpu
def test_with_a_gpu_a_run_uses_it(here: Diagnosis) -> None:
    assert here.plan.finding.facts["device"].startswith("cuda")
    assert here.plan.finding.facts["engine"] in ("tensorrt", "inductor")


def test_what_blocks_a_run_is_its_last_word() -> None:
    redis = Finding("broken", "Redis at redis://host cannot be reached", "start it", blocks=True)
    diagnosis = diagnose(results(run=PLAN, redis=redis))
    assert not diagnosis.ok
    assert (
        diagnosis.last_words() == "flamestream run does not work here: Redis: Redis at redis://host cannot be reached"
    )
    assert "Redis: start it" in shown(diagnosis).splitlines()
    assert diagnosis.to_json()["run"] is None


def test_the_engine_that_a_run_would_choose_must_work() -> None:
    absent = Finding("broken", "crashed: Segmentation fault")
    assert diagnose(results(run=PLAN, tensorrt=absent)).ok  # nobody would choose it here
    on_gpu = replace(PLAN, facts={"device": "cuda:0", "engine": "tensorrt"})
    diagnosis = diagnose(results(run=on_gpu, tensorrt=absent))
    assert not diagnosis.ok
    assert "--engine inductor" in diagnosis.last_words()


def test_json_holds_all_of_it() -> None:
    gpu = Finding("works", "0: a card", facts={"gpus": [{"name": "a card"}]})
    document = json.loads(json.dumps(diagnose(results(run=PLAN, gpu=gpu)).to_json()))
    assert document["ok"] is True
    assert document["run"] == PLAN.facts
    (row,) = (check for check in document["checks"] if check["name"] == "GPU")
    assert row == {
        "name": "GPU", "status": "works", "detail": "0: a card", "remedy": "", "blocks": False,
        "facts": gpu.facts, "seconds": 0.01,
    }  # fmt: skip


def test_told_on_standard_output_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLAMESTREAM_REDIS", raising=False)
    wanted = [check for check in CHECKS if check.name == "Redis"]
    checks = [*wanted, Check("run", "stream.ops.host:python")]
    ok = run_doctor(Console(stderr=True), redis="redis://:hunter2@127.0.0.1:1/0", as_json=True, checks=checks)
    told = capsys.readouterr()
    assert not ok
    document = json.loads(told.out)
    assert "127.0.0.1:1" in document["obstacles"][0]
    assert "hunter2" not in told.out + told.err
