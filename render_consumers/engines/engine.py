"""Turns a request into the files of its result, in memory: one way for each kind of task."""

import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

import msgspec
import numpy as np
import torch
from PIL import Image

from domain.errors import NotFound
from domain.picture import ImageOptions, RenderMode, VideoOptions
from domain.render import (
    ImageToVideoRequested,
    MediaFile,
    RenderRequested,
    Requested,
    UpscaleRequested,
    VideoRequested,
)
from render_consumers.engines import clothing, motion, video
from render_consumers.engines.illustration import KLING, Redrawing
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
from render_consumers.painting.clothes import fitting
from render_consumers.painting.painter import Model, Painter, Pixels

JPEG = "image/jpeg"
# What completed events say of who made the files.
LOCAL, FLAT, MOTION, LANCZOS = "atelier-local", "atelier-flat", "atelier-motion", "atelier-lanczos"
VIDEO_STILL = ImageOptions()
DAMAGED = "the file that this should be made of cannot be read"
# The shares of the work that are done when the person is dressed, and when all is drawn.
DRESSED, DRAWN = 0.05, 0.95


class Sources(Protocol):
    """Where the files lie that results are made of."""

    def get(self, key: str) -> bytes:
        """An object's bytes; raises `NotFound`."""


def _finite(measured: dict[str, float]) -> dict[str, float]:
    """JSON has no other numbers, and an event that holds one could never be read again."""
    return {name: value for name, value in measured.items() if math.isfinite(value)}


class LocalEngine:
    """Makes everything on this machine, but for what a remote engine is to redraw."""

    def __init__(
        self, painter: Painter, sources: Sources, redrawing: Redrawing | None = None
    ) -> None:
        self._painter = painter
        self._sources = sources
        self._redrawing = redrawing

    def render(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Exception]]:
        """Each job with its files, or with what ended it alone, in the order in which they end.

        All begin at once: what one writes and compresses, another draws meanwhile.
        """
        if len(jobs) == 1:  # in this thread: torch makes threads anew for each that calls it
            yield jobs[0], self._outcome(jobs[0])
            return
        with ThreadPoolExecutor(len(jobs)) as pool:
            begun = {pool.submit(self._outcome, job): job for job in jobs}
            for done in as_completed(begun):
                yield begun[done], done.result()

    def _outcome(self, job: Job) -> Result | Exception:
        try:
            return self._made(job)
        except torch.OutOfMemoryError:
            return OutOfMemory("there is too little memory on the device")
        except Exception as error:
            return error if self._painter.works() else DeviceLost(str(error))

    def _made(self, job: Job) -> Result:
        match job.request:
            case RenderRequested():
                return self._picture(job, job.request)
            case VideoRequested():
                return self._video(job, job.request)
            case UpscaleRequested():
                return self._upscale(job, job.request)
            case ImageToVideoRequested():
                return self._image_to_video(job, job.request)
            case _:
                raise Unsupported(f"nothing here makes what {job.request.stored_name} asks for")

    def _picture(self, job: Job, request: RenderRequested) -> Result:
        if self._redrawing and request.render_mode == "2D_Kling":
            return self._illustrated(job, request, self._redrawing)
        model = self._dressed(job, request)
        picture = self._drawn(job, model)
        return self._result(job, request, model, picture, _look(request.render_mode))

    def _illustrated(self, job: Job, request: RenderRequested, redrawing: Redrawing) -> Result:
        """Our own flat picture as the remote engine redraws it, or itself where that fails."""
        found = redrawing.standing(job.task)
        model = self._dressed(job, request)
        shown = redrawing.redrawn(job, found, self._drawn(job, model))
        engine, lacking = (KLING, ()) if shown.by_engine else (FLAT, ("render_mode",))
        result = self._result(job, request, model, shown.picture, engine)
        return msgspec.structs.replace(
            result, ignored=(*result.ignored, *lacking), silhouette=shown.silhouette
        )

    def _result(
        self, job: Job, request: RenderRequested, model: Model, picture: Image.Image, engine: str
    ) -> Result:
        job.told("encoding", DRAWN)
        return Result(
            engine=engine,
            products=self._still(job, request, picture, request.image_options),
            ignored=_ignored(request, model),
            measured=_finite(model.achieved),
            fit=fitting.fit(model.order.outfit, _finite(model.achieved)),
        )

    def _video(self, job: Job, request: VideoRequested) -> Result:
        assert request.video_options is not None
        model = self._dressed(job, request)
        still, thumbnail = self._still(job, request, self._drawn(job, model), VIDEO_STILL)
        frames = video.FRAMES_PER_SECOND * request.video_options.duration
        film = self._painter.film(model, frames, should_stop=job.should_stop)
        turn = video.encoded(_counted(job, film, frames, DRESSED))
        return Result(
            engine=_look(request.render_mode),
            products=(still, _video(request, f"{job.task}.mp4", turn), thumbnail),
            ignored=(*_ignored(request, model), *_unheeded(request.video_options)),
            measured=_finite(model.achieved),
            fit=fitting.fit(model.order.outfit, _finite(model.achieved)),
        )

    def _upscale(self, job: Job, request: UpscaleRequested) -> Result:
        source = self._source(request.source_key)
        name = f"{job.task}_upscale"
        try:
            larger = video.upscaled(source, lambda share: job.reached("drawing", DRAWN * share))
            first = Image.fromarray(video.first_picture(source))
        except video.NotAVideo as error:
            raise SourceDamaged(DAMAGED) from error
        return Result(
            engine=LANCZOS,
            products=(
                _video(request, f"{name}.mp4", larger),
                _thumbnail(request, name, first, VIDEO_STILL),
            ),
            ignored=(),
            measured={},
        )

    def _image_to_video(self, job: Job, request: ImageToVideoRequested) -> Result:
        assert request.video_options is not None
        picture = _opened(self._source(request.source_key))
        frames = video.FRAMES_PER_SECOND * request.video_options.duration
        moved = video.encoded(_counted(job, motion.moving(picture, frames), frames, 0))
        return Result(
            engine=MOTION,
            products=(
                _video(request, f"{job.task}.mp4", moved),
                _thumbnail(request, str(job.task), picture, VIDEO_STILL),
            ),
            ignored=_unheeded(request.video_options),
            measured={},
        )

    def _dressed(self, job: Job, request: RenderRequested | VideoRequested) -> Model:
        assert request.user_details is not None
        job.told("dressing", 0)
        model = self._painter.dress(
            request.user_details,
            clothing.look(request),
            flat=request.render_mode == "2D_Kling",
            fit_map=isinstance(request, RenderRequested) and request.image_options.fit_map,
            should_stop=job.should_stop,
        )
        job.told("drawing", DRESSED)
        return model

    def _drawn(self, job: Job, model: Model) -> Image.Image:
        painting = self._painter.draw(model, should_stop=job.should_stop)
        return Image.fromarray(np.asarray(painting.pixels))

    def _still(
        self, job: Job, request: Requested, picture: Image.Image, options: ImageOptions
    ) -> tuple[Product, Product]:
        still = _jpeg(request, f"{job.task}.jpg", "source", picture, options.quality)
        return still, _thumbnail(request, str(job.task), picture, options)

    def _source(self, key: str) -> bytes:
        try:
            return self._sources.get(key)
        except NotFound as error:
            raise SourceGone("the file that this should be made of is no longer there") from error


def _ignored(request: RenderRequested | VideoRequested, model: Model) -> tuple[str, ...]:
    """What of the person and the clothes could not be drawn as asked, each once."""
    return tuple(dict.fromkeys((*model.order.ignored, *clothing.not_drawn(request))))


def _counted(job: Job, pictures: Iterable[Pixels], total: int, before: float) -> Iterator[Pixels]:
    """The pictures one by one, while the work goes on from a share that was done before."""
    for number, picture in enumerate(pictures):
        job.reached("drawing", before + (DRAWN - before) * number / total)
        yield picture


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG")).convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make the readers stumble in ways of their own
        raise SourceDamaged(DAMAGED) from error


def _look(mode: RenderMode) -> str:
    return FLAT if mode == "2D_Kling" else LOCAL


def _unheeded(options: VideoOptions) -> tuple[str, ...]:
    """What only a generative engine could heed, where it was asked for."""
    asked = msgspec.structs.asdict(options)
    usual = msgspec.structs.asdict(VideoOptions(duration=options.duration))
    return tuple(f"video_options.{name}" for name in asked if asked[name] != usual[name])


def _thumbnail(
    request: Requested, name: str, picture: Image.Image, options: ImageOptions
) -> Product:
    width = min(options.thumbnail_width, picture.width)
    height = max(1, round(picture.height * width / picture.width))
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    return _jpeg(request, f"{name}_thumbnail.jpg", "thumbnail", small, options.quality)


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """The picture as a file for clients."""
    buffer = io.BytesIO()
    # Full colour resolution: halved, it smears the edges of saturated garments.
    picture.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()


def _jpeg(request: Requested, name: str, role: str, picture: Image.Image, quality: int) -> Product:
    return _product(request, name, role, JPEG, jpeg(picture, quality))


def _video(request: Requested, name: str, data: bytes) -> Product:
    return _product(request, name, "source", video.MP4, data)


def _product(request: Requested, name: str, role: str, content_type: str, data: bytes) -> Product:
    file = MediaFile(
        name=name,
        key=f"{request.account_number}/gallery/{name}",
        role="thumbnail" if role == "thumbnail" else "source",
        content_type=content_type,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Product(file, data)
