"""The kinds of garments that can be drawn, and which of them a name in a catalogue means.

The words lie in ``kinds.toml``, in the languages in which people send catalogues.
"""

import re
import tomllib
import unicodedata
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

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


class _Group(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    kind: Kind | None = None


class _Word(NamedTuple):
    length: int
    rank: int  # the place of its group in the file: the first wins
    kind: Kind | None
    pattern: re.Pattern[str]


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind | None:
    """The kind that a garment's name tells, or None when nothing in it does."""
    text, found = folded(name), []
    for word in _words():
        text, count = word.pattern.subn(" | ", text)
        if count and word.kind:
            found.append((word.rank, word.kind))
    return min(found)[1] if found else None


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
def _words() -> tuple[_Word, ...]:
    """All words, the longest first."""
    groups = msgspec.convert(tomllib.loads(WORDS.read_text("utf-8")), dict[str, list[_Group]])
    words = [
        _Word(len(word.strip("*")), rank, group.kind, _pattern(folded(word)))
        for rank, group in enumerate(groups["words"])
        for word in group.words
    ]
    return tuple(sorted(words, key=lambda word: (-word.length, word.rank)))


def _pattern(word: str) -> re.Pattern[str]:
    parts = re.split(r"[\s-]+", word.strip("*"))
    inner = r"[\W_]*".join(re.escape(part).replace(r"\*", f"[{_LETTER}]*") for part in parts)
    if re.search(f"[^\\W\\d_{_LETTER}]", word):  # of a script without blanks: found anywhere
        return re.compile(inner)
    before = "" if word.startswith("*") else f"(?<![{_LETTER}])"
    after = "" if word.endswith("*") else f"(?:e?s)?(?![{_LETTER}])"
    return re.compile(before + inner + after)
