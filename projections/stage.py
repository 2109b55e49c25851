"""What is being done for a task?"""

from typing import get_args
from uuid import UUID

import msgspec

from domain.render import Stage
from projections.reading import Question, Reader


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of a task that is rendered, as the consumer that holds its lease has told."""

    stage: str | None


STAGE = Question(
    models=("tasks",),
    row=StageRow,
    sql="""-- What is being done for the task by whoever holds it?
SELECT l.stage FROM atelier_leases l
 WHERE l.task = %(task)s AND l.expires_at > now()""",
    types={"task": "uuid"},
)


async def stage(reader: Reader, account: UUID, task: UUID) -> Stage | None:
    """The stage of a task of the account; None when nobody renders it or has told yet.

    Nor is one told that only a newer consumer knows.
    """
    answer = await reader.ask(STAGE, account, task=task)
    told = {row.stage for row in answer.rows}
    return next((known for known in get_args(Stage) if known in told), None)
