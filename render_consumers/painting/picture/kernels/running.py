"""Runs kernels on the device where the tensors are: in bands on the processor, at once on CUDA."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import warp as wp
from torch import Tensor

from render_consumers.painting import compiled
from render_consumers.painting.picture.kernels import film, samples, shadows

BANDS = 16  # of the picture: what one of them needs stays in a processor's cache


def prepare(device: torch.device) -> None:
    """Load the kernels of a picture."""
    compiled.load((samples, shadows, film), str(device))


def launch(kernel: Any, count: int | tuple[int, int], *values: Any) -> None:
    """Run a kernel so many times; tensors become arrays of the types that it takes."""
    [device] = {value.device for value in values if isinstance(value, Tensor)}
    given = [
        wp.from_torch(value, dtype=taken.type.dtype) if isinstance(value, Tensor) else value
        for taken, value in zip(kernel.adj.args, values, strict=True)
    ]
    stream = None
    if device.type == "cuda":
        stream = wp.stream_from_torch(device)  # type: ignore[no-untyped-call]
    wp.launch(kernel, dim=count, inputs=given, device=wp.device_from_torch(device), stream=stream)


def bands(low: int, high: int, device: torch.device, least: int = 1) -> Iterator[tuple[int, int]]:
    """Ranges from low to high, each of at least so many; on CUDA it is one."""
    step = high - low if device.type == "cuda" else max(least, -(-(high - low) // BANDS))
    for start in range(low, high, max(1, step)):
        yield start, min(start + step, high)


def side_by_side(work: Callable[[int, int], None], ranges: list[tuple[int, int]]) -> None:
    """Do the work on every range, on as many threads as torch may use; each writes its own."""
    threads = min(len(ranges), torch.get_num_threads())
    if threads <= 1:
        for each in ranges:
            work(*each)
        return

    def alone(each: tuple[int, int]) -> None:
        with torch.inference_mode(inference):
            work(*each)

    inference = torch.is_inference_mode_enabled()  # each thread has its own
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(alone, ranges))
