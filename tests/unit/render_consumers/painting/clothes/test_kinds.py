import csv
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from render_consumers.painting.clothes.kinds import WORDS, Kind, folded, kind_of, shape_of

NAMES = Path(__file__).with_name("names.tsv")


def named() -> dict[str, str]:
    """Names as catalogues have them, in 14 languages, and the kind that each must become."""
    return dict(csv.reader(NAMES.read_text("utf-8").splitlines(), delimiter="\t"))


def test_names_of_catalogues_tell_their_kind() -> None:
    told = {name: kind_of(name) or "-" for name in named()}

    assert told == named()
    assert len(told) >= 150
    assert set(told.values()) == {*Kind, "-"}


@pytest.mark.parametrize("written", [str.upper, str.lower, lambda name: f"  NEW: {name} (2026), "])
def test_case_and_what_stands_around_a_name_do_not_matter(written) -> None:
    names = {name: kind for name, kind in named().items() if name != "GraphicTee"}  # CamelCase

    assert {name: kind_of(written(name)) or "-" for name in names} == names


def test_accents_do_not_matter() -> None:
    assert {name: kind_of(folded(name)) or "-" for name in named()} == named()


def test_the_longest_word_is_read_first_and_once() -> None:
    assert kind_of("shirt dress") is Kind.DRESS
    assert kind_of("dress shirt") is Kind.SHIRT
    assert kind_of("dress shirt dress") is Kind.SHIRT


def test_no_word_stands_for_two_kinds() -> None:
    for groups in tomllib.loads(WORDS.read_text("utf-8")).values():
        words = [folded(word) for group in groups for word in group["words"]]
        assert [word for word in set(words) if words.count(word) > 1] == []


@pytest.mark.parametrize(
    ("name", "sleeves"),
    [
        ("Short Sleeve Shirt", "short"), ("Kurzarmhemd", "short"), ("Camisa manga corta", "short"),
        ("半袖シャツ", "short"), ("Long Sleeve Polo", "long"), ("Robe à manches longues", "long"),
        ("Платье с длинным рукавом", "long"), ("Sleeveless Dress", "none"), ("Daunenweste", "none"),
        ("Kolsuz elbise", "none"), ("Shirt", None), ("Hemd", None),
    ],
)  # fmt: skip
def test_names_tell_of_sleeves(name: str, sleeves: str | None) -> None:
    assert shape_of(name).sleeves == sleeves


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("Mini Dress", "mini"), ("Minirock", "mini"), ("Pleated Midi Skirt", "midi"),
        ("Maxikleid", "maxi"), ("Vestido largo", "maxi"), ("ロングスカート", "maxi"),
        ("Dress", None),
    ],
)  # fmt: skip
def test_names_tell_how_long_dresses_and_skirts_are(name: str, length: str | None) -> None:
    assert shape_of(name).length == length


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_no_name_is_too_odd(name: str) -> None:
    kind_of(name), shape_of(name)
