"""How long a picture of 768 by 1024 takes, and how much memory, on the processor and on CUDA.

There is no peer. The limit is what warp alone needs for the rays: a tree over the same triangles,
and sixteen rays for each pixel to the nearest of them, without a light or a colour. The memory is
the largest resident set of a process that draws one picture.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import torch
import warp as wp

from domain.measurements import Measurements
from domain.picture import UserDetails
from render_consumers.painting.painter import PICTURE, GarmentLook, Model, Painter
from render_consumers.painting.picture import camera
from render_consumers.painting.picture.kernels.running import bands, launch, side_by_side
from tests.bench.rays import cast_rays
from tests.bench.report import Figure, median, report

RUNS = 3
BATCH = 16  # pictures at a time on CUDA
VIDEO = (720, 960)
FRAMES = 8
HOODIE = GarmentLook("Crimson", "M")
HEIGHTS = count(16_000)  # each person is measured once: nothing is kept from one to the next
MOST_MB = 2048.0  # of memory: what is promised


def main() -> None:
    """Measure on every device that is there."""
    figures = [*on("cpu"), memory()]
    if torch.cuda.is_available():
        figures += [*on("cuda"), batch()]
    report("render", figures)


def person() -> UserDetails:
    """Somebody who has not been drawn yet."""
    measured = Measurements(height=next(HEIGHTS) / 100, bust=92, waist=74, hips=99)
    return UserDetails(real_world_measurements=measured, expression="Smile")


def on(device: str) -> Iterator[Figure]:
    """What one picture takes, and one of a video."""
    painter = Painter(device)
    model = painter.dress(person(), HOODIE)
    portrait = painter.dress(UserDetails(view_mode=2), HOODIE)
    rays = seconds(lambda: by_rays(model))
    for name, work in (
        ("a picture, another person in another drape", lambda: painter.paint(person(), HOODIE)),
        ("a picture of somebody who is dressed", lambda: painter.draw(model)),
    ):
        yield Figure(name=f"{device}: {name}", unit="s", ours=seconds(work), limit=rays)
    if device == "cpu":
        used = median([_cpu_time(lambda: painter.draw(model)) for _ in range(RUNS)])
        yield Figure(name="cpu: its process's CPU time", unit="s", ours=used)
    face = seconds(lambda: painter.draw(portrait))
    yield Figure(
        name=f"{device}: a face", unit="s", ours=face, limit=seconds(lambda: by_rays(portrait))
    )
    film = seconds(lambda: list(painter.film(model, FRAMES, size=VIDEO))) / FRAMES
    yield Figure(name=f"{device}: a frame of a video, 720 by 960", unit="s", ours=film)


def seconds(work: Callable[[], object]) -> float:
    """The median of some runs, after one that does not count."""
    work()
    return median([_timed(work) for _ in range(RUNS)])


def by_rays(model: Model) -> None:
    """The limit."""
    scene, size = model.scene, PICTURE
    view = camera.frame(model.order.mode, size, *scene.extent())
    faces = scene.solid().int().flatten()
    places = wp.from_torch(scene.places, dtype=wp.vec3)
    mesh = wp.Mesh(places, wp.from_torch(faces))  # type: ignore[arg-type]
    seen = torch.empty(size[0] * size[1], dtype=torch.int32, device=scene.places.device)

    def cast(first: int, last: int) -> None:
        place = (view.eye(), view.centre, view.pixel())
        launch(cast_rays, last - first, mesh.id, *place, *size, first, seen[first:last])

    side_by_side(cast, list(bands(0, len(seen), seen.device)))
    seen.cpu()


def memory() -> Figure:
    """The largest resident set of a process that draws the contract's example."""
    example = Path("api/cli/demo_request.json").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "render_consumers.offline.still", f"{folder}/picture.jpg"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin
        process.stdin.write(example)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    return Figure(name="memory, one picture", unit="MB", ours=used.ru_maxrss / 1024, limit=MOST_MB)


def batch() -> Figure:
    """One of many pictures that are drawn at a time, as a consumer draws them."""
    painter = Painter("cuda")

    def draw() -> None:
        with ThreadPoolExecutor(BATCH) as pool:
            list(pool.map(lambda _: painter.paint(person(), HOODIE), range(BATCH)))

    return Figure(name=f"cuda: one of {BATCH} pictures", unit="s", ours=seconds(draw) / BATCH)


def _cpu_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
