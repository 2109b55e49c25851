import torch

from render_consumers.painting.picture.raster import rasterise

SQUARE = torch.tensor([[2.0, 2, 0.5], [8, 2, 0.5], [8, 8, 0.5], [2, 8, 0.5]])
HALVES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_neighbours_cover_every_sample_once() -> None:
    seen = rasterise(SQUARE, HALVES, (10, 10))
    assert len(seen.sample) == 36
    assert torch.allclose(seen.weight.sum(1), torch.ones(36))


def test_the_nearer_triangle_wins_whatever_the_order() -> None:
    places = torch.cat([SQUARE, SQUARE * torch.tensor([1, 1, 1.5])])
    for faces in (torch.cat([HALVES, HALVES + 4]), torch.cat([HALVES + 4, HALVES])):
        seen = rasterise(places, faces, (10, 10))
        assert bool((faces[seen.face] >= 4).all())


def test_a_field_cuts_through_triangles() -> None:
    keep = SQUARE[:, 0] - 5.0
    seen = rasterise(SQUARE, HALVES, (10, 10), keep=keep)
    assert bool((seen.sample % 10 >= 5).all())
    assert len(seen.sample) == 18


def test_mixed_values_follow_the_picture() -> None:
    seen = rasterise(SQUARE, HALVES, (10, 10))
    mixed = seen.mix(HALVES, SQUARE[:, :2])
    expected = torch.stack([seen.sample % 10 + 0.5, seen.sample // 10 + 0.5], dim=1)
    assert torch.allclose(mixed, expected, atol=1e-4)


def test_an_empty_scene_shows_nothing() -> None:
    assert len(rasterise(SQUARE - 50, HALVES, (10, 10)).sample) == 0
