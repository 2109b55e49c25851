"""The Idempotency-Key header: the same request sent again is the same task, for ever."""

from typing import Annotated, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec
from litestar.di import NamedDependency
from litestar.params import HeaderParameter

from api.edge.auth import SignedIn
from api.edge.errors import Refused, Violation
from api.services import Provided
from domain.ids import new_id
from infra.log.keys import request_hash

HEADER: Final = "Idempotency-Key"
LONGEST: Final = 255


class Order(NamedTuple):
    """The task that a request makes, and the hash by which the same request is known again."""

    task: UUID
    request_hash: str | None

    @property
    def is_new(self) -> bool:
        """Whether nobody can have made this task before."""
        return self.request_hash is None


async def provide_order(
    request: SignedIn,
    services: Provided,
    key: Annotated[
        str | None,
        HeaderParameter(
            name=HEADER,
            description="With the same key and body a request can be sent again: it makes one task",
            schema_extra={"minLength": 1, "maxLength": LONGEST, "pattern": "^[ -~]+$"},
        ),
    ] = None,
) -> Order:
    """The task's id, derived from account, endpoint and key, or a new one without a key."""
    if key is None:
        return Order(new_id(), None)
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        expected = f"must be 1 to {LONGEST} printable ASCII characters"
        violation = Violation(field=HEADER, message=expected)
        raise Refused(f"the header {HEADER} cannot be used", [violation])
    endpoint = request.scope["path"].rstrip("/")
    body = _canonical(await request.body())
    return Order(
        task=uuid5(request.user, f"{endpoint}\n{key}"),
        request_hash=request_hash(request.user, body, services.settings.hash_key),
    )


Ordered = NamedDependency[Order]


def _canonical(body: bytes) -> bytes:
    """JSON without what does not count: the order of members and blanks between them."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    except (ValueError, RecursionError):
        return body
