"""What is written on a size label: `M`, `2XL`, `S/M`, `38`, `UK 12`, `34/32`, `one size`.

A label becomes a place on the chart: steps away from M, one for each letter (EN 13402-3). Numbers
in between lie between the letters. EU numbers are Germany's (women's 38 is a bust of 88 cm, men's
48 a chest of 96 cm), from which the numbers of other countries are a fixed distance away.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal

import msgspec

from domain import vocabulary
from render_consumers.painting.clothes.kinds import Kind

System = Literal["letter", "number", "waist", "one"]
LETTERS: Final = vocabulary.SIZES
SMALLEST, LARGEST = -3.0, 5.0  # steps of the chart's ends
INCH: Final = 2.54  # centimetres
LONG_LEGS: Final = (Kind.LEGGINGS, Kind.TROUSERS, Kind.JEANS)
BOTTOMS: Final = (Kind.SKIRT, Kind.SHORTS, *LONG_LEGS)

_ONE: Final = (
    "os", "onesize", "onesizefitsall", "free", "freesize", "uni", "unisize", "universal",
    "einheitsgrosse", "tailleunique", "tu", "tallaunica", "tagliaunica", "tamanhounico",
    "unica", "onemaat", "uniwersalny", "tekbeden", "standart", "フリー", "フリーサイズ",
    "均码", "均碼", "프리", "프리사이즈", "مقاسواحد", "единый",
)  # fmt: skip
_WORDS: Final = {
    "small": "s", "medium": "m", "large": "l", "extrasmall": "xs", "xsmall": "xs",
    "extralarge": "xl", "xlarge": "xl", "xxlarge": "xxl", "xxsmall": "xxs", "mittel": "m",
    "2x": "2xl", "3x": "3xl", "4x": "4xl", "klein": "s", "gross": "l", "med": "m", "sm": "s",
    "lg": "l",
}  # fmt: skip
_LETTER: Final = re.compile(r"(?P<count>[2-9]?)(?P<x>x*)(?P<end>[sl])|(?P<m>m)")
# The bust that each of Germany's numbers for women is cut for, in centimetres.
_BUST: Final = {
    30: 72, 32: 76, 34: 80, 36: 84, 38: 88, 40: 92, 42: 96, 44: 100, 46: 104, 48: 110, 50: 116,
    52: 122, 54: 128, 56: 134, 58: 140,
}  # fmt: skip
# What is added to a women's number to come to Germany's.
_WOMEN: Final = {"eu": 0, "de": 0, "fr": -2, "es": -2, "it": -6, "uk": 28, "us": 32}
_NUMBER: Final = re.compile(r"(eu|de|fr|es|it|uk|us)?(\d{1,2})(eu|de|fr|es|it|uk|us|r)?")
_WAIST: Final = re.compile(r"w?(\d{2})(?:[/x-]?l|[/x-])(\d{2})|w(\d{2})")


class Label(msgspec.Struct, frozen=True):
    """Where a label lies on the chart: ``steps`` from M, or a body's girth in centimetres.

    ``inseam`` is in centimetres, where the label tells it. ``exact`` is False for a label that can
    be read in more than one way, or that no brand prints: it is drawn as the nearest.
    """

    system: System
    steps: float | None = None
    chest: float | None = None
    waist: float | None = None
    inseam: float | None = None
    exact: bool = True


@lru_cache(maxsize=1024)
def read(label: str, kind: Kind, *, women: bool) -> Label | None:
    """What a label says of a garment of this kind, or None when it says nothing that we know."""
    text = _spelled(label)
    if text in _ONE:
        return Label("one", steps=0.0)
    found = _letters(text) or _inches(text, kind, women=women) or _number(text, kind, women=women)
    return found or _between(text, kind, women=women)


def alternatives(label: str, kind: Kind, *, women: bool) -> tuple[str, ...]:
    """The sizes that stand beside this one on a rack, written as it is, the smallest first."""
    found = read(label, kind, women=women)
    if found is None or found.system == "letter":
        return LETTERS
    if found.system == "one":
        return (label,)
    label, step = unicodedata.normalize("NFKC", label), 1 if found.system == "waist" else 2
    first = int(re.findall(r"\d+", label)[0])
    others = (re.sub(r"\d+", str(n), label, count=1) for n in range(first % step, 75, step))
    return tuple(other for other in others if _beside(found, read(other, kind, women=women)))


def _beside(label: Label, other: Label | None) -> bool:
    return other is not None and other.system == label.system and other.exact >= label.exact


def _spelled(label: str) -> str:
    text = unicodedata.normalize("NFKC", label).casefold().replace("ß", "ss")
    bare = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))
    spaceless = re.sub(r"[\s._'\"]+", "", unicodedata.normalize("NFC", bare))
    if spaceless in _ONE or spaceless in _WORDS:
        return spaceless
    return re.sub(
        r"^(size|grosse|gr|taille|talla|taglia|tamanho|maat|rozmiar|beden)", "", spaceless
    )


def _letters(text: str) -> Label | None:
    text = text.replace("-", "")
    found = _LETTER.fullmatch(_WORDS.get(text, text))
    if not found:
        return None
    if found["m"]:
        return Label("letter", steps=0.0)
    many = int(found["count"] or 0) + max(len(found["x"]) - bool(found["count"]), 0)
    steps = 1.0 + many if found["end"] == "l" else -1.0 - many
    return _on_the_chart(Label("letter", steps=steps))


def _on_the_chart(label: Label) -> Label:
    assert label.steps is not None
    near = min(max(label.steps, SMALLEST), LARGEST)
    return msgspec.structs.replace(label, steps=near, exact=near == label.steps)


def _inches(text: str, kind: Kind, *, women: bool) -> Label | None:
    """`34/32`: the waist and the inseam in inches; `W34`, and `34` of jeans: the waist alone."""
    if found := _WAIST.fullmatch(text):
        waist, leg = int(found[1] or found[3]), int(found[2] or 0)
        if 22 <= waist <= 60 and leg <= 40 and (kind in LONG_LEGS or leg <= waist):
            return Label("waist", waist=waist * INCH, inseam=leg * INCH if leg else None)
    if text.isdecimal() and kind in BOTTOMS and 22 <= int(text) <= _widest(kind, women=women):
        return Label("waist", waist=int(text) * INCH)
    return None


def _widest(kind: Kind, *, women: bool) -> int:
    """The largest bare number that means inches of the waist: above it, they are EU numbers."""
    if not women:
        return 43
    return 33 if kind is Kind.JEANS else 29


def _number(text: str, kind: Kind, *, women: bool) -> Label | None:
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    country, number = found[1] or found[3], int(found[2])
    return _of_women(country, number) if women else _of_men(country, number, kind)


def _of_women(country: str | None, number: int) -> Label:
    if country is None and number < 26:  # of the UK or the US: half way between the two
        return _bust(number + 30, exact=False)
    return _bust(number + _WOMEN.get(country or "eu", 0))


def _bust(number: int, *, exact: bool = True) -> Label:
    near = min(max(number, min(_BUST)), max(_BUST))
    even, odd = near - near % 2, near % 2
    bust = _BUST[even] + odd * (_BUST.get(even + 2, _BUST[even]) - _BUST[even]) / 2
    return Label("number", chest=bust, exact=exact and near == number)


def _of_men(country: str | None, number: int, kind: Kind) -> Label | None:
    if number < 22:
        return None
    if country in ("us", "uk") and kind in BOTTOMS:
        return Label("waist", waist=number * INCH)
    eu = number + (10 if country in ("us", "uk", "r") else 0)
    near = min(max(eu, 38), 72)
    return Label("number", chest=2.0 * near, exact=near == eu)


def _between(text: str, kind: Kind, *, women: bool) -> Label | None:
    """`S/M`, `36-38`: half way between the two."""
    ends = re.split(r"[/-]", text)
    if len(ends) != 2 or not all(ends):
        return None
    low, high = (read(end, kind, women=women) for end in ends)
    if low is None or high is None or low.system != high.system:
        return None

    def middle(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else (a + b) / 2

    return Label(
        low.system,
        steps=middle(low.steps, high.steps),
        chest=middle(low.chest, high.chest),
        waist=middle(low.waist, high.waist),
        exact=low.exact and high.exact,
    )
