"""What a remote engine has made of our own picture, if it is to redraw it."""

import io
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from PIL import Image

from domain.errors import NotFound
from infra.kling.illustrations import Illustrations, Standing, guide_key, made_key
from render_consumers.engines import silhouette
from render_consumers.engines.job import Awaited, Job, RefusedByEngine

KLING: Final = "kling"  # what completed events say of who made the files
FOLDER: Final = "illustrations"


class Media(Protocol):
    """The store where guides and results lie."""

    def get(self, key: str) -> bytes:
        """An object's bytes; raises `NotFound`."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object."""


class Redrawn(NamedTuple):
    """What there is to show, and by whom; how far the engine kept the outline, if it drew."""

    picture: Image.Image
    by_engine: bool
    silhouette: float | None


class Redrawing:
    """Asks for pictures and takes them up; whoever talks to the engine is somebody else."""

    def __init__(self, table: Illustrations, media: Media, seconds: float) -> None:
        """A picture that is not there after so many seconds is no longer waited for."""
        self._table = table
        self._media = media
        self._seconds = seconds

    def standing(self, task: UUID) -> Standing | None:
        """How the task's picture stands; raises `Awaited` or `RefusedByEngine`."""
        found = self._table.find(task)
        if found is None:
            return None
        if found.state == "refused":
            raise RefusedByEngine(found.reason)
        if found.state not in ("made", "unusable") and found.seconds_left > 0:
            raise Awaited(found.seconds_left)
        return found

    def redrawn(self, job: Job, found: Standing | None, ours: Image.Image) -> Redrawn:
        """The engine's picture, or ours where that is not of the same body or there is none.

        Raises `Awaited` when it has yet to be asked for.
        """
        if found is None:
            self._ask(job, ours)
            raise Awaited(self._seconds)
        theirs = self._made(found) if found.state == "made" else None
        if theirs is None:
            return Redrawn(ours, False, None)
        alike = round(silhouette.likeness(ours, theirs), 4)
        if alike < silhouette.LIKE:
            return Redrawn(ours, False, alike)
        return Redrawn(theirs.resize(ours.size, Image.Resampling.LANCZOS), True, alike)

    def _ask(self, job: Job, ours: Image.Image) -> None:
        folder = f"{job.request.account_number}/{FOLDER}/{job.task}"
        buffer = io.BytesIO()
        ours.save(buffer, "PNG")
        self._media.put(guide_key(folder), buffer.getvalue(), "image/png")
        self._table.ask(job.task, folder, self._seconds)

    def _made(self, found: Standing) -> Image.Image | None:
        try:
            data = self._media.get(made_key(found.folder))
        except NotFound:
            return None
        return Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB")
