"""Turns a request into the files of its result, in memory: one way for each kind of task."""

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec
import numpy as np
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
from render_consumers.painting.painter import Model, Painter, Pixels, Stopped

JPEG = "image/jpeg"
# What completed events say of who made the files.
LOCAL, FLAT, MOTION, LANCZOS = "atelier-local", "atelier-flat", "atelier-motion", "atelier-lanczos"
VIDEO_STILL = ImageOptions()
# The shares of the work that are done when the person is dressed, and when all is drawn.
DRESSED, DRAWN = 0.05, 0.95


class Product(msgspec.Struct, frozen=True):
    """A file of the result and its bytes."""

    file: MediaFile
    data: bytes


class Result(msgspec.Struct, frozen=True):
    """What one render made; ``measured`` is what the drawn body measures, in centimetres."""

    engine: str
    products: tuple[Product, ...]
    ignored: tuple[str, ...]
    measured: dict[str, float]


class SourceGone(Exception):
    """The file that the result should be made of is no longer there."""


class Sources(Protocol):
    """Where the files lie that results are made of."""

    def get(self, key: str) -> bytes:
        """An object's bytes; raises `NotFound`."""


class Job(NamedTuple):
    """One task while it is worked on."""

    task: UUID
    should_stop: Callable[[], bool]
    told: Callable[[float], object]

    def reached(self, share: float) -> None:
        """Tell how far the work is; raises `Stopped` when nobody wants it any more."""
        if self.should_stop():
            raise Stopped
        self.told(share)

    def counted(self, pictures: Iterable[Pixels], total: int, before: float) -> Iterator[Pixels]:
        """The pictures one by one, while the work goes on from a share that was done before."""
        for number, picture in enumerate(pictures):
            self.reached(before + (DRAWN - before) * number / total)
            yield picture


def _finite(measured: dict[str, float]) -> dict[str, float]:
    """JSON has no other numbers, and an event that holds one could never be read again."""
    return {name: value for name, value in measured.items() if math.isfinite(value)}


class LocalEngine:
    """Makes everything on this machine."""

    def __init__(self, painter: Painter, sources: Sources) -> None:
        self._painter = painter
        self._sources = sources

    def render(
        self,
        task: UUID,
        request: Requested,
        should_stop: Callable[[], bool],
        told: Callable[[float], object],
    ) -> Result:
        """The files of a task; the share that is done is told as it grows.

        Raises `Stopped` when `should_stop` says so, `SourceGone` when what the task is to be made
        of is no longer there.
        """
        job = Job(task, should_stop, told)
        match request:
            case RenderRequested():
                return self._picture(job, request)
            case VideoRequested():
                return self._video(job, request)
            case UpscaleRequested():
                return self._upscale(job, request)
            case ImageToVideoRequested():
                return self._image_to_video(job, request)
            case _:
                raise TypeError(f"no engine makes what {request.stored_name} asks for")

    def _picture(self, job: Job, request: RenderRequested) -> Result:
        model = self._dressed(job, request)
        return Result(
            engine=_look(request.render_mode),
            products=self._still(job, request, model, request.image_options),
            ignored=(*model.order.ignored, *clothing.not_in_catalogue(request)),
            measured=_finite(model.achieved),
        )

    def _video(self, job: Job, request: VideoRequested) -> Result:
        assert request.video_options is not None
        model = self._dressed(job, request)
        still, thumbnail = self._still(job, request, model, VIDEO_STILL)
        frames = video.FRAMES_PER_SECOND * request.video_options.duration
        film = self._painter.film(model, frames, should_stop=job.should_stop)
        turn = video.encoded(job.counted(film, frames, DRESSED))
        return Result(
            engine=_look(request.render_mode),
            products=(still, _video(request, f"{job.task}.mp4", turn), thumbnail),
            ignored=(
                *model.order.ignored,
                *clothing.not_in_catalogue(request),
                *_unheeded(request.video_options),
            ),
            measured=_finite(model.achieved),
        )

    def _upscale(self, job: Job, request: UpscaleRequested) -> Result:
        source = self._source(request.source_key)
        larger = video.upscaled(source, lambda share: job.reached(DRAWN * share))
        name = f"{job.task}_upscale"
        first = Image.fromarray(video.first_picture(source))
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
        picture = Image.open(io.BytesIO(self._source(request.source_key)), formats=("JPEG", "PNG"))
        frames = video.FRAMES_PER_SECOND * request.video_options.duration
        moved = video.encoded(job.counted(motion.moving(picture, frames), frames, 0))
        return Result(
            engine=MOTION,
            products=(
                _video(request, f"{job.task}.mp4", moved),
                _thumbnail(request, str(job.task), picture.convert("RGB"), VIDEO_STILL),
            ),
            ignored=_unheeded(request.video_options),
            measured={},
        )

    def _dressed(self, job: Job, request: RenderRequested | VideoRequested) -> Model:
        assert request.user_details is not None
        flat = request.render_mode == "2D_Kling"
        model = self._painter.dress(
            request.user_details, clothing.look(request), flat=flat, should_stop=job.should_stop
        )
        job.told(DRESSED)
        return model

    def _still(
        self, job: Job, request: Requested, model: Model, options: ImageOptions
    ) -> tuple[Product, Product]:
        painting = self._painter.draw(model, should_stop=job.should_stop)
        picture = Image.fromarray(np.asarray(painting.pixels))
        still = _jpeg(request, f"{job.task}.jpg", "source", picture, options.quality)
        return still, _thumbnail(request, str(job.task), picture, options)

    def _source(self, key: str) -> bytes:
        try:
            return self._sources.get(key)
        except NotFound as error:
            raise SourceGone("the file that this should be made of is no longer there") from error


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


def _jpeg(request: Requested, name: str, role: str, picture: Image.Image, quality: int) -> Product:
    buffer = io.BytesIO()
    # Full colour resolution: halved, it smears the edges of saturated garments.
    picture.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return _product(request, name, role, JPEG, buffer.getvalue())


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
