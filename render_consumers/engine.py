"""Turns a request into the files of its result, in memory."""

import hashlib
import io
import math
from collections.abc import Callable
from uuid import UUID

import msgspec
import numpy as np
from PIL import Image

from domain.picture import ImageOptions
from domain.render import MediaFile, RenderRequested
from render_consumers.painting.painter import GarmentLook, Painter

JPEG = "image/jpeg"
LOCAL = "atelier-local"


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


class LocalEngine:
    """Paints on this machine."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter

    def render(
        self, task: UUID, request: RenderRequested, should_stop: Callable[[], bool]
    ) -> Result:
        """The picture and its thumbnail. Raises `Stopped` when `should_stop` says so."""
        assert request.user_details is not None
        apparel = request.apparel_details
        garment = GarmentLook(colour=apparel.color, size=apparel.size)
        painting = self._painter.paint(request.user_details, garment, should_stop=should_stop)
        picture = Image.fromarray(np.asarray(painting.pixels))
        folder = f"{request.account_number}/gallery"
        options = request.image_options
        return Result(
            engine=LOCAL,
            products=(
                _jpeg(folder, f"{task}.jpg", "source", picture, options.quality),
                _jpeg(folder, f"{task}_thumbnail.jpg", "thumbnail", *_small(picture, options)),
            ),
            ignored=tuple(painting.ignored),
            measured={k: v for k, v in painting.achieved.items() if math.isfinite(v)},
        )


def _small(picture: Image.Image, options: ImageOptions) -> tuple[Image.Image, int]:
    width = min(options.thumbnail_width, picture.width)
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS), options.quality


def _jpeg(folder: str, name: str, role: str, picture: Image.Image, quality: int) -> Product:
    buffer = io.BytesIO()
    # Full colour resolution: halved, it smears the edges of saturated garments.
    picture.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    data = buffer.getvalue()
    file = MediaFile(
        name=name,
        key=f"{folder}/{name}",
        role="thumbnail" if role == "thumbnail" else "source",
        content_type=JPEG,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Product(file, data)
