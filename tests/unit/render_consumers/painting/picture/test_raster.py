import pytest
import torch

from render_consumers.painting.picture.raster import SAMPLES, Seen, rasterise

SQUARE = torch.tensor([[2.0, 2, 0.15], [8, 2, 0.15], [8, 8, 0.15], [2, 8, 0.15]])
HALVES = torch.tensor([[0, 1, 2], [0, 2, 3]])
SIZE = (10, 10)


def seen(
    places: torch.Tensor,
    faces: torch.Tensor = HALVES,
    keep: torch.Tensor | None = None,
    surface: torch.Tensor | None = None,
    one_sided: bool = False,
    fine: int = 2,
) -> Seen:
    return rasterise(
        places,
        faces,
        SIZE,
        keep=torch.ones(len(places)) if keep is None else keep,
        one_sided=torch.full((len(faces),), one_sided),
        surface=torch.zeros(len(faces), dtype=torch.int32) if surface is None else surface,
        fine=fine,
    )


def shares(found: Seen) -> torch.Tensor:
    """How much of each pixel (H, W) is covered."""
    image = torch.zeros(SIZE[0] * SIZE[1])
    image.index_add_(0, found.pixels(), found.parts.share)
    return image.view(SIZE[1], SIZE[0])


def test_neighbours_cover_every_sample_once() -> None:
    found = seen(SQUARE)
    expected = torch.zeros(10, 10)
    expected[2:8, 2:8] = 1
    assert torch.equal(shares(found), expected)
    assert torch.allclose(found.parts.weight.sum(1), torch.ones(len(found.parts.face)))


def test_a_pixel_of_one_surface_is_one_spot_of_four_parts() -> None:
    found = seen(SQUARE)
    assert len(found.spots.face) == 36
    assert len(found.parts.face) == 4 * 36
    assert torch.equal(found.parts.spot, torch.arange(36).repeat_interleave(4))
    assert bool((found.parts.share == 0.25).all())


def test_a_pixel_can_be_one_part_of_every_surface() -> None:
    found = seen(SQUARE, fine=1)
    assert len(found.spots.face) == len(found.parts.face) == 36
    assert bool((found.parts.share == 1).all())
    assert torch.equal(shares(found), shares(seen(SQUARE)))


@pytest.mark.parametrize("fine", [1, 2])
def test_edges_are_as_fine_as_sixteen_samples(fine: int) -> None:
    for sixteenths in range(17):
        share = torch.tensor(sixteenths / SAMPLES)
        aside = seen(SQUARE + torch.tensor([float(share), 0, 0]), fine=fine)
        assert torch.allclose(shares(aside)[4, 8], share)
        below = seen(SQUARE + torch.tensor([0, float(share), 0]), fine=fine)
        assert torch.allclose(shares(below)[8, 4], share)


def test_surfaces_that_share_a_pixel_are_spots_of_their_own() -> None:
    found = seen(
        SQUARE + torch.tensor([0.5, 0, 0]), surface=torch.tensor([0, 1], dtype=torch.int32)
    )
    diagonal = (found.starts[1:, 0] - found.starts[:-1, 0]) == 2
    assert int(diagonal.sum()) >= 6


def test_the_nearer_triangle_wins_whatever_the_order() -> None:
    places = torch.cat([SQUARE, SQUARE * torch.tensor([1, 1, 1.5])])
    for faces in (torch.cat([HALVES, HALVES + 4]), torch.cat([HALVES + 4, HALVES])):
        found = seen(places, faces)
        assert bool((faces[found.parts.face] >= 4).all())


def test_a_field_cuts_through_triangles() -> None:
    found = shares(seen(SQUARE, keep=SQUARE[:, 0] - 5.5))
    assert torch.equal(found[4], torch.tensor([0.0, 0, 0, 0, 0, 0.5, 1, 1, 0, 0]))


def test_what_has_one_side_is_passed_over_from_behind() -> None:
    behind = seen(SQUARE, one_sided=True)
    before = seen(SQUARE, HALVES.flip(1), one_sided=True)
    assert {len(behind.parts.face), len(before.parts.face)} == {0, 144}


def test_mixed_values_follow_the_picture() -> None:
    found = seen(SQUARE)
    mixed = found.parts.mix(HALVES, SQUARE[:, :2])
    quarters = torch.stack([found.parts.sample % 20 + 0.5, found.parts.sample // 20 + 0.5], dim=1)
    assert torch.allclose(mixed, quarters / 2, atol=0.25)


def test_an_empty_scene_shows_nothing() -> None:
    assert len(seen(SQUARE - 50).parts.face) == 0


def test_the_number_of_threads_does_not_matter() -> None:
    torch.manual_seed(1)
    places = torch.rand(300, 3) * torch.tensor([10.0, 10, 0.1]) + torch.tensor([0, 0, 0.1])
    faces = torch.randint(300, (400, 3))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = seen(places, faces)
        torch.set_num_threads(4)
        together = seen(places, faces)
    finally:
        torch.set_num_threads(threads)
    for name in ("face", "weight", "sample", "spot", "share"):
        assert torch.equal(getattr(alone.parts, name), getattr(together.parts, name))
