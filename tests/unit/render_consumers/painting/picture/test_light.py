import pytest
import torch

from render_consumers.painting.picture import light

# A floor of 4 m, and a square of 1 m that hangs 0.5 m above its middle.
PLACES = torch.tensor(
    [
        *([-2.0, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]),
        *([-0.5, -0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, 0.5], [-0.5, 0.5, 0.5]),
    ]
)
FACES = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
BOX = torch.tensor([[-2.0, -2, 0], [2, 2, 0.5]])
ABOVE = (torch.tensor([[0.0, 0, 1]]), torch.zeros(1, dtype=torch.int32))


def on_floor(*across: float) -> torch.Tensor:
    """How much of three lamps right above and of the sky reaches places on the floor."""
    lamps = (ABOVE[0].expand(3, 3), torch.arange(3, dtype=torch.int32))
    maps = light.cast(PLACES, FACES, lamps, BOX, most=400, finest=0.001)
    sky = light.cast(PLACES, FACES, light.sky_points(), BOX, most=200, finest=0.001)
    places = torch.tensor([[x, 0.0, 0.0] for x in across])
    return light.reached(maps, sky, places, torch.tensor([[0.0, 0, 1]]).expand_as(places))


def test_what_hangs_above_casts_its_shadow_and_nothing_else_does() -> None:
    under, beside = on_floor(0.0, 1.5)
    assert under[:3].tolist() == pytest.approx([light.LEFT] * 3)
    assert torch.allclose(beside[:3], torch.ones(3))


def test_the_edge_of_a_shadow_is_soft_and_in_its_place() -> None:
    lit = on_floor(0.47, 0.5, 0.53)[:, 0]
    assert lit[0] < 0.1
    assert 0.3 < lit[1] < 0.8
    assert lit[2] > 0.95


def test_the_sky_grows_brighter_the_further_one_is_from_what_hides_it() -> None:
    sky = on_floor(0.0, 0.4, 0.6, 0.9, 1.4, 1.9)[:, 3]
    assert bool((sky[1:] > sky[:-1]).all())
    assert sky[0] < 0.6
    assert sky[-1] > 0.9


def test_a_turned_map_is_that_of_what_is_turned() -> None:
    here = torch.tensor([[0.3, 0.6, 0.0], [0.2, 0.1, 0.0]])
    up = torch.tensor([[0.0, 0, 1]]).expand_as(here)
    maps = light.cast(PLACES, FACES, light.sky_points(), BOX, most=200, finest=0.001)
    quarter = torch.stack([-here[:, 1], here[:, 0], here[:, 2]], dim=1)
    turned = light.reached(maps.turned(90), maps.turned(90), quarter, up)
    assert torch.allclose(turned, light.reached(maps, maps, here, up), atol=1e-3)


def test_every_lamp_is_wide() -> None:
    points, whose = light.lamp_points()
    for number, spread in enumerate(light.SPREADS):
        mine = points[whose == number]
        centre = torch.nn.functional.normalize(torch.tensor(light.LAMPS[number][0]), dim=0)
        furthest = (mine @ centre).acos().max()
        assert 0.8 * spread < furthest < spread
