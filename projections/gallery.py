"""Which pictures and videos have I?"""

from collections.abc import Iterator
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.account import AccountErased
from domain.events import Recorded
from domain.render import RenderCompleted, RenderFileRemoved
from projections.model import Projection, seconds
from projections.reading import Answer, Question, Reader
from projections.rows import Rows, Table

ITEM = 10**12  # cursors from here on name an item, smaller ones a second
FILES_PER_EVENT = 4

TABLE: LiteralString = """
CREATE TABLE {table} (
    task          uuid NOT NULL,
    account       uuid NOT NULL,
    name          text NOT NULL,
    source_key    text NOT NULL,
    thumbnail_key text NOT NULL,
    last_modified bigint NOT NULL,
    position      bigint NOT NULL,
    file_index    integer NOT NULL,
    PRIMARY KEY (task, name)
);
CREATE INDEX ON {table} (account, last_modified DESC, position DESC, file_index DESC)"""


class GalleryFile(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    task: UUID
    account: UUID
    name: str
    source_key: str
    thumbnail_key: str
    last_modified: int
    position: int
    file_index: int


class GalleryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the gallery; ``last_modified`` is when it was recorded, in Unix seconds.

    ``garment`` is the name of what its task shows, if that is known.
    """

    task: UUID
    garment: str | None
    source_key: str
    thumbnail_key: str
    last_modified: int
    position: int
    file_index: int


def fold(rows: Rows[GalleryFile], recorded: Recorded) -> None:
    """How an event changes the gallery."""
    event = recorded.event
    match event:
        case RenderCompleted() if rows.knows(recorded.account):
            for file in _files(recorded, event):
                rows.put(file)
        case RenderFileRemoved():
            rows.remove((recorded.aggregate_id, event.name))
        case AccountErased():
            rows.forget(recorded.account)


def _files(recorded: Recorded, event: RenderCompleted) -> Iterator[GalleryFile]:
    assert recorded.account is not None
    thumbnail = next(f.key for f in event.files if f.role == "thumbnail")
    sources = [f for f in event.files if f.role == "source"]
    for index, source in enumerate(sources):
        yield GalleryFile(
            task=recorded.aggregate_id,
            account=recorded.account,
            name=source.name,
            source_key=source.key,
            thumbnail_key=thumbnail,
            last_modified=seconds(recorded.recorded_at),
            position=recorded.position,
            file_index=index,
        )


PROJECTION = Projection(
    name="gallery",
    table=Table(row=GalleryFile, key=("task", "name"), sql=TABLE),
    uses=(RenderCompleted, RenderFileRemoved, AccountErased),
    fold=fold,
    reads=False,  # files come and go without regard to what is there
)

# recorded_at never goes back, so (last_modified, position, file_index) orders as position does, and
# has an index, in which a cursor of either kind is one place; no position is 0.
PAGE = Question(
    models=("gallery", "tasks"),
    row=GalleryRow,
    sql="""-- Which files come after the cursor, newest first, and what do they show?
SELECT task, (SELECT t.garment FROM atelier_tasks t WHERE t.task = g.task) AS garment,
       source_key, thumbnail_key, last_modified, position, file_index
  FROM atelier_gallery g
 WHERE account = %(account)s
   AND (last_modified, position, file_index) < (
       coalesce(%(second)s, (SELECT floor(extract(epoch FROM e.recorded_at))::bigint
                               FROM atelier_events e WHERE e.position = %(position)s),
                9223372036854775807), coalesce(%(position)s, 0), coalesce(%(file_index)s, 0))
 ORDER BY last_modified DESC, position DESC, file_index DESC
 LIMIT %(limit)s""",
    types={"second": "bigint", "position": "bigint", "file_index": "integer", "limit": "integer"},
)


async def page(
    reader: Reader, account: UUID, *, limit: int, cursor: int | None, seen: int = 0
) -> Answer[GalleryRow]:
    """Up to `limit` files after the cursor, and one more when there are more."""
    by_item = cursor is not None and cursor >= ITEM
    position, index = divmod(cursor - ITEM, FILES_PER_EVENT) if by_item and cursor else (None, None)
    second = None if by_item else cursor
    return await reader.ask(
        PAGE,
        account,
        seen=seen,
        second=second,
        position=position,
        file_index=index,
        limit=limit + 1,
    )


def next_cursor(rows: list[GalleryRow], limit: int) -> int | None:
    """Where the next page starts: a second, or an item where the page ends inside a second."""
    if len(rows) <= limit:
        return None
    last, following = rows[limit - 1], rows[limit]
    if following.last_modified < last.last_modified:
        return last.last_modified
    return ITEM + last.position * FILES_PER_EVENT + last.file_index
