"""Renders: asking for a picture."""

from collections.abc import Awaitable
from typing import Final
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.params import JSONBody

from api.edge import origin, webhooks
from api.edge.auth import SignedIn
from api.edge.errors import OF_TASK, documented
from api.edge.idempotency import Order, Ordered
from api.edge.positions import written
from api.edge.wire import StrictRequest
from api.services import Provided, Services
from commands import Origin, Outcome, execute_async
from commands.render import NEW_TASK, RequestRender
from domain.errors import OutcomeUnknown
from domain.picture import ApparelDetails, ImageOptions, RenderMode, TaskOptions, UserDetails


class PictureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the picture shall show; what is left out has a default."""

    user_details: UserDetails = UserDetails()
    apparel_details: ApparelDetails = ApparelDetails()
    image_options: ImageOptions = ImageOptions()
    task_options: TaskOptions = TaskOptions()
    render_mode: RenderMode = "3D"


class TaskCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The task that will make the picture."""

    task_id: UUID


@post(
    "/generate",
    status_code=200,
    tags=["Generate"],
    request_class=StrictRequest,
    responses=documented(*OF_TASK),
)
async def generate(
    data: JSONBody[PictureRequest],
    request: SignedIn,
    services: Provided,
    order: Ordered,
) -> Response[TaskCreated]:
    """Ask for a picture."""
    asked = _request(order, request.user, data, services, origin.of(request))
    return await task_created(order, services.in_time(asked))


async def task_created(order: Order, outcome: Awaitable[Outcome]) -> Response[TaskCreated]:
    """The answer to a request for a task, also when nobody knows whether it was made."""
    try:
        return written(TaskCreated(task_id=order.task), await outcome)
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            f"the task {order.task} may have been made: GET /generate/{order.task} tells"
        ) from error


async def _request(
    order: Order, account: UUID, data: PictureRequest, services: Services, by: Origin
) -> Outcome:
    most = services.settings.task_limit
    command = RequestRender(
        aggregate_id=order.task,
        request_hash=order.request_hash,
        account=account,
        kind="image",
        account_number=await services.account_number(account),
        user_details=data.user_details,
        apparel_details=data.apparel_details,
        image_options=data.image_options,
        render_mode=data.render_mode,
        garment=await services.worn(data.apparel_details),
        vip=data.task_options.vip and await services.may_be_vip(account),
        limit=min(data.task_options.limit or most, most),
        webhook_url=webhooks.allowed(data.task_options, services.settings),
    )
    known = NEW_TASK if order.is_new else None
    return await execute_async(command, services.async_store, by, known=known)


PRIVATE: Final = [generate]
