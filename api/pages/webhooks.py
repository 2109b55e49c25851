"""The description of what is sent to the hosts that clients have named."""

from typing import Final

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat

TEXT: Final = Schema(type=OpenAPIType.STRING)
PAYLOAD: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="What `GET /generate/{task_id}` answers as the task ends, and which task it is",
    required=["type", "timestamp", "data"],
    properties={
        "type": Schema(type=OpenAPIType.STRING, enum=["task.completed", "task.failed"]),
        "timestamp": Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.DATE_TIME,
            description="When the task ended",
        ),
        "data": Schema(
            all_of=[
                Reference("#/components/schemas/TaskStatus"),
                Schema(
                    type=OpenAPIType.OBJECT,
                    required=["task_id"],
                    properties={
                        "task_id": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID)
                    },
                ),
            ]
        ),
    },
)
HEADERS: Final = {
    "webhook-id": "The task's id: the same however often it is sent",
    "webhook-timestamp": "When it was sent, in Unix seconds",
    "webhook-signature": "By the scheme of Standard Webhooks: `v1,` and base64, with blanks between"
    " where several keys sign",
}
TASK_ENDED: Final = PathItem(
    post=Operation(
        summary="A task has ended",
        description="Sent to the `task_options.webhook_url` of the request for the task. Answer 2xx"
        " within 15 seconds; anything else is sent again for a day, and 410 ends that.",
        operation_id="task_ended",
        tags=["Generate"],
        parameters=[
            Parameter(name=name, param_in="header", required=True, description=about, schema=TEXT)
            for name, about in HEADERS.items()
        ],
        request_body=RequestBody(
            content={"application/json": OpenAPIMediaType(schema=PAYLOAD)}, required=True
        ),
        responses={"2XX": OpenAPIResponse(description="It has been taken")},
    )
)
