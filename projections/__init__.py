"""What can be asked: every read model."""

from projections import accounts, gallery, queue, tasks, wardrobe
from projections.model import Projection

PROJECTIONS: tuple[Projection, ...] = (
    accounts.PROJECTION,
    tasks.PROJECTION,
    queue.PROJECTION,
    gallery.PROJECTION,
    wardrobe.PROJECTION,
)
