import pytest
import torch
from torch import Tensor

from domain.vocabulary import EXPRESSIONS, FACE_SHAPES
from render_consumers.painting.body.body import Body
from render_consumers.painting.body.eyes import Eyes
from render_consumers.painting.body.measure import NAMES, Tape

FACES = [*FACE_SHAPES.items(), *EXPRESSIONS.items()]
JAW = 0.55  # height on the template below which no face reaches


@pytest.fixture(scope="module")
def eyes(body: Body) -> Eyes:
    return Eyes(body.assets)


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["man", "woman"])
def person(body: Body, request: pytest.FixtureRequest) -> Tensor:
    controls = body.neutral()
    controls[body.index["gender"]] = request.param
    return controls


def test_no_face_changes_what_the_tape_reads(body: Body, tape: Tape, person: Tensor) -> None:
    faces = torch.stack([person, *(body.faced(person, changes) for _, changes in FACES)])
    read = torch.stack([tape.lay(weights).measured for weights in body.coefficients(faces)])
    off = (read - read[0]).abs().amax(0)
    assert dict(zip(NAMES, off.tolist(), strict=True))["Height"] == 0
    assert off.amax() < 0.6  # centimetres, around the neck: its zone ends below the jaw


def test_a_face_moves_nothing_below_the_jaw(body: Body, person: Tensor) -> None:
    low = body.assets.parts["body"].unique()
    low = low[body.assets.template[low, 2] < JAW]
    plain = body.shaped(person).vertices
    for name, changes in FACES:
        moved = (body.shaped(body.faced(person, changes)).vertices - plain).norm(dim=1)
        assert moved[low].amax() < 0.0005, name
        assert moved.amax() > 0.001, name


def test_no_two_faces_are_alike(body: Body, person: Tensor) -> None:
    for table in (FACE_SHAPES, EXPRESSIONS):
        distinct = {id(changes): changes for changes in table.values()}
        faces = [body.shaped(body.faced(person, changes)).vertices for changes in distinct.values()]
        apart = [(a - b).norm(dim=1).amax() for i, a in enumerate(faces) for b in faces[:i]]
        assert min(apart) > 0.002


def test_every_change_of_a_face_is_one_that_the_model_has(body: Body, person: Tensor) -> None:
    for name, changes in FACES:
        for change, strength in changes.items():
            assert not torch.equal(body.faced(person, {change: strength}), person), (name, change)


def opening(body: Body, eyes: Eyes, person: Tensor, expression: str) -> dict[str, float]:
    """The widest gap between the lids of each eye, in metres."""
    posed = body.shaped(body.faced(person, EXPRESSIONS[expression])).vertices
    upper, lower = (
        {lid.side: lid.roots(posed) for lid in eyes.lids if lid.upper is up} for up in (True, False)
    )
    return {side: float(gap(upper[side], lower[side])) for side in "lr"}


def gap(upper: Tensor, lower: Tensor) -> Tensor:
    nearest = (upper[:, None, 0] - lower[None, :, 0]).abs().argmin(1)
    return (upper[:, 2] - lower[nearest, 2]).amax()


def test_a_wink_closes_one_eye(body: Body, eyes: Eyes, person: Tensor) -> None:
    wink = opening(body, eyes, person, "wink")
    assert wink["l"] < 0.0008
    assert wink["r"] > 0.005


def test_eyes_open_wider_in_surprise(body: Body, eyes: Eyes, person: Tensor) -> None:
    wide, usual = (opening(body, eyes, person, each) for each in ("surprised", "neutral"))
    assert wide["l"] > usual["l"] + 0.001


def test_lashes_grow_from_the_lids_and_move_with_them(
    body: Body, eyes: Eyes, person: Tensor
) -> None:
    open_eyes, closed = (
        body.shaped(body.faced(person, EXPRESSIONS[each])).vertices for each in ("neutral", "wink")
    )
    before, after = (eyes.fringes(posed, 1.0) for posed in (open_eyes, closed))
    left = eyes.lids[0].count * 20  # places on the upper lid of the left eye
    assert (after - before)[:left, 2].mean() < -0.004
    roots = torch.cat([lid.roots(open_eyes) for lid in eyes.lids])
    assert torch.cdist(before, roots).amin(1).amax() < 0.015


def test_a_lid_shades_the_eye_below_it(body: Body, eyes: Eyes, person: Tensor) -> None:
    places, light = eyes.balls(body.shaped(person).vertices)
    front = places[:, 1] < places[:, 1].amin() + 0.004
    assert light[front].amin() < 0.75
    assert light[front].amax() > 0.9
