"""The posture in which people are measured: upright, with hanging arms, as ISO 8559-1 has it.

It is the same for every body, whatever pose is drawn: nothing is moved out of the way of a girth.
"""

import numpy as np
import torch
from torch import Tensor

from domain.vocabulary import Direction
from render_consumers.painting.body.assets import Assets
from render_consumers.painting.body.body import Body, Skin
from render_consumers.painting.body.skeleton import swing_of

# Where bones of the left side point; those of the right mirror them. The legs stand as at rest.
POSTURE: dict[str, Direction] = {
    "upperarm01.L": (0.21, 0.03, -1.0),
    "lowerarm01.L": (0.12, -0.12, -1.0),
    "wrist.L": (0.12, -0.12, -1.0),
}
TIPS = {
    "upperarm01": "lowerarm01",
    "lowerarm01": "wrist",
    "wrist": "finger3-1",
}


def upright(body: Body, skin: Skin) -> Skin:
    """A body in the posture, with the soles at z = 0."""
    turns, moves = bones(body.assets, skin.joints)
    return body.carried(skin, turns, moves)


def bones(assets: Assets, joints: Tensor) -> tuple[Tensor, Tensor]:
    """What takes each bone, with its head in joints (J, 3), from rest into the posture.

    A rotation (J, 3, 3) and a translation (J, 3).
    """
    heads = joints.double().cpu()
    posture = _both_sides(POSTURE)
    turns, moves = [torch.eye(3, dtype=heads.dtype)], [torch.zeros_like(heads[0])]
    for bone, name in enumerate(assets.bone_names):
        parent = assets.bone_parents[bone]
        turn, move = turns[parent], moves[parent]
        if name in posture:
            place = turn @ heads[bone] + move
            turn = _turned(assets.bone_names, bone, turn, heads, posture[name])
            move = place - turn @ heads[bone]
        turns.insert(bone, turn)
        moves.insert(bone, move)
    return torch.stack(turns[:-1]).to(joints), torch.stack(moves[:-1]).to(joints)


def _turned(names: list[str], bone: int, turn: Tensor, heads: Tensor, end: Direction) -> Tensor:
    stem, side = names[bone].split(".")
    along = heads[names.index(f"{TIPS[stem]}.{side}")] - heads[bone]
    return torch.from_numpy(swing_of((turn @ along).numpy(), np.array(end))) @ turn


def _both_sides(posture: dict[str, Direction]) -> dict[str, Direction]:
    mirrored = {
        name.replace(".L", ".R"): (-end[0], end[1], end[2]) for name, end in posture.items()
    }
    return posture | mirrored
