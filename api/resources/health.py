"""Whether the server lives, and whether it can serve."""

import asyncio
from typing import Final, Literal

import msgspec
from litestar import Response, get
from litestar.openapi import ResponseSpec

from api.services import Provided, Services
from domain.errors import HistoryReplaced, Unavailable
from infra.kafka.clients import reachable
from infra.log.fingerprints import WrongKeys

ANSWER_S: Final = 2.0

Part = Literal["ok", "degraded", "down", "not migrated", "takes no changes"]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["live"]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests can be served, and how each server is.

    Without Kafka or the media store requests are still taken; tasks wait until they are back.
    """

    status: Literal["ready", "not ready"]
    postgres: Part
    kafka: Part
    media: Part


@get("/health/live", tags=["Health"])
async def live() -> Live:
    """Answer as long as the process lives."""
    return Live(status="live")


@get(
    "/health/ready",
    tags=["Health"],
    responses={
        503: ResponseSpec(Ready, description="Requests cannot be served", generate_examples=False)
    },
)
async def ready(services: Provided) -> Response[Ready]:
    """Answer 200 when requests can be served, else 503."""
    postgres, kafka_answers, media_answers = await asyncio.gather(
        _postgres(services),
        asyncio.to_thread(reachable, services.settings, ANSWER_S),
        asyncio.to_thread(services.media.reachable, ANSWER_S),
    )
    usable = postgres == "ok"
    state = Ready(
        status="ready" if usable else "not ready",
        postgres=postgres,
        kafka="ok" if kafka_answers else "degraded",
        media="ok" if media_answers else "degraded",
    )
    return Response(state, status_code=200 if usable else 503)


async def _postgres(services: Services) -> Part:
    try:
        if not await services.in_time(services.reader.migrated(), ANSWER_S):
            return "not migrated"
        takes_events = services.in_thread(services.store.takes_events)
        if not await services.in_time(takes_events, ANSWER_S):
            return "takes no changes"
    except Unavailable:
        return "down"
    except (HistoryReplaced, WrongKeys):
        return "takes no changes"
    return "ok"


OPEN: Final = [live, ready]
