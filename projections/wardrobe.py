"""Which garment is this, and which are there?"""

import re
from typing import Final, LiteralString
from uuid import UUID

import msgspec

from domain.events import Recorded
from domain.garment import GarmentDetails, GarmentListed, GarmentRevised, spelling
from projections.model import Projection
from projections.reading import Answer, Question, Reader
from projections.rows import Rows, Table

WORD: Final = re.compile(r"\w{1,64}")  # what is longer is found by parts

# Hash indexes, as a URL may be longer than a B-tree takes. A garment keeps its place, the position
# at which it was listed, whatever it becomes: so a page neither misses nor repeats it.
TABLE: LiteralString = """
CREATE TABLE {table} (
    garment     uuid PRIMARY KEY,
    url         text NOT NULL,
    brand       text NOT NULL,
    gender      text NOT NULL,
    name        text NOT NULL,
    render_mode text NOT NULL,
    colors      text[] NOT NULL,
    colors_hex  text[] NOT NULL,
    sizes       text[] NOT NULL,
    url_key     text NOT NULL,
    brand_key   text NOT NULL,
    name_key    text NOT NULL,
    position    bigint NOT NULL,
    place       bigint NOT NULL,
    words       text[] NOT NULL
);
CREATE INDEX ON {table} USING hash (url_key);
CREATE INDEX ON {table} USING hash (brand_key);
CREATE INDEX ON {table} USING hash (name_key);
CREATE INDEX ON {table} (place DESC);
CREATE INDEX ON {table} (left(brand_key, 200), place DESC);
CREATE INDEX ON {table} USING gin (array_to_tsvector(words))"""


class Garment(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    garment: UUID
    url: str
    brand: str
    gender: str
    name: str
    render_mode: str
    colors: list[str]
    colors_hex: list[str]
    sizes: list[str]
    url_key: str
    brand_key: str
    name_key: str
    position: int
    place: int
    words: list[str]


class GarmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A garment as `/get_clothes` shows it."""

    gender: str
    colors: list[str]
    sizes: list[str]
    name: str
    render_mode: str
    brand: str
    colors_hex: list[str]


class PlacedGarment(GarmentRow, frozen=True, kw_only=True):
    """A garment of a page, and its place in the catalogue."""

    place: int


def fold(rows: Rows[Garment], recorded: Recorded) -> None:
    """How an event changes the wardrobe."""
    event = recorded.event
    match event:
        case GarmentListed():
            rows.put(_garment(recorded, event.details, recorded.position))
        case GarmentRevised() if row := rows.get(recorded.aggregate_id):
            rows.put(_garment(recorded, event.details, row.place))


def _garment(recorded: Recorded, details: GarmentDetails, place: int) -> Garment:
    lists = {name: list(getattr(details, name)) for name in ("colors", "colors_hex", "sizes")}
    keys = {f"{name}_key": spelling(getattr(details, name)) for name in ("url", "brand", "name")}
    return Garment(
        garment=recorded.aggregate_id,
        position=recorded.position,
        place=place,
        words=sorted(set(_words(f"{details.brand} {details.name}"))),
        **msgspec.structs.asdict(details) | lists | keys,
    )


def _words(text: str) -> list[str]:
    return WORD.findall(spelling(text))


PROJECTION = Projection(
    name="wardrobe",
    table=Table(row=Garment, key=("garment",), sql=TABLE),
    uses=(GarmentListed, GarmentRevised),
    fold=fold,
)

GARMENT = Question(
    models=("wardrobe",),
    row=GarmentRow,
    sql="""-- Which garment has this URL, brand and name, as far as they are given?
SELECT gender, colors, sizes, name, render_mode, brand, colors_hex
  FROM atelier_wardrobe
 WHERE (%(url)s::text IS NULL OR url_key = %(url)s)
   AND (%(brand)s::text IS NULL OR brand_key = %(brand)s)
   AND (%(name)s::text IS NULL OR name_key = %(name)s)
 ORDER BY position DESC LIMIT 1""",
)


async def garment(
    reader: Reader, *, url: str = "", brand: str = "", name: str = "", seen: int = 0
) -> Answer[GarmentRow]:
    """The garment that was changed last among those that match everything given, or no row."""
    wanted = {"url": url, "brand": brand, "name": name}
    keys = {field: spelling(text) or None for field, text in wanted.items()}
    return await reader.ask(GARMENT, None, seen=seen, **keys)


PAGE: LiteralString = """-- Which garments come after the cursor, the newest in the catalogue first?
SELECT gender, colors, sizes, name, render_mode, brand, colors_hex, place
  FROM atelier_wardrobe
 WHERE place < coalesce(%(cursor)s, 9223372036854775807){wanted}
 ORDER BY place DESC LIMIT %(limit)s"""

# What may be wanted besides, each with an index that an `OR` would keep Postgres from using. Only
# so much of a brand fits into one that gives a page in its order.
WANTED: Final[dict[str, LiteralString]] = {
    "brand": "\n   AND left(brand_key, 200) = left(%(brand)s, 200)",
    "words": "\n   AND array_to_tsvector(words) @@ %(words)s",
}
TYPES: Final[dict[str, LiteralString]] = {"brand": "text", "words": "tsquery"}


def _page_of(*names: str) -> Question[PlacedGarment]:
    wanted = [condition for name, condition in WANTED.items() if name in names]
    return Question(
        models=("wardrobe",),
        row=PlacedGarment,
        sql=PAGE.replace("{wanted}", "".join(wanted)),
        types={"cursor": "bigint", "limit": "integer"} | {name: TYPES[name] for name in names},
    )


PAGES: Final = {
    frozenset(names): _page_of(*names) for names in ((), ("brand",), ("words",), ("brand", "words"))
}


async def page(
    reader: Reader,
    *,
    brand: str = "",
    text: str = "",
    limit: int,
    cursor: int | None = None,
    seen: int = 0,
) -> Answer[PlacedGarment]:
    """Up to `limit` garments after the cursor, and one more when there are more.

    Of the brand, if one is given; each word of the text begins a word of the brand or the name.
    """
    words = " & ".join(f"'{word}':*" for word in _words(text))
    given = {"brand": spelling(brand), "words": words}
    wanted = {name: value for name, value in given.items() if value}
    question = PAGES[frozenset(wanted)]
    return await reader.ask(question, None, seen=seen, cursor=cursor, limit=limit + 1, **wanted)


def next_cursor(rows: list[PlacedGarment], limit: int) -> int | None:
    """Where the next page starts, if there is one."""
    return rows[limit - 1].place if len(rows) > limit else None
