"""What is drawn into a pattern, and the fit map, which tells where it is tight."""

import numpy as np
import pytest
import torch
from torch import Tensor

from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.look import cloth
from render_consumers.painting.clothes.outfit import Piece
from render_consumers.painting.clothes.sewing.tailor import STRAIN, made
from render_consumers.painting.picture.surface import Samples

GREY = (0.1, 0.1, 0.1)
WEIGHTS = ((0.34, 0.33, 0.33), (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))


def piece(kind: Kind) -> Piece:
    return Piece(kind, "M", 0.5, "size", asked=True)


def samples(kind: Kind) -> Samples:
    """Four samples in each of a piece's triangles, as if it faced the front."""
    ready = made(piece(kind).cut)
    weights = torch.tensor(WEIGHTS)
    flat, marks = (
        (weights @ values[ready.panels.faces]).flatten(0, 1) for values in (ready.flat, ready.marks)
    )
    normal = torch.tensor([0.0, -1.0, 0.0]).expand_as(flat)
    return Samples(flat, flat / 100, normal, marks, torch.zeros_like(flat))


def albedo(kind: Kind, strain: float | None = None) -> Tensor:
    where = samples(kind)
    if strain is not None:
        where.marks[:, STRAIN] = strain
    return cloth(where, piece(kind), GREY, fit_map=strain is not None).albedo


@pytest.mark.parametrize("kind", list(Kind))
def test_seams_and_more_are_drawn_on_every_kind(kind: Kind) -> None:
    light = albedo(kind).mean(1)
    assert float((light < 0.8 * light.median()).float().mean()) > 0.002


@pytest.mark.parametrize("kind", [Kind.SHIRT, Kind.POLO, Kind.JACKET, Kind.JEANS, Kind.HOODIE])
def test_buttons_zips_and_cords_are_lighter_than_the_cloth(kind: Kind) -> None:
    light = albedo(kind).mean(1)
    assert float(light.max()) > 1.25 * float(light.median())


@pytest.mark.parametrize(("strain", "colour"), [(0.15, 0), (0.0, 1), (-0.07, 2)])
def test_the_fit_map_is_red_where_tight_green_where_good_blue_where_loose(
    strain: float, colour: int
) -> None:
    mean = albedo(Kind.TSHIRT, strain).mean(0).numpy()
    assert int(np.argmax(mean)) == colour
    assert mean[colour] > 2 * np.delete(mean, colour).max()


def test_the_fit_map_is_yellow_in_between() -> None:
    red, green, blue = albedo(Kind.TSHIRT, 0.03).mean(0).tolist()
    assert min(red, green) > 5 * blue
