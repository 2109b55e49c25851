"""Positions of the log in requests and answers: how a client reads what it has written."""

from typing import Annotated, Any, Final, TypeVar

from litestar import Response
from litestar.di import NamedDependency
from litestar.params import HeaderParameter

from api.edge.errors import Refused, Violation
from api.services import Provided
from commands import Outcome
from projections.reading import Answer

Content = TypeVar("Content")

WRITTEN: Final = "X-Event-Position"
MINIMUM: Final = "X-Min-Event-Position"
PARKED: Final = "X-Projection-Parked"
LARGEST: Final = 2**63 - 1


def provide_seen(
    services: Provided,
    position: Annotated[
        str, HeaderParameter(name=MINIMUM, description="Answer from this position of the log on")
    ] = "0",
) -> int:
    """The position that a read must have reached, 0 when the client names none.

    It is told after the services rather than beside them, as Litestar runs what it makes side by
    side in tasks, which cost more than either.
    """
    if len(position) < 20 and position.isascii() and position.isdigit():
        return min(int(position), LARGEST)
    violation = Violation(field=MINIMUM, message="must be a position of the log, such as 1234")
    raise Refused(f"the header {MINIMUM} cannot be read", [violation])


Seen = NamedDependency[int]


def written(content: Content, outcome: Outcome) -> Response[Content]:
    """The answer to a command, with the position of what it wrote."""
    return Response(content, headers={WRITTEN: str(outcome.position)})


def shown(content: Content, answer: Answer[Any]) -> Response[Content]:
    """The answer to a read, with word of events that are missing from it."""
    return Response(content, headers={PARKED: "true"} if answer.parked else {})
