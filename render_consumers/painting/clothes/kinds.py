"""The kinds of garments that can be drawn, and which of them a name in a catalogue means.

The words lie in ``kinds.toml``, in the languages in which people send catalogues.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

WORDS = Path(__file__).with_name("kinds.toml")


class Kind(StrEnum):
    """What a garment is at a glance."""

    TSHIRT = "tshirt"
    LONG_SLEEVE = "long_sleeve"
    SHIRT = "shirt"
    POLO = "polo"
    HOODIE = "hoodie"
    JACKET = "jacket"
    SWEATER = "sweater"
    TANK_TOP = "tank_top"
    SPORTS_BRA = "sports_bra"
    DRESS = "dress"
    SKIRT = "skirt"
    SHORTS = "shorts"
    LEGGINGS = "leggings"
    TROUSERS = "trousers"
    JEANS = "jeans"


Sleeves = Literal["none", "short", "long"]
Length = Literal["mini", "midi", "maxi"]


class Shape(msgspec.Struct, frozen=True):
    """What a name says beside the kind: its sleeves, and how long a dress or skirt is."""

    sleeves: Sleeves | None = None
    length: Length | None = None


class _Group(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    kind: Kind | None = None
    sleeves: Sleeves | None = None
    length: Length | None = None


class _Word(NamedTuple):
    size: int
    rank: int  # the place of its group in the file: the first wins
    group: _Group
    pattern: re.Pattern[str]


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind | None:
    """The kind that a garment's name tells, or None when nothing in it does."""
    found = sorted(
        (word.rank, word.group.kind) for word in _found(name, "words") if word.group.kind
    )
    return found[0][1] if found else None


@lru_cache(maxsize=4096)
def shape_of(name: str) -> Shape:
    """What a garment's name tells of its sleeves and length, if anything."""
    groups = [word.group for word in sorted(_found(name, "shapes"), key=lambda word: word.rank)]
    return Shape(
        sleeves=next((group.sleeves for group in groups if group.sleeves), None),
        length=next((group.length for group in groups if group.length), None),
    )


def _found(name: str, table: str) -> Iterator[_Word]:
    """The words of a name, the longest first; what one of them covers is not read again."""
    text = folded(name)
    for word in _words(table):
        text, count = word.pattern.subn(" | ", text)
        if count:
            yield word


def folded(text: str) -> str:
    """Without case, accents and vowel marks, and with CamelCase taken apart."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", unicodedata.normalize("NFKC", text))
    spelled = unicodedata.normalize("NFKD", apart.casefold())
    bare = re.sub(r"[\u0300-\u036f\u064b-\u065f\u0670\u0640]", "", spelled)
    return unicodedata.normalize("NFC", bare.translate(_PLAIN))


_PLAIN = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "’": "'"})
# Letters of the scripts that write blanks between words; Arabic hangs articles on them.
_LETTER = "a-z\u0370-\u03ff\u0400-\u04ff"


@cache
def _words(table: str) -> tuple[_Word, ...]:
    """All words of one table of the file, the longest first."""
    groups = msgspec.convert(tomllib.loads(WORDS.read_text("utf-8")), dict[str, list[_Group]])
    words = [
        _Word(len(word.strip("*")), rank, group, _pattern(folded(word)))
        for rank, group in enumerate(groups[table])
        for word in group.words
    ]
    return tuple(sorted(words, key=lambda word: (-word.size, word.rank)))


def _pattern(word: str) -> re.Pattern[str]:
    parts = re.split(r"[\s-]+", word.strip("*"))
    inner = r"[\W_]*".join(re.escape(part).replace(r"\*", f"[{_LETTER}]*") for part in parts)
    if re.search(f"[^\\W\\d_{_LETTER}]", word):  # of a script without blanks: found anywhere
        return re.compile(inner)
    before = "" if word.startswith("*") else f"(?<![{_LETTER}])"
    after = "" if word.endswith("*") else f"(?:e?s)?(?![{_LETTER}])"
    return re.compile(before + inner + after)
