import pytest

from render_consumers.painting.clothes import size_chart
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.labels import BOTTOMS
from render_consumers.painting.clothes.outfit import GarmentLook, Piece, outfit

WOMAN = 1.0


def worn(**look) -> list[tuple[Kind, str]]:
    return [(piece.kind, piece.size) for piece in outfit(GarmentLook(**look), WOMAN).pieces]


@pytest.mark.parametrize("kind", Kind)
def test_everybody_is_dressed_from_head_to_foot(kind: Kind) -> None:
    kinds = [each for each, _ in worn(kind=kind)]

    if kind is Kind.DRESS:
        assert kinds == [kind]
    elif kind in BOTTOMS:
        assert kinds == [Kind.TSHIRT, kind]
    else:
        assert kinds == [kind, Kind.TROUSERS]


def test_a_garment_of_no_known_kind_is_a_t_shirt() -> None:
    assert worn() == [(Kind.TSHIRT, "M"), (Kind.TROUSERS, "M")]


def test_size_is_the_tops_and_size2_the_bottoms() -> None:
    assert worn(kind=Kind.HOODIE, size="XL", size2="34/32") == [
        (Kind.HOODIE, "XL"),
        (Kind.TROUSERS, "34/32"),
    ]
    assert worn(kind=Kind.JEANS, size="S", size2="34/32") == [
        (Kind.TSHIRT, "S"),
        (Kind.JEANS, "34/32"),
    ]


def test_one_size_is_that_of_the_garment_and_what_goes_with_it_is_as_large() -> None:
    assert worn(kind=Kind.JEANS, size="36/32")[1] == (Kind.JEANS, "36/32")
    assert worn(kind=Kind.JEANS, size="36/32")[0] == (Kind.TSHIRT, "L")
    assert worn(kind=Kind.DRESS, size="44") == [(Kind.DRESS, "44")]
    assert worn(kind=Kind.SHIRT, size="44")[1] == (Kind.TROUSERS, "L")


def test_a_size_that_a_garment_lacks_is_the_nearest_that_it_has() -> None:
    assert worn(kind=Kind.HOODIE, size="XXL", sizes=("S", "M", "L"))[0] == (Kind.HOODIE, "L")
    assert worn(kind=Kind.HOODIE, size="s", sizes=("S", "M"))[0] == (Kind.HOODIE, "s")
    assert worn(kind=Kind.DRESS, size="S", sizes=("34", "36", "38", "40")) == [(Kind.DRESS, "36")]


def test_a_garment_for_men_is_cut_for_men_whoever_wears_it() -> None:
    for_men = outfit(GarmentLook(kind=Kind.HOODIE, gender=0.0), WOMAN).top

    assert for_men.cut == size_chart.cut(Kind.HOODIE, "M", 0.0)
    assert outfit(GarmentLook(kind=Kind.HOODIE), WOMAN).top.cut != for_men.cut


def test_only_sizes_that_were_asked_for_are_told_by_their_fields() -> None:
    def asked(**look) -> list[str]:
        pieces: tuple[Piece, ...] = outfit(GarmentLook(**look), WOMAN).pieces
        return [piece.field for piece in pieces if piece.asked]

    assert asked(kind=Kind.HOODIE) == []
    assert asked(kind=Kind.HOODIE, size="M") == ["size"]
    assert asked(kind=Kind.SKIRT, size="M") == ["size"]
    assert asked(kind=Kind.SKIRT, size="M", size2="L") == ["size", "size2"]
