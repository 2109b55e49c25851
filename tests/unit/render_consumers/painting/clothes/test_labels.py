import pytest
from hypothesis import given
from hypothesis import strategies as st

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.labels import LETTERS, Label, alternatives, read


def steps(label: str) -> float | None:
    found = read(label, Kind.TSHIRT, women=True)
    return found.steps if found else None


def test_letters_are_steps_from_m() -> None:
    assert [steps(letter) for letter in LETTERS] == [-3, -2, -1, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("xl", "XL"), (" X-Large ", "XL"), ("Extra Large", "XL"), ("2XL", "XXL"), ("XXXL", "3XL"),
        ("3X", "3XL"), ("XXXXL", "4XL"), ("2XS", "XXS"), ("Medium", "M"), ("Small", "S"),
        ("Size L", "L"), ("Größe S", "S"), ("Talla M", "M"), ("Ｌ", "L"), ("groß", "L"),
        ("One Size", "M"), ("OS", "M"), ("Einheitsgröße", "M"), ("taille unique", "M"),
        ("フリーサイズ", "M"), ("均码", "M"),
    ],
)  # fmt: skip
def test_letters_are_read_however_they_are_written(label: str, same: str) -> None:
    assert steps(label) == steps(same)


def test_two_sizes_are_half_way_between_them() -> None:
    assert steps("S/M") == -0.5
    assert steps("L-XL") == 1.5
    assert read("36/38", Kind.DRESS, women=True) == Label("number", chest=86)


@pytest.mark.parametrize(
    "label", ["38", "EU 38", "DE38", "38 EU", "FR 40", "IT 44", "UK 10", "US 6"]
)
def test_numbers_of_countries_are_one_bust(label: str) -> None:
    assert read(label, Kind.DRESS, women=True) == Label("number", chest=88)


@pytest.mark.parametrize("label", ["48", "EU 48", "US 38", "UK 38", "38R"])
def test_mens_numbers_are_half_the_chest_or_its_inches(label: str) -> None:
    assert read(label, Kind.JACKET, women=False) == Label("number", chest=96)


@pytest.mark.parametrize("label", ["34/32", "W34 L32", "W34/L32", "34x32", "34-32"])
def test_waist_and_inseam_are_inches(label: str) -> None:
    found = read(label, Kind.JEANS, women=False)

    assert found is not None
    assert (found.waist, found.inseam) == pytest.approx((86.36, 81.28))


def test_the_waist_alone_leaves_the_leg_to_the_chart() -> None:
    assert read("W34", Kind.JEANS, women=False) == Label("waist", waist=34 * 2.54)
    assert read("27", Kind.JEANS, women=True) == Label("waist", waist=27 * 2.54)
    assert read("36", Kind.TROUSERS, women=True) == Label("number", chest=84)
    assert read("52", Kind.TROUSERS, women=False) == Label("number", chest=104)


@pytest.mark.parametrize("label", ["6XL", "6XS", "EU 70", "10"])
def test_what_no_chart_has_or_two_read_differently_is_the_nearest(label: str) -> None:
    found = read(label, Kind.DRESS, women=True)

    assert found is not None
    assert not found.exact


@pytest.mark.parametrize("label", ["", "banana", "tall", "-", "/", "12/", "999", "L/34"])
def test_the_rest_says_nothing(label: str) -> None:
    assert read(label, Kind.TSHIRT, women=True) is None


@given(
    st.text("0123456789²፩٣sSmMxXlLwW/- .ußeuk\u0301", max_size=8),
    st.sampled_from(Kind),
    st.booleans(),
)
def test_whatever_is_written_is_read_or_not(label: str, kind: Kind, women: bool) -> None:
    found = read(label, kind, women=women)

    assert found is None or found.steps or found.steps == 0 or found.chest or found.waist
    assert alternatives(label, kind, women=women)


def test_sizes_beside_a_size_are_written_as_it_is() -> None:
    assert alternatives("l", Kind.TSHIRT, women=True) == LETTERS
    assert alternatives("EU 38", Kind.DRESS, women=True)[:3] == ("EU 30", "EU 32", "EU 34")
    assert alternatives("34/32", Kind.JEANS, women=False)[:2] == ("22/32", "23/32")
    assert alternatives("one size", Kind.SKIRT, women=True) == ("one size",)
