import threading

import pytest
import torch
import warp as wp

from render_consumers.painting.body.preparation import cache_dir
from render_consumers.painting.picture.kernels.running import BANDS, bands, side_by_side

CPU = torch.device("cpu")


def test_what_was_compiled_lies_beside_the_body_model() -> None:
    folder = cache_dir() / "kernels" / str(wp.__version__)
    assert [path for path in folder.iterdir() if "picture.kernels.samples" in path.name]


@pytest.mark.parametrize("count", [0, 1, BANDS - 1, BANDS, 1000])
def test_bands_are_all_of_it_and_no_more_than_needed(count: int) -> None:
    ranges = list(bands(5, 5 + count, CPU))
    assert [each for low, high in ranges for each in range(low, high)] == list(range(5, 5 + count))
    assert len(ranges) <= BANDS


def test_small_work_is_not_cut_up() -> None:
    assert list(bands(0, 900, CPU, least=1024)) == [(0, 900)]


def test_a_gpu_gets_all_of_it_at_once() -> None:
    assert list(bands(3, 3000, torch.device("cuda"))) == [(3, 3000)]


def test_bands_are_worked_on_side_by_side() -> None:
    both = threading.Barrier(2, timeout=20)
    threads = torch.get_num_threads()

    def meet(low: int, high: int) -> None:
        both.wait()

    try:
        torch.set_num_threads(2)
        side_by_side(meet, [(0, 1), (1, 2)])
    finally:
        torch.set_num_threads(threads)


def test_what_goes_wrong_in_a_band_is_told() -> None:
    def fail(low: int, high: int) -> None:
        raise ValueError(low)

    with pytest.raises(ValueError, match="0"):
        side_by_side(fail, [(0, 1), (1, 2)])
