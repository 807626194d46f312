"""Devices by name, arrays that cross streams, and the memory budget under real threads."""

import gc
import threading
import time

import pytest
import torch

from models.device import CPU, DeviceArray, MemoryBudget, open_device, own_stream
from models.errors import EngineError

PROMPT_S = 20.0
"""More than any wait that ends by itself takes here."""


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_cpu_is_one_device(name: str) -> None:
    assert open_device(name) == CPU


def test_auto_is_the_first_gpu_or_the_cpu() -> None:
    assert open_device() == open_device("auto") == (torch.device("cuda", 0) if torch.cuda.is_available() else CPU)


@pytest.mark.parametrize("name", ["gpu", "cuda:first", "", "meta", "mps", "cuda:-1"])
def test_what_is_no_device_of_ours_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match=f"^device {name}: expected auto, cpu, cuda or cuda:1 and so on$"):
        open_device(name)


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(EngineError, match=r"^device cuda:97: torch sees (no|\d+) GPUs? here; .*doctor.*--device cpu"):
        open_device("cuda:97")


@pytest.mark.parametrize(("count", "seen"), [(0, "no GPU"), (1, "1 GPU"), (2, "2 GPUs")])
def test_the_message_counts_the_gpus(count: int, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    with pytest.raises(EngineError, match=f"torch sees {seen} here"):
        open_device(f"cuda:{count}")
    if count:
        assert open_device("cuda") == torch.device("cuda", 0)
        assert open_device(f"cuda:{count - 1}") == torch.device("cuda", count - 1)


def test_an_array_in_memory_is_its_tensor() -> None:
    tensor = torch.arange(6).reshape(1, 2, 3)
    array = DeviceArray(tensor)
    assert array.shape == (1, 2, 3)
    with own_stream(CPU):
        assert array.here() is tensor


@pytest.mark.gpu
def test_an_array_is_read_after_it_is_made_whatever_the_streams() -> None:
    device = torch.device("cuda", 0)
    with own_stream(device):
        slow = torch.zeros(2048, 2048, device=device)
        for _ in range(200):  # some ms of work, which the other stream must wait for
            slow = slow @ slow + 1 / 2048
        made = DeviceArray(slow * 0 + 7)
    with own_stream(device):
        assert float(made.here().min()) == 7


@pytest.mark.gpu
def test_memory_is_not_used_again_before_the_reader_has_read_it() -> None:
    device = torch.device("cuda", 0)
    torch.cuda.synchronize(device)
    maker, reader = torch.cuda.Stream(device), torch.cuda.Stream(device)
    with torch.cuda.stream(maker):
        made = DeviceArray(torch.full((1024, 1024), 3.0, device=device))
    with torch.cuda.stream(reader):
        torch.cuda._sleep(200_000_000)
        total = made.here().sum()
    del made
    with torch.cuda.stream(maker):
        torch.full((1024, 1024), 5.0, device=device)  # would take the freed memory at once
    torch.cuda.synchronize(device)
    assert float(total) == 3.0 * 1024 * 1024


@pytest.mark.gpu
def test_a_stage_has_a_stream_of_its_own() -> None:
    device = torch.device("cuda", 0)
    usual = torch.cuda.current_stream(device)
    with own_stream(device):
        assert torch.cuda.current_stream(device) != usual
    assert torch.cuda.current_stream(device) == usual


@pytest.mark.gpu
def test_the_streams_of_many_threads_are_none_of_the_few_nor_of_a_recording() -> None:
    device = torch.device("cuda", 0)

    def streams(**priority: bool) -> set[int]:
        found = set()
        for _ in range(40):  # more than PyTorch has of one priority
            with own_stream(device, **priority):
                found.add(torch.cuda.current_stream(device).cuda_stream)
        return found

    many, few = streams(first=True), streams()
    recordings = {torch.cuda.Stream(device).cuda_stream for _ in range(40)}
    assert not many & few
    assert not recordings & (many | few)


@pytest.mark.gpu
def test_a_device_without_room_says_so_in_one_line() -> None:
    device = torch.device("cuda", 0)
    expected = r"^device cuda:0 has no memory left .*lower gpu_memory_mib"
    with pytest.raises(EngineError, match=expected) as told, own_stream(device):
        torch.empty(2**46, dtype=torch.uint8, device=device)
    assert len(str(told.value).splitlines()) == 1


# The memory budget


class Picture:
    """Something that can be referred to weakly."""


def test_reservations_add_up_to_the_limit() -> None:
    budget = MemoryBudget(100)
    assert budget.reserve(60, wait_s=0)
    assert budget.reserve(40, wait_s=0)
    assert not budget.reserve(1, wait_s=0)
    assert (budget.held_bytes, budget.peak_bytes) == (100, 100)
    budget.release(60)
    assert budget.reserve(50, wait_s=0)
    assert (budget.held_bytes, budget.peak_bytes) == (90, 100)


def test_one_picture_always_fits_when_nothing_is_held() -> None:
    budget = MemoryBudget(100)
    assert budget.reserve(1000, wait_s=0)
    assert not budget.reserve(1, wait_s=0)
    budget.release(1000)
    assert budget.held_bytes == 0
    assert budget.reserve(1, wait_s=0)


def test_a_wait_for_memory_ends_in_time() -> None:
    budget = MemoryBudget(10)
    budget.reserve(10, wait_s=0)
    started_s = time.monotonic()
    assert not budget.reserve(1, wait_s=0.1)
    assert 0.09 <= time.monotonic() - started_s < PROMPT_S


def test_a_reservation_ends_with_what_it_was_for() -> None:
    budget = MemoryBudget(10)
    budget.reserve(10, wait_s=0)
    picture = Picture()
    budget.bind(picture, 10)
    gc.collect()
    assert budget.held_bytes == 10
    del picture
    gc.collect()
    assert budget.held_bytes == 0


def test_a_device_array_holds_its_reservation() -> None:
    budget = MemoryBudget(10)
    budget.reserve(10, wait_s=0)
    array = DeviceArray(torch.zeros(10))
    budget.bind(array, 10)
    tensor = array.here()
    assert budget.held_bytes == 10
    del array, tensor
    gc.collect()
    assert budget.held_bytes == 0


def test_who_waits_goes_on_when_a_picture_is_dropped() -> None:
    budget = MemoryBudget(10)
    budget.reserve(10, wait_s=0)
    pictures = [Picture()]
    budget.bind(pictures[0], 10)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(budget.reserve(10, wait_s=PROMPT_S)))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    pictures.clear()
    waiting.join(PROMPT_S)
    assert got == [True]
    assert budget.held_bytes == 10


def test_many_threads_never_hold_more_than_the_limit() -> None:
    budget, threads, turns = MemoryBudget(100), 8, 60
    seen: list[int] = []
    refused: list[int] = []

    def work(number: int) -> None:
        for turn in range(turns):
            count = 10 + (7 * number + 13 * turn) % 50
            if not budget.reserve(count, wait_s=PROMPT_S):
                refused.append(count)
                continue
            picture = Picture()
            budget.bind(picture, count)
            seen.append(budget.held_bytes)
            time.sleep(0.0002)
            del picture

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PROMPT_S)
    gc.collect()
    assert not refused
    assert len(seen) == threads * turns
    assert max(seen) <= budget.peak_bytes <= 100
    assert budget.peak_bytes > 59  # more than one at once, or the test shows nothing
    assert budget.held_bytes == 0
