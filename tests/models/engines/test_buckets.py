"""Batches through buckets: every item once, in order, never in a size that was not asked for."""

import subprocess
import sys
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.device import CPU, own_stream
from models.engines.buckets import Buckets, CudaGraphs, bucket_sizes, cut


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (100, (1, 2, 4, 8, 16, 32, 64, 100))]
)
def test_sizes_double_up_to_the_largest(most: int, sizes: tuple[int, ...]) -> None:
    assert bucket_sizes(most) == sizes


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch is 0"):
        bucket_sizes(0)


@given(st.integers(0, 1000), st.integers(1, 200))
def test_pieces_cover_every_item_once_and_waste_less_than_half(count: int, most: int) -> None:
    sizes = bucket_sizes(most)
    pieces = cut(count, sizes)
    assert [item for start, stop, _ in pieces for item in range(start, stop)] == list(range(count))
    for start, stop, size in pieces:
        assert size in sizes
        assert stop - start <= size < 2 * (stop - start)
    assert all(size == most for _, _, size in pieces[:-1])


class Recorder:
    """A network of one line that notes what it ran on and always answers in the same memory, as a graph does."""

    def __init__(self, most: int) -> None:
        self.sizes: list[int] = []
        self.places: set[int] = set()
        self.answer = torch.zeros(most, 2)

    def __call__(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        (numbers,) = inputs
        self.sizes.append(len(numbers))
        self.places.add(numbers.data_ptr())
        torch.stack([numbers.sum(1), numbers[:, 0]], 1, out=self.answer[: len(numbers)])
        return (self.answer[: len(numbers)],)


@given(st.integers(0, 40), st.integers(1, 9), st.booleans())
def test_outputs_are_those_of_the_whole_batch(count: int, most: int, as_tensor: bool) -> None:
    run = Recorder(most)
    buckets = Buckets(bucket_sizes(most), [(3,)], CPU, run)
    numbers = np.random.default_rng(count).random((count, 3), np.float32)
    (found,) = buckets([torch.from_numpy(numbers) if as_tensor else numbers], count)
    assert found.shape == (count, 2)
    np.testing.assert_allclose(found, np.stack([numbers.sum(1), numbers[:, 0]], 1), rtol=1e-6)
    assert len(run.places) == 1  # a recorded graph reads its inputs where they lay
    found += 1  # its own memory
    assert run.sizes == ([size for *_, size in cut(count, bucket_sizes(most))] or [1])


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)
        self.linear = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.gpu
def test_graphs_give_what_eager_gives_in_every_bucket() -> None:
    device = torch.device("cuda", 0)
    torch.backends.cudnn.allow_tf32 = False
    network = Network().eval().to(device)
    graphs = CudaGraphs("net", lambda inputs: (network(*inputs),))
    buckets = Buckets(bucket_sizes(8), [(3, 16, 16)], device, graphs)
    for count in (1, 2, 3, 5, 8, 9, 20, 1, 8, 0):
        pictures = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))
        with torch.inference_mode():
            expected = network(pictures.to(device)).cpu().numpy()
        for batch in (pictures.numpy(), pictures.to(device)):
            (found,) = buckets([batch], count)
            np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sorted(graphs._graphs) == [1, 2, 4, 8]


@pytest.mark.gpu
def test_what_other_threads_do_meanwhile_is_done_and_not_recorded() -> None:
    device, stop, sums = torch.device("cuda", 0), threading.Event(), set[float]()

    def work() -> None:
        with own_stream(device):
            while not stop.is_set():
                sums.add(float((torch.full((5000,), 2.0, device=device) * 3).sum()))

    threads = [threading.Thread(target=work) for _ in range(40)]  # more than there are streams of one priority
    for thread in threads:
        thread.start()
    try:
        graphs = CudaGraphs("net", lambda inputs: (inputs[0] * 2,))
        buckets = Buckets(bucket_sizes(64), [(3,)], device, graphs)
        for count in [*bucket_sizes(64), 5, 64]:
            numbers = np.random.default_rng(count).random((count, 3), np.float32)
            np.testing.assert_array_equal(buckets([numbers], count)[0], numbers * 2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sorted(graphs._graphs) == [1, 2, 4, 8, 16, 32, 64]
    assert sums == {30000.0}


REFUSED = """
import logging
import torch
from models.engines.buckets import Buckets, CudaGraphs, bucket_sizes

def waits(inputs):
    if float(inputs[0].sum()) < 0:  # the CPU waits for a number, which a graph cannot hold
        return (inputs[0] * 3,)
    return (inputs[0] * 2,)

logging.basicConfig(level=logging.WARNING, format="%(message)s")
buckets = Buckets(bucket_sizes(4), [(3,)], torch.device("cuda", 0), CudaGraphs("net", waits))
usual = torch.cuda.current_stream()
for count in (1, 2, 3, 2):
    numbers = torch.rand(count, 3)
    torch.testing.assert_close(torch.from_numpy(buckets([numbers.numpy()], count)[0]), numbers * 2)
assert torch.cuda.current_stream() == usual
"""


@pytest.mark.gpu
def test_what_cannot_be_recorded_runs_and_says_so_once() -> None:
    # In a process of its own: PyTorch's random generator is left as if it were still being recorded.
    run = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("net runs without CUDA graphs") == 1
