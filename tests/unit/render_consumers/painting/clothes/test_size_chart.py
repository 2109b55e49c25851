import itertools

import msgspec
import pytest

from render_consumers.painting.clothes.kinds import Kind, Shape
from render_consumers.painting.clothes.labels import BOTTOMS, LONG_LEGS
from render_consumers.painting.clothes.size_chart import Cut, cut, known, shaped, sizes

MEN, WOMEN = 0.0, 1.0
GENDERS = (MEN, 0.5, WOMEN)
# What the girths and lengths of an M may be, men's and women's, in centimetres.
PLAUSIBLE = {
    "chest": (84, 120), "waist": (68, 115), "hip": (86, 114), "hem": (70, 145), "length": (33, 110),
    "shoulder": (28, 54), "sleeve": (13, 66), "upper_arm": (30, 46), "cuff": (16, 38),
    "neck": (36, 70), "rise": (24, 29), "inseam": (11, 83), "thigh": (49, 70), "leg_hem": (19, 62),
}  # fmt: skip


def measures(found: Cut) -> dict[str, float]:
    told = msgspec.structs.asdict(found)
    return {name: told[name] for name in PLAUSIBLE if told[name] is not None}


@pytest.mark.parametrize("gender", GENDERS)
@pytest.mark.parametrize("kind", Kind)
def test_an_m_measures_what_such_garments_measure(kind: Kind, gender: float) -> None:
    found = measures(cut(kind, "M", gender))

    assert {name: v for name, v in found.items() if not within(v, PLAUSIBLE[name])} == {}


def within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


@pytest.mark.parametrize("gender", GENDERS)
@pytest.mark.parametrize("kind", Kind)
def test_larger_sizes_are_larger_everywhere(kind: Kind, gender: float) -> None:
    every = [measures(cut(kind, size, gender)) for size in sizes(kind, gender)]

    for smaller, larger in itertools.pairwise(every):
        assert all(larger[name] > smaller[name] for name in smaller), (kind, smaller, larger)


@pytest.mark.parametrize("gender", GENDERS)
@pytest.mark.parametrize("kind", Kind)
def test_openings_are_no_wider_than_what_they_end(kind: Kind, gender: float) -> None:
    for size in sizes(kind, gender):
        found = cut(kind, size, gender)
        if found.cuff and found.upper_arm:
            assert found.cuff <= found.upper_arm
        if found.leg_hem and found.thigh:
            assert found.leg_hem <= found.thigh


def test_each_kind_has_the_measures_that_it_needs() -> None:
    for kind in Kind:
        told = set(measures(cut(kind, "M", WOMEN)))
        if kind in LONG_LEGS or kind is Kind.SHORTS:
            assert {"waist", "hip", "rise", "inseam", "thigh", "leg_hem", "length"} == told
        elif kind is Kind.SKIRT:
            assert {"waist", "hip", "hem", "length"} == told
        else:
            assert {"chest", "hem", "length", "shoulder", "neck"} <= told
            assert ("sleeve" in told) == (kind not in (Kind.TANK_TOP, Kind.SPORTS_BRA))


def test_a_body_girth_of_the_standard_lies_under_each_garment() -> None:
    """EN 13402-3: a men's L is for a chest of 102 to 110 cm, a women's for 98 to 107."""
    assert cut(Kind.POLO, "L", MEN).chest == 106 + 11
    assert cut(Kind.POLO, "L", WOMEN).chest == 102.5 + 6
    assert cut(Kind.SKIRT, "40", WOMEN).waist == pytest.approx(76 + 1)
    assert cut(Kind.SKIRT, "40", WOMEN).hip == pytest.approx(100 + 5)
    assert cut(Kind.TROUSERS, "52", MEN).waist == pytest.approx(92 + 2)


@pytest.mark.parametrize("kind", LONG_LEGS)
@pytest.mark.parametrize("gender", GENDERS)
def test_34_32_has_a_waist_of_34_inches_and_an_inseam_of_32(kind: Kind, gender: float) -> None:
    found, letters = cut(kind, "34/32", gender), cut(kind, "M", gender)

    assert found.inseam == pytest.approx(81, abs=1)
    assert found.rise is not None
    assert found.length == pytest.approx(found.rise + 81.28)
    assert found.waist == pytest.approx(86.36 + (-8 if kind is Kind.LEGGINGS else 2), abs=1.01)
    assert letters.inseam != found.inseam


def test_the_leg_of_a_label_does_not_lengthen_shorts() -> None:
    assert cut(Kind.SHORTS, "34/32", MEN).inseam == pytest.approx(20, abs=1)


def test_every_kind_is_cut_in_every_kind_of_size() -> None:
    for kind, label in itertools.product(Kind, ("38", "34/32", "S/M", "W30", "one size", "UK 12")):
        assert cut(kind, label, WOMEN).length > 0


def test_between_men_and_women_it_is_the_middle() -> None:
    low, high, middle = (measures(cut(Kind.DRESS, "M", gender)) for gender in (MEN, WOMEN, 0.5))

    assert middle == pytest.approx({name: (low[name] + high[name]) / 2 for name in low})


def test_what_the_chart_does_not_know_is_cut_as_the_nearest() -> None:
    assert cut(Kind.TSHIRT, "7XL", MEN) == cut(Kind.TSHIRT, "4XL", MEN)
    assert cut(Kind.TSHIRT, "banana", MEN) == cut(Kind.TSHIRT, "M", MEN)
    assert [known(Kind.TSHIRT, size, MEN) for size in ("7XL", "banana", "M")] == [
        False,
        False,
        True,
    ]


def test_cloths_differ_as_cloths_do() -> None:
    material = {kind: cut(kind, "M", MEN).material for kind in Kind}

    assert (
        material[Kind.JEANS].around < material[Kind.TSHIRT].around < material[Kind.LEGGINGS].around
    )
    assert (
        material[Kind.TSHIRT].bending < material[Kind.HOODIE].bending < material[Kind.JEANS].bending
    )
    assert material[Kind.SHIRT].thickness < material[Kind.TSHIRT].thickness
    assert all(0.0002 < each.thickness < 0.003 for each in material.values())
    assert all(0.08 < each.weight < 0.5 for each in material.values())
    assert all(each.along <= each.around for each in material.values())


def test_only_bottoms_hang_from_a_waistband() -> None:
    assert {kind for kind in Kind if cut(kind, "M", WOMEN).neck is None} == set(BOTTOMS)


def as_told(kind: Kind, **shape) -> tuple[Cut, Cut]:
    """A piece as its kind is cut, and as a name has it."""
    plain = cut(kind, "M", WOMEN)
    return plain, shaped(plain, Shape(**shape), "M", WOMEN)


def test_sleeves_are_as_long_as_the_name_says() -> None:
    _, short = as_told(Kind.SHIRT, sleeves="short")
    _, long = as_told(Kind.DRESS, sleeves="long")
    _, none = as_told(Kind.DRESS, sleeves="none")

    assert (short.sleeve, long.sleeve) == (17, 60)
    assert short.cuff == cut(Kind.TSHIRT, "M", WOMEN).cuff
    assert (none.sleeve, none.cuff, none.upper_arm) == (None, None, None)


@pytest.mark.parametrize("sleeves", ["none", "short", "long"])
def test_what_has_such_sleeves_already_or_none_stays_as_it_is(sleeves: str) -> None:
    same = {"none": Kind.TANK_TOP, "short": Kind.POLO, "long": Kind.HOODIE}[sleeves]

    for kind in (same, Kind.TANK_TOP, Kind.JEANS):
        plain, told = as_told(kind, sleeves=sleeves)
        assert told == plain


def test_dresses_and_skirts_are_as_long_as_the_name_says() -> None:
    for kind in (Kind.DRESS, Kind.SKIRT):
        lengths = [as_told(kind, length=length)[1] for length in ("mini", "midi", "maxi")]
        mini, midi, maxi = (piece.length for piece in lengths)
        assert mini < cut(kind, "M", WOMEN).length < midi < maxi
        hems = [measures(piece)["hem"] for piece in lengths]
        assert hems == sorted(hems)

    plain, told = as_told(Kind.TSHIRT, length="maxi")
    assert told == plain
