import pytest

from domain.fit import GarmentFit
from render_consumers.painting.clothes import size_chart
from render_consumers.painting.clothes.fitting import best_size, fit
from render_consumers.painting.clothes.kinds import Kind, Shape
from render_consumers.painting.clothes.outfit import GarmentLook, outfit

WOMAN, MAN = 1.0, 0.0
# The bodies that a women's M and XL are for, by EN 13402-3.
BODY = {
    "Bust": 94.0, "Waist": 78.0, "Hips": 102.0, "Thigh Size": 60.0, "Upper Arm Size": 29.8,
    "Neck Thickness": 35.0,
}  # fmt: skip
LARGER = {
    "Bust": 113.0, "Waist": 97.75, "Hips": 119.5, "Thigh Size": 69.8, "Upper Arm Size": 35.3,
    "Neck Thickness": 38.3,
}  # fmt: skip


def told(body: dict[str, float], gender: float = WOMAN, **look) -> GarmentFit:
    return fit(outfit(GarmentLook(**look), gender), body)[0 if look["kind"] not in BOTTOM else -1]


BOTTOM = (Kind.JEANS, Kind.TROUSERS, Kind.LEGGINGS, Kind.SHORTS, Kind.SKIRT)


def verdicts(found: GarmentFit) -> dict[str, str]:
    return {each.girth: each.verdict for each in found.girths}


@pytest.mark.parametrize("kind", Kind)
def test_the_size_of_a_body_fits_it(kind: Kind) -> None:
    for size, body in (("M", BODY), ("XL", LARGER)):
        found = told(body, kind=kind, size=size)
        assert set(verdicts(found).values()) == {"good"}, found
        assert found.best_size == size


@pytest.mark.parametrize("kind", Kind)
def test_a_small_one_is_tight_and_a_large_one_loose_everywhere_that_counts(kind: Kind) -> None:
    small, large = told(LARGER, kind=kind, size="S"), told(BODY, kind=kind, size="XXL")

    assert set(verdicts(small).values()) == {"tight"}
    assert set(verdicts(large).values()) == {"loose"}
    assert (small.best_size, large.best_size) == ("XL", "M")


def test_ease_is_in_centimetres_and_strain_is_what_the_cloth_gives() -> None:
    [bust] = [g for g in told(LARGER, kind=Kind.TSHIRT, size="M").girths if g.girth == "bust"]

    assert (bust.body, bust.garment, bust.ease) == (113.0, 100.0, -13.0)
    assert bust.strain == pytest.approx(0.13)
    [bust] = [g for g in told(BODY, kind=Kind.TSHIRT, size="M").girths if g.girth == "bust"]
    assert (bust.ease, bust.strain) == (6.0, 0.0)


def test_each_kind_is_told_of_where_it_lies_on_the_body() -> None:
    girths = {kind: set(verdicts(told(BODY, kind=kind, size="M"))) for kind in Kind}

    assert girths[Kind.TSHIRT] == {"bust", "waist", "hips", "upper_arm"}
    assert girths[Kind.SHIRT] == {"bust", "waist", "hips", "upper_arm", "neck"}
    assert girths[Kind.SPORTS_BRA] == {"bust"}
    assert girths[Kind.DRESS] == {"bust", "waist", "hips", "upper_arm"}
    assert girths[Kind.SKIRT] == {"waist", "hips"}
    assert girths[Kind.JEANS] == {"waist", "hips", "thigh"}


def test_leggings_are_meant_to_be_stretched_and_jeans_are_not() -> None:
    hips = {
        kind: next(g for g in told(BODY, kind=kind, size=size).girths if g.girth == "hips")
        for kind, size in ((Kind.LEGGINGS, "M"), (Kind.JEANS, "S"))
    }

    assert hips[Kind.LEGGINGS].strain > hips[Kind.JEANS].strain > 0
    assert (hips[Kind.LEGGINGS].verdict, hips[Kind.JEANS].verdict) == ("good", "tight")


def test_a_body_between_sizes_gets_the_one_that_is_too_loose_rather_than_too_tight() -> None:
    between = {"Bust": 98.5, "Waist": 82.5, "Hips": 106.5}

    assert told(between, kind=Kind.TSHIRT, size="M").best_size == "L"


def test_a_slim_waist_does_not_make_a_hanging_top_too_large() -> None:
    slim = BODY | {"Waist": 62.0}

    assert told(slim, kind=Kind.TSHIRT, size="M").best_size == "M"
    assert verdicts(told(slim, kind=Kind.TSHIRT, size="M"))["waist"] == "loose"


def test_what_has_a_tenth_to_spare_is_not_tight_however_wide_it_was_meant() -> None:
    man = {"Bust": 98.0, "Waist": 92.0}

    assert verdicts(told(man, MAN, kind=Kind.SHIRT, size="M")) == {"bust": "good", "waist": "good"}
    assert told(man, MAN, kind=Kind.SHIRT, size="M").best_size == "M"


@pytest.mark.parametrize(
    ("size", "best"),
    [("S", "M"), ("36", "42"), ("EU 48", "EU 42"), ("UK 8", "UK 14"), ("one size", "one size")],
)
def test_the_best_size_is_told_as_the_garments_own_is(size: str, best: str) -> None:
    assert told(BODY, kind=Kind.DRESS, size=size).best_size == best


def test_the_best_of_trousers_by_waist_and_leg_keeps_the_leg() -> None:
    man = {"Waist": 91.0, "Hips": 104.5, "Thigh Size": 59.5}

    assert told(man, MAN, kind=Kind.JEANS, size="30/32").best_size == "36/32"


def test_the_best_size_is_one_that_the_garment_comes_in() -> None:
    offered = ("S", "M", "L")
    top = outfit(GarmentLook(kind=Kind.TSHIRT, size="M", sizes=offered), WOMAN).top

    assert best_size(top, BODY) == "M"
    assert best_size(top, LARGER) == "L"


def test_what_goes_with_the_garment_is_told_of_when_its_size_was_asked_for() -> None:
    def pieces(**look) -> list[tuple[str, str, str]]:
        found = fit(outfit(GarmentLook(**look), WOMAN), BODY)
        return [(each.piece, each.kind, each.size) for each in found]

    assert pieces(kind=Kind.POLO, size="M") == [("top", "polo", "M")]
    assert pieces(kind=Kind.JEANS, size="M") == [("bottom", "jeans", "M")]
    assert pieces(kind=Kind.POLO, size="M", size2="L") == [
        ("top", "polo", "M"),
        ("bottom", "trousers", "L"),
    ]
    assert pieces() == [("top", "tshirt", "M")]


def test_a_girth_that_is_not_measured_is_not_told() -> None:
    assert verdicts(told({"Bust": 94.0}, kind=Kind.TSHIRT)) == {"bust": "good"}


def test_the_cut_alone_decides_and_not_the_body() -> None:
    [first, second] = [told(body, kind=Kind.TSHIRT, size="M") for body in (BODY, LARGER)]

    assert [g.garment for g in first.girths] == [g.garment for g in second.girths]
    assert size_chart.cut(Kind.TSHIRT, "M", WOMAN).chest == first.girths[0].garment


def test_a_dress_without_sleeves_tells_nothing_of_arms() -> None:
    assert "upper_arm" not in verdicts(told(BODY, kind=Kind.DRESS, shape=Shape(sleeves="none")))
