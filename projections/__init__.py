"""What can be asked: every read model."""

from projections import accounts, gallery, queue, tasks
from projections.model import Projection

PROJECTIONS: tuple[Projection, ...] = (
    accounts.PROJECTION,
    tasks.PROJECTION,
    queue.PROJECTION,
    gallery.PROJECTION,
)
