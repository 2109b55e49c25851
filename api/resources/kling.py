"""Where Kling tells that one of its pictures is done: a hint to look, and no more than that."""

from typing import Any, Final

import msgspec
from litestar import Request, post

from api.services import Provided
from infra.kling.client import CALLBACK


class Hint(msgspec.Struct):
    """A task of Kling's. It is not signed, so nothing else that it says is believed."""

    task_id: str = ""


@post(CALLBACK, status_code=204, include_in_schema=False)
async def told(request: Request[Any, Any, Any], services: Provided) -> None:
    """Have the task looked at soon; whoever asks is answered alike, whatever they know."""
    try:
        hint = msgspec.json.decode(await request.body(), type=Hint)
    except msgspec.MsgspecError:
        return
    if hint.task_id and "\0" not in hint.task_id:  # Postgres takes no NUL
        await services.in_thread(services.illustrations.hint, hint.task_id)


OPEN: Final = [told]
