"""Poses are judged on thin, average and heavy bodies, by where their parts are."""

import math

import pytest
import torch
from torch import Tensor

from domain.vocabulary import POSES, Pose
from render_consumers.painting.body.body import Body, Skin

NAMES = ("i-pose", "a-pose", "t-pose", "contrapposto", "walking", "hands_on_hips", "waving",
         "arms_crossed")  # fmt: skip
UPRIGHT = ("i-pose", "a-pose", "t-pose", "hands_on_hips", "waving", "arms_crossed")
BUILDS = {
    "thin": {"weight": 0.0, "muscle": 0.2},
    "average": {},
    "heavy": {"weight": 1.0, "measure-waist-circ-incr": 1.6, "measure-hips-circ-incr": 1.0},
}


@pytest.fixture(scope="module")
def people(body: Body) -> dict[tuple[str, float], Skin]:
    found = {}
    for build, gender in (("thin", 0.0), ("average", 1.0), ("heavy", 0.0), ("heavy", 1.0)):
        controls = body.neutral()
        controls[body.index["gender"]] = gender
        for name, value in BUILDS[build].items():
            controls[body.index[name]] = value
        found[build, gender] = body.shaped(controls)
    return found


@pytest.fixture(scope="module")
def posed(body: Body, people: dict[tuple[str, float], Skin]):
    """Everybody in every pose."""
    return {
        (name, *who): body.posed(skin, POSES[name])
        for name in NAMES
        for who, skin in people.items()
    }


def on(body: Body, *stems: str, side: str = "") -> Tensor:
    """Which vertices (V,) of the skin hang mainly on bones whose names start so."""
    assets = body.assets
    main = assets.bone_of.gather(1, assets.bone_weight.argmax(1, keepdim=True))[:, 0]
    fits = [name.startswith(stems) and name.endswith(side) for name in assets.bone_names]
    chosen = torch.tensor(fits)[main]
    skin = torch.zeros_like(chosen)
    skin[assets.parts["body"].flatten()] = True
    return chosen & skin


def inside(points: Tensor, triangles: Tensor) -> Tensor:
    """Which points (N,) lie in a surface (F, 3, 3): its solid angle there, by van Oosterom."""
    a, b, c = (triangles[None, :, i] - points[:, None] for i in range(3))
    la, lb, lc = a.norm(dim=2), b.norm(dim=2), c.norm(dim=2)
    volume = (a * torch.linalg.cross(b, c)).sum(2)
    flat = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    return torch.atan2(volume, flat).sum(1).abs() / (2 * math.pi) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_no_arm_goes_through_the_body(body: Body, posed, name: str) -> None:
    arms = on(body, "lowerarm", "wrist", "metacarpal", "finger").nonzero()[:, 0][::7]
    whole = on(body, "upperarm", "lowerarm", "wrist", "metacarpal", "finger", "shoulder01")
    faces = body.assets.parts["body"]
    trunk = faces[~whole[faces].any(1)]
    low = body.assets.template[trunk][:, :, 2].amin(1)
    trunk = trunk[low > -0.45]  # what hands come near
    for (pose, *who), skin in posed.items():
        if pose == name:
            hands = skin.vertices[arms]
            near = torch.cdist(hands, skin.vertices[trunk[:, 0]]).amin(1) < 0.05
            through = inside(hands[near][::4], skin.vertices[trunk])
            assert not through.any(), (who, int(through.sum()))


@pytest.mark.parametrize("side", ["L", "R"])
def test_hands_on_hips_lie_on_the_hips(body: Body, posed, side: str) -> None:
    hand = on(body, "wrist", "metacarpal", "finger", side=side)
    trunk = on(body, "spine", "pelvis", "root", "upperleg")
    for (pose, *who), skin in posed.items():
        if pose == "hands_on_hips":
            apart = torch.cdist(skin.vertices[hand], skin.vertices[trunk]).amin()
            assert apart < 0.025, who


def test_forearms_that_are_crossed_cross(body: Body, posed) -> None:
    left, right = (body.assets.bone_names.index(f"wrist.{side}") for side in "LR")
    for (pose, *who), skin in posed.items():
        if pose == "arms_crossed":
            assert skin.joints[left, 0] < skin.joints[right, 0], who


@pytest.mark.parametrize("side", ["L", "R"])
def test_both_feet_stand_on_the_ground(body: Body, posed, side: str) -> None:
    foot = on(body, "foot", "toe", side=side)
    for who, skin in posed.items():
        assert float(skin.vertices[foot, 2].amin()) == pytest.approx(0, abs=0.008), who


def test_the_weight_is_over_the_feet(body: Body, posed) -> None:
    feet, everything = on(body, "foot", "toe"), on(body, "")
    for who, skin in posed.items():
        middle = skin.vertices[everything].mean(0)[:2]
        soles = skin.vertices[feet, :2]
        assert (middle > soles.amin(0)).all(), who
        assert (middle < soles.amax(0)).all(), who


def test_the_head_is_in_the_middle(body: Body, posed) -> None:
    head = body.assets.bone_names.index("head")
    for who, skin in posed.items():
        assert float(skin.joints[head, 0]) == pytest.approx(0, abs=1e-4), who


def test_somebody_upright_is_as_tall_as_at_rest(body: Body, people, posed) -> None:
    skin = on(body, "")  # not even a hand that waves is higher than the crown
    for (pose, *who), there in posed.items():
        if pose in UPRIGHT:
            tall, rest = (
                float(person.vertices[skin, 2].amax()) for person in (there, people[tuple(who)])
            )
            assert tall == pytest.approx(rest, abs=0.001), (pose, who)


def test_fingers_are_slightly_curled(body: Body, people, posed) -> None:
    def bend(skin: Skin) -> float:
        """Degrees by which the middle finger of the left hand bends."""
        names = body.assets.bone_names
        places = [skin.joints[names.index(f"finger3-{n}.L")] for n in (1, 2, 3)]
        first, second = places[1] - places[0], places[2] - places[1]
        return math.degrees(math.acos(float(first @ second / first.norm() / second.norm())))

    at_rest = bend(people["average", 1.0])
    assert at_rest + 8 < bend(posed["i-pose", "average", 1.0]) < at_rest + 30


def test_the_same_body_is_posed_alike_every_time(body: Body, people, posed) -> None:
    again = body.posed(people["heavy", 1.0], POSES["arms_crossed"])
    assert torch.equal(again.vertices, posed["arms_crossed", "heavy", 1.0].vertices)


def test_a_word_and_its_synonym_mean_the_same_pose() -> None:
    assert POSES["akimbo"] is POSES["hands_on_hips"]
    assert len({id(pose) for pose in POSES.values()}) == len(NAMES)
    assert all(isinstance(pose, Pose) for pose in POSES.values())
