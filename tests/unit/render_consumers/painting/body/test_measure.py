import math

import pytest
import torch

from render_consumers.painting.body.measure import _girth


def test_a_tape_around_a_circle_reads_its_circumference() -> None:
    angle = torch.arange(400) * (2 * math.pi / 400)
    circle = torch.stack([0.2 * angle.cos(), 0.2 * angle.sin(), 0 * angle], dim=1)
    read = _girth(torch.tensor([0.0, 0.0, 1.0]))(circle[None])
    assert float(read) == pytest.approx(2 * math.pi * 0.2, rel=1e-3)


def test_a_tape_bridges_a_hollow() -> None:
    square = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0.5, 0.2, 0], [0, 1, 0]])
    read = _girth(torch.tensor([0.0, 0.0, 1.0]))(square[None])
    assert float(read) == pytest.approx(4.0, rel=1e-3)
