import torch

from render_consumers.painting.mesh import distinct


def test_distinct_pairs_are_what_torch_finds_of_rows() -> None:
    pairs = torch.randint(0, 12, (400, 2), generator=torch.Generator().manual_seed(1))
    pairs[0] = torch.tensor([0, 12])  # the largest number of all, where it could run over

    found = distinct(pairs)

    expected = torch.unique(pairs, dim=0, return_inverse=True, return_counts=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
