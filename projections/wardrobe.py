"""Which garment is this?"""

from typing import Any, LiteralString

import msgspec

from domain.events import Recorded
from domain.garment import GarmentDetails, GarmentListed, GarmentRevised, spelling
from projections.model import Projection, Statement
from projections.reading import Answer, Question, Reader

# Hash indexes, as a URL may be longer than a B-tree takes.
TABLES: LiteralString = """
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
    position    bigint NOT NULL
);
CREATE INDEX ON {table} USING hash (url_key);
CREATE INDEX ON {table} USING hash (brand_key);
CREATE INDEX ON {table} USING hash (name_key)"""

INSERT: LiteralString = """-- A garment enters the wardrobe.
INSERT INTO {table} VALUES (%(garment)s, %(url)s, %(brand)s, %(gender)s, %(name)s,
                            %(render_mode)s, %(colors)s, %(colors_hex)s, %(sizes)s,
                            %(url_key)s, %(brand_key)s, %(name_key)s, %(position)s)"""

UPDATE: LiteralString = """-- A garment is something else now.
UPDATE {table} SET url = %(url)s, brand = %(brand)s, gender = %(gender)s, name = %(name)s,
                   render_mode = %(render_mode)s, colors = %(colors)s,
                   colors_hex = %(colors_hex)s, sizes = %(sizes)s, url_key = %(url_key)s,
                   brand_key = %(brand_key)s, name_key = %(name_key)s, position = %(position)s
 WHERE garment = %(garment)s"""


class GarmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A garment as `/get_clothes` shows it."""

    gender: str
    colors: list[str]
    sizes: list[str]
    name: str
    render_mode: str
    brand: str
    colors_hex: list[str]


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the wardrobe."""
    event = recorded.event
    match event:
        case GarmentListed():
            return [Statement(INSERT, _columns(recorded, event.details))]
        case GarmentRevised():
            return [Statement(UPDATE, _columns(recorded, event.details))]
        case _:
            return []


def _columns(recorded: Recorded, details: GarmentDetails) -> dict[str, Any]:
    lists = {name: list(getattr(details, name)) for name in ("colors", "colors_hex", "sizes")}
    keys = {f"{name}_key": spelling(getattr(details, name)) for name in ("url", "brand", "name")}
    place = {"garment": recorded.aggregate_id, "position": recorded.position}
    return msgspec.structs.asdict(details) | lists | keys | place


PROJECTION = Projection(
    name="wardrobe",
    tables=TABLES,
    uses=(GarmentListed, GarmentRevised),
    apply=apply,
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
