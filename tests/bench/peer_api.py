"""What a user would build instead of our API: FastAPI and asyncpg over plain tables.

It answers the same three requests with the same rows, the same checks of bodies and tokens and the
same signed URLs. Its tables are filled from our read models by `tests.bench.api`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import jwt
import msgspec
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, create_model

from api.resources.render import PictureRequest
from infra.access.tokens import ALGORITHM, AUDIENCE, CLAIMS, ISSUER
from infra.media.store import MediaStore
from infra.settings import Settings

SETTINGS = Settings.load(os.environ)
MEDIA = MediaStore(SETTINGS)
CONNECTIONS = 8

TABLES = """
CREATE TABLE peer_accounts AS
    SELECT a.account AS id, count(t) FILTER (WHERE status IN ('PENDING', 'STARTED')) AS unfinished
      FROM atelier_accounts a LEFT JOIN atelier_tasks t USING (account) GROUP BY a.account;
ALTER TABLE peer_accounts ADD PRIMARY KEY (id);
CREATE TABLE peer_tasks AS
    SELECT task, account, place, vip, status, engine, error_code, error_message, files, ignored,
           NULL::jsonb AS request
      FROM atelier_tasks;
CREATE SEQUENCE peer_places START 1000000;
ALTER TABLE peer_tasks ADD PRIMARY KEY (task),
    ALTER place SET DEFAULT nextval('peer_places'),
    ALTER status SET DEFAULT 'PENDING',
    ALTER files SET DEFAULT '[]', ALTER ignored SET DEFAULT '[]';
CREATE INDEX ON peer_tasks (account, place DESC);
CREATE INDEX ON peer_tasks (vip DESC, place) WHERE status = 'PENDING';
CREATE TABLE peer_gallery AS
    SELECT account, source_key, thumbnail_key, last_modified, position, file_index
      FROM atelier_gallery;
CREATE INDEX ON peer_gallery (account, last_modified DESC, position DESC, file_index DESC);
ANALYZE peer_accounts, peer_tasks, peer_gallery;
"""

GALLERY = """
SELECT source_key, thumbnail_key, last_modified FROM peer_gallery
 WHERE account = $1 AND last_modified < coalesce($2, 9223372036854775807)
 ORDER BY last_modified DESC, position DESC, file_index DESC LIMIT $3"""

TASK = """
SELECT t.status, t.vip, t.engine, t.error_code, t.error_message, t.files, t.ignored,
       CASE WHEN t.status <> 'PENDING' THEN 0 ELSE 1 + (
           SELECT count(*) FROM peer_tasks o WHERE o.status = 'PENDING'
              AND (o.vip > t.vip OR (o.vip = t.vip AND o.place < t.place))) END AS position
  FROM peer_tasks t WHERE t.task = $1 AND t.account = $2"""

# One statement, one commit, and the limit holds under concurrency by the row's lock.
GENERATE = """
WITH allowed AS (
    UPDATE peer_accounts SET unfinished = unfinished + 1
     WHERE id = $2 AND unfinished < $3 RETURNING id)
INSERT INTO peer_tasks (task, account, vip, request)
SELECT $1, id, $4, $5::jsonb FROM allowed RETURNING task"""


def same_limits(struct: type[msgspec.Struct]) -> type[BaseModel]:
    """The pydantic model with a struct's members, types, limits and defaults."""
    members: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        alias = field.encode_name
        default = None if field.default is msgspec.NODEFAULT else field.default
        kind = field.type
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = same_limits(kind)
            info = Field(alias=alias, default_factory=kind)
        else:
            info = Field(alias=alias, default=default)
        members[field.name] = (_translated(kind), info)
    config = ConfigDict(extra="forbid", populate_by_name=True)
    return create_model(struct.__name__, __config__=config, **members)


def _translated(kind: Any) -> Any:
    """The annotation with `msgspec.Meta` in pydantic's words."""
    options = getattr(kind, "__args__", ())
    metas = getattr(kind, "__metadata__", ())
    if metas:
        meta = metas[0]
        pattern = meta.pattern and meta.pattern.removesuffix(r"(?!\n)")  # $ means the end there
        limits = {"ge": meta.ge, "le": meta.le, "max_length": meta.max_length, "pattern": pattern}
        given = {name: value for name, value in limits.items() if value is not None}
        return Annotated[kind.__origin__, Field(**given)]
    if type(None) in options:
        return _translated(options[0]) | None
    return kind


Picture = same_limits(PictureRequest)


class Item(BaseModel):
    source_url: str
    thumbnail_url: str
    last_modified: int


class Pagination(BaseModel):
    limit: int
    next_cursor: int | None
    has_next: bool


class Gallery(BaseModel):
    gallery_urls: list[Item]
    pagination: Pagination


class TaskError(BaseModel):
    code: str
    message: str


class TaskFile(BaseModel):
    url: str
    thumbnail_url: str | None
    name: str
    content_type: str
    size: int
    sha256: str


class TaskStatus(BaseModel):
    status: str
    type: str
    position: int
    progress: float
    eta_seconds: float | None
    error: TaskError | None
    files: list[TaskFile]
    ignored: list[str]
    engine: str | None


class TaskCreated(BaseModel):
    task_id: UUID


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def prepare(connection: asyncpg.Connection) -> None:
        decode = msgspec.json.decode
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=decode)

    async with asyncpg.create_pool(
        SETTINGS.postgres_url, min_size=CONNECTIONS, max_size=CONNECTIONS, init=prepare
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def signed_in(request: Request) -> UUID:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(
            token,
            SETTINGS.jwt_key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": list(CLAIMS)},
        )
        return UUID(claims["sub"])
    except (jwt.PyJWTError, ValueError) as error:
        raise HTTPException(401) from error


Account = Annotated[UUID, Depends(signed_in)]


@app.get("/get_gallery")
async def get_gallery(
    request: Request,
    account: Account,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    cursor: Annotated[int | None, Query(ge=0)] = None,
) -> Gallery:
    rows = await request.app.state.pool.fetch(GALLERY, account, cursor, limit + 1)
    more = len(rows) > limit
    items = [
        Item(
            source_url=MEDIA.url(row["source_key"]),
            thumbnail_url=MEDIA.url(row["thumbnail_key"]),
            last_modified=row["last_modified"],
        )
        for row in rows[:limit]
    ]
    following = items[-1].last_modified if more else None
    return Gallery(
        gallery_urls=items,
        pagination=Pagination(limit=limit, next_cursor=following, has_next=more),
    )


@app.get("/generate/{task_id}")
async def get_task(request: Request, account: Account, task_id: UUID) -> TaskStatus:
    row = await request.app.state.pool.fetchrow(TASK, task_id, account)
    if row is None:
        raise HTTPException(404)
    failed = row["error_code"] is not None
    return TaskStatus(
        status=row["status"],
        type="vip" if row["vip"] else "normal",
        position=row["position"],
        progress=1.0 if row["status"] == "SUCCESS" else 0.0,
        eta_seconds=None if row["position"] else 0.0,
        error=TaskError(code=row["error_code"], message=row["error_message"]) if failed else None,
        files=_files(row["files"]),
        ignored=row["ignored"],
        engine=row["engine"],
    )


@app.post("/generate")
async def generate(
    request: Request,
    account: Account,
    data: Picture,  # type: ignore[valid-type]
) -> TaskCreated:
    picture: Any = data
    most = SETTINGS.task_limit
    task = await request.app.state.pool.fetchval(
        GENERATE,
        uuid4(),
        account,
        min(picture.task_options.limit or most, most),
        picture.task_options.vip,
        picture.model_dump_json(),
    )
    if task is None:
        raise HTTPException(429)
    return TaskCreated(task_id=task)


def _files(files: list[dict[str, Any]]) -> list[TaskFile]:
    thumbnails = [MEDIA.url(file["key"]) for file in files if file["role"] == "thumbnail"]
    return [
        TaskFile(
            url=MEDIA.url(file["key"]),
            thumbnail_url=thumbnails[0] if thumbnails else None,
            name=file["name"],
            content_type=file["content_type"],
            size=file["size"],
            sha256=file["sha256"],
        )
        for file in files
        if file["role"] == "source"
    ]
