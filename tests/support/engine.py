"""An engine whose pictures cost nothing, for tests of the work around a render."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from PIL import Image

from domain.render import MediaFile
from render_consumers.engines.job import Job, Product, Result
from tests.support.scenario import garment_fit


class SmallEngine:
    """Makes a picture of 16 by 16 pixels, and lets a test step in while it renders."""

    def __init__(self, during: Callable[[UUID], object] = lambda task: None) -> None:
        self.during = during
        self.rendered: list[UUID] = []
        self.batches: list[int] = []

    def render(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Exception]]:
        self.batches.append(len(jobs))
        for job in jobs:
            yield job, self._outcome(job)

    def _outcome(self, job: Job) -> Result | Exception:
        task = job.task
        self.rendered.append(task)
        self.should_stop = job.should_stop
        self.told = job.told
        try:
            self.during(task)
        except Exception as error:
            return error
        folder = f"{job.request.account_number}/gallery"
        products = (
            _product(folder, f"{task}.jpg", "source", 16),
            _product(folder, f"{task}_thumbnail.jpg", "thumbnail", 8),
        )
        return Result("test", products, ("brand",), {"Height": 180.0}, (garment_fit(),))


def _product(folder: str, name: str, role: str, width: int) -> Product:
    buffer = io.BytesIO()
    Image.new("RGB", (width, width), "teal").save(buffer, "JPEG")
    data = buffer.getvalue()
    file = MediaFile(
        name=name,
        key=f"{folder}/{name}",
        role="source" if role == "source" else "thumbnail",
        content_type="image/jpeg",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Product(file, data)
