"""What an engine is given and gives back, and why it may give nothing."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple
from uuid import UUID

import msgspec

from domain.fit import GarmentFit
from domain.render import FailureCode, MediaFile, Requested, Stage
from render_consumers.painting.painter import Stopped


class Job(NamedTuple):
    """One task while it is worked on; ``told`` hears the stage and the share that is done."""

    task: UUID
    request: Requested
    should_stop: Callable[[], bool]
    told: Callable[[Stage, float], object]

    def reached(self, stage: Stage, share: float) -> None:
        """Tell how far the work is; raises `Stopped` when nobody wants it any more."""
        if self.should_stop():
            raise Stopped
        self.told(stage, share)


class Product(msgspec.Struct, frozen=True):
    """A file of the result and its bytes."""

    file: MediaFile
    data: bytes


class Result(msgspec.Struct, frozen=True):
    """What one render made; ``measured`` is what the drawn body measures, in centimetres.

    ``fit`` tells how the clothes that were asked for fit that body, ``silhouette`` how far a remote
    engine's picture kept the outline, from 0 to 1.
    """

    engine: str
    products: tuple[Product, ...]
    ignored: tuple[str, ...]
    measured: dict[str, float]
    fit: tuple[GarmentFit, ...] = ()
    silhouette: float | None = None


class CannotBeMade(Exception):
    """Another try would end the same way; the message is for the client."""

    code: ClassVar[FailureCode]


class SourceGone(CannotBeMade):
    """The file that the result should be made of is no longer there."""

    code = "source_gone"


class SourceDamaged(CannotBeMade):
    """The file that the result should be made of cannot be read."""

    code = "source_damaged"


class Unsupported(CannotBeMade):
    """This engine does not make what is asked for."""

    code = "unsupported"


class RefusedByEngine(CannotBeMade):
    """A remote engine will not make what is asked for."""

    code = "refused_by_engine"


class Awaited(Exception):
    """A remote engine is at work; whoever hears of its end has the task claimed again.

    Failing that it is to be claimed after so many seconds.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a remote engine has {seconds:.0f} s left")
        self.seconds = seconds


class OutOfMemory(Exception):
    """The device has too little memory for this, or for so many at once."""


class DeviceLost(Exception):
    """The device no longer computes anything for this process."""
