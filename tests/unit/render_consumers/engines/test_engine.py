"""What each kind of task leaves behind, made by the real painter at a small size."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import av
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from domain.errors import NotFound
from domain.picture import ImageOptions, VideoOptions
from domain.render import Requested
from render_consumers.engines import video
from render_consumers.engines.engine import LocalEngine
from render_consumers.engines.job import (
    DeviceLost,
    Job,
    OutOfMemory,
    Product,
    Result,
    SourceDamaged,
    SourceGone,
    Unsupported,
)
from render_consumers.painting.painter import Model, Painter, Painting, Pixels, Stopped
from tests.support.scenario import (
    OLDER,
    TASK,
    image_to_video_requested,
    requested,
    upscale_requested,
    video_requested,
)

PICTURE = Image.effect_mandelbrot((96, 128), (-2, -1.5, 1, 1.5), 20).convert("RGB")
SECOND = VideoOptions(duration=1)


class SmallPainter(Painter):
    """Draws everything small."""

    def draw(
        self,
        model: Model,
        *,
        size: tuple[int, int] = (96, 128),
        turn: float = 0.0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Painting:
        return super().draw(model, size=size, turn=turn, should_stop=should_stop)

    def film(
        self,
        model: Model,
        frames: int,
        *,
        size: tuple[int, int] = (96, 128),
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Pixels]:
        return super().film(model, frames, size=size, should_stop=should_stop)


class Shelf:
    """The files that tasks are made of."""

    def __init__(self) -> None:
        jpeg = io.BytesIO()
        PICTURE.save(jpeg, "JPEG")
        self.files = {
            f"{OLDER}.jpg": jpeg.getvalue(),
            f"{OLDER}.mp4": video.encoded([np.asarray(PICTURE)] * 5),
        }

    def get(self, key: str) -> bytes:
        if key not in self.files:
            raise NotFound(key)
        return self.files[key]


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(SmallPainter("cpu"), Shelf())


def ended(engine: LocalEngine, *requests, should_stop=lambda: False, told=lambda *_: None):
    """What became of each request, in their order."""
    jobs = [Job(uuid4(), request, should_stop, told) for request in requests]
    jobs[0] = jobs[0]._replace(task=TASK)
    outcomes = {job.task: made for job, made in engine.render(jobs)}
    return [outcomes[job.task] for job in jobs]


def render(engine: LocalEngine, request, told=lambda *_: None) -> Result:
    (made,) = ended(engine, request, told=told)
    assert isinstance(made, Result), made
    return made


def names(result: Result) -> list[tuple[str, str, str]]:
    return [(p.file.name, p.file.role, p.file.content_type) for p in result.products]


def stream_of(product: Product):
    with av.open(io.BytesIO(product.data), "r") as source:
        (stream,) = source.streams.video
        codec = stream.codec_context.name
        return codec, stream.pix_fmt, (stream.width, stream.height), stream.frames


def check_files(result: Result) -> None:
    """Every file tells its own size and hash, and lies in the account's folder."""
    for product in result.products:
        assert product.file.size == len(product.data)
        assert product.file.sha256 == hashlib.sha256(product.data).hexdigest()
        assert product.file.key == f"33/gallery/{product.file.name}"


def test_a_picture_has_its_thumbnail(engine):
    result = render(engine, requested())
    assert names(result) == [
        (f"{TASK}.jpg", "source", "image/jpeg"),
        (f"{TASK}_thumbnail.jpg", "thumbnail", "image/jpeg"),
    ]
    check_files(result)
    assert result.engine == "atelier-local"
    assert abs(result.measured["Height"] - 180) < 1
    [top] = result.fit
    assert (top.kind, top.size) == ("hoodie", "M")
    assert top.girths[0].body == round(result.measured["Bust"], 1)


def test_a_map_of_the_fit_is_drawn_only_when_it_is_asked_for(engine, monkeypatch):
    asked: list[bool] = []
    dress = Painter.dress

    def dressed(*args, fit_map, **options):
        asked.append(fit_map)
        return dress(*args, fit_map=fit_map, **options)

    monkeypatch.setattr(Painter, "dress", dressed)
    render(engine, requested(image_options=ImageOptions(fit_map=True)))
    render(engine, requested())
    assert asked == [True, False]


def test_a_picture_is_told_stage_by_stage(engine):
    told: list[tuple[str, float]] = []
    render(engine, requested(), lambda *stage: told.append(stage))
    assert told == [("dressing", 0), ("drawing", 0.05), ("encoding", 0.95)]


def test_the_flat_look_is_another_engine_and_another_picture(engine):
    solid, flat = (render(engine, requested(render_mode=mode)) for mode in ("3D", "2D_Kling"))
    assert flat.engine == "atelier-flat"
    pictures = [
        np.asarray(Image.open(io.BytesIO(each.products[0].data))).astype(int)
        for each in (solid, flat)
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() > 2


@pytest.fixture(scope="module")
def turn(engine) -> tuple[Result, list[tuple[str, float]]]:
    """A video of a second, and what was told meanwhile."""
    told: list[tuple[str, float]] = []
    result = render(
        engine, video_requested(video_options=SECOND), lambda *stage: told.append(stage)
    )
    return result, told


def test_a_video_is_the_still_and_the_turn_with_one_thumbnail(turn):
    result, told = turn
    shares = [share for _, share in told]
    assert names(result) == [
        (f"{TASK}.jpg", "source", "image/jpeg"),
        (f"{TASK}.mp4", "source", "video/mp4"),
        (f"{TASK}_thumbnail.jpg", "thumbnail", "image/jpeg"),
    ]
    check_files(result)
    assert stream_of(result.products[1]) == ("h264", "yuv420p", (96, 128), 24)
    assert result.engine == "atelier-local"
    assert shares == sorted(shares)
    assert len(set(shares)) > 20
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["dressing", "drawing"]
    assert shares[-1] <= 1


def test_the_same_video_has_the_same_bytes(engine, turn):
    first, _ = turn
    assert render(engine, video_requested(video_options=SECOND)) == first


def test_a_flat_video_says_so(engine):
    request = video_requested(video_options=SECOND, render_mode="2D_Kling")
    assert render(engine, request).engine == "atelier-flat"


def test_what_only_a_generative_engine_heeds_is_ignored(engine):
    options = VideoOptions(
        duration=1, prompt="a storm", negative_prompt="rain", seed=7, video_live=True
    )
    request = image_to_video_requested(video_options=options)
    assert sorted(render(engine, request).ignored) == [
        "video_options.negative_prompt",
        "video_options.prompt",
        "video_options.seed",
        "video_options.video_live",
    ]


def test_a_picture_moves_for_as_long_as_asked(engine):
    result = render(engine, image_to_video_requested(video_options=VideoOptions(duration=2)))
    assert names(result) == [
        (f"{TASK}.mp4", "source", "video/mp4"),
        (f"{TASK}_thumbnail.jpg", "thumbnail", "image/jpeg"),
    ]
    check_files(result)
    assert stream_of(result.products[0]) == ("h264", "yuv420p", (96, 128), 48)
    assert (result.engine, result.ignored, result.measured) == ("atelier-motion", (), {})


def test_an_upscaled_video_has_names_of_its_own(engine):
    result = render(engine, upscale_requested())
    assert names(result) == [
        (f"{TASK}_upscale.mp4", "source", "video/mp4"),
        (f"{TASK}_upscale_thumbnail.jpg", "thumbnail", "image/jpeg"),
    ]
    check_files(result)
    assert stream_of(result.products[0]) == ("h264", "yuv420p", (192, 256), 5)
    assert result.engine == "atelier-lanczos"


EVERY = [
    requested(),
    video_requested(video_options=SECOND),
    image_to_video_requested(video_options=SECOND),
    upscale_requested(),
]


@pytest.mark.parametrize("request_", EVERY, ids=lambda request: request.stored_name)
def test_every_kind_stops_when_nobody_wants_it(engine, request_):
    asked = iter([False, False])  # and from then on: stop
    (made,) = ended(engine, request_, should_stop=lambda: next(asked, True))
    assert isinstance(made, Stopped)


@pytest.mark.parametrize("request_", EVERY[2:], ids=lambda request: request.stored_name)
def test_what_was_removed_meanwhile_can_no_longer_be_used(engine, request_):
    (made,) = ended(engine, msgspec.structs.replace(request_, source_key="33/gallery/gone.mp4"))
    assert isinstance(made, SourceGone)


# What ends a job, and who is at fault.


@pytest.mark.parametrize("request_", EVERY[2:], ids=lambda request: request.stored_name)
@pytest.mark.parametrize(
    "kept", [0, 100, -100], ids=["nothing", "its beginning", "all but its end"]
)
def test_what_cannot_be_read_cannot_be_used(engine, request_, kept):
    shelf = Shelf()
    shelf.files = {key: data[:kept] for key, data in shelf.files.items()}
    (made,) = ended(LocalEngine(engine._painter, shelf), request_)
    assert isinstance(made, SourceDamaged)
    assert str(made) == "the file that this should be made of cannot be read"


def test_what_is_of_a_kind_of_later_builds_is_not_made(engine):
    class LaterRequested(Requested, frozen=True, kw_only=True):
        stored_name = "render.later_requested.v1"

    (made,) = ended(engine, LaterRequested(account_number=33, vip=False, limit=10))
    assert isinstance(made, Unsupported)


class Faulty(SmallPainter):
    """A painter whose device does not do what it should."""

    def __init__(self, error: Exception, works: bool) -> None:
        self._error = error
        self._works = works

    def dress(self, *_: object, **__: object) -> Model:
        raise self._error

    def works(self) -> bool:
        return self._works


def test_too_little_memory_on_the_device_is_told_apart(engine):
    painter = Faulty(torch.OutOfMemoryError("CUDA out of memory."), works=True)
    (made,) = ended(LocalEngine(painter, Shelf()), requested())
    assert isinstance(made, OutOfMemory)


@pytest.mark.parametrize(("works", "kind"), [(True, RuntimeError), (False, DeviceLost)])
def test_an_error_means_that_the_device_is_lost_when_that_computes_no_more(works, kind):
    painter = Faulty(RuntimeError("CUDA error: an illegal memory access"), works)
    (made,) = ended(LocalEngine(painter, Shelf()), requested())
    assert type(made) is kind


def test_the_device_is_asked_to_compute(engine):
    assert engine._painter.works()


def test_a_batch_is_drawn_together_and_as_each_by_itself(engine):
    together = threading.Barrier(3, timeout=60)
    requests = [requested(), requested(render_mode="2D_Kling"), upscale_requested()]
    alone = [render(engine, request) for request in requests]

    def told(_stage, _share):
        if threading.get_ident() not in begun:
            begun.add(threading.get_ident())
            together.wait()

    begun: set[int] = set()
    made = ended(engine, *requests, told=told)
    pictures = [[p.data for p in each.products] for each in made]
    assert len(begun) == 3
    assert pictures == [[p.data for p in each.products] for each in alone]


def test_one_of_a_batch_that_fails_leaves_the_others_alone(engine):
    gone = msgspec.structs.replace(upscale_requested(), source_key="33/gallery/gone.mp4")
    first, second, third = ended(engine, upscale_requested(), gone, requested())
    assert isinstance(first, Result)
    assert isinstance(second, SourceGone)
    assert isinstance(third, Result)
