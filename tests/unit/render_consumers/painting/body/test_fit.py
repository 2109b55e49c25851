import numpy as np
import pytest

from domain.measurements import Measurements
from domain.vocabulary import POSES
from render_consumers.painting.body.body import Body, standing
from render_consumers.painting.body.fit import fit, start_from
from render_consumers.painting.body.measure import NAMES, Tape
from tests.support.adults import Adult, adults, asking

EXAMPLE = {  # the contract's own
    "Height": 180.0, "Thigh Length": 45.84773, "Calf Length": 46.71822, "Feet Length": 24.95818,
    "Neck Length": 11.30822, "Shoulder Width": 43.42514, "Upper Arm Length": 25.20014,
    "Forearm Length": 24.77694, "Hand Length": 18.567, "Neck Thickness": 32.21194,
    "Bust": 96.75247, "Cup": 15.09754, "Waist": 69.90949, "Belly": 80.7573, "Hips": 102.57145,
    "Thigh Size": 55.89947, "Calf Size": 36.8138, "Upper Arm Size": 25.16563,
    "Forearm Size": 22.76084, "Hand Size": 20.51066,
}  # fmt: skip


def achieved(body: Body, tape: Tape, gender: float, wanted: Measurements) -> dict[str, float]:
    return fit(body, tape, start_from(body, gender, wanted), wanted).achieved


def test_every_measurement_of_the_contracts_example_is_reached(body: Body, tape: Tape) -> None:
    reached = achieved(body, tape, 1.0, asking(EXAMPLE))
    assert {name: reached[name] for name in EXAMPLE} == pytest.approx(EXAMPLE, abs=0.5)


@pytest.mark.parametrize(
    ("gender", "asked"),
    [
        (0.0, {"Height": 186, "Bust": 104, "Waist": 84, "Hips": 100, "Upper Arm Size": 34}),
        (1.0, {"Height": 156, "Bust": 118, "Waist": 112, "Hips": 122, "Thigh Size": 68}),
        (0.5, {"Height": 150, "Waist": 66, "Hips": 88}),
    ],
)
def test_girths_within_reach_are_met(
    body: Body, tape: Tape, gender: float, asked: dict[str, float]
) -> None:
    reached = achieved(body, tape, gender, asking(asked))
    assert {name: reached[name] for name in asked} == pytest.approx(asked, abs=1.5)


@pytest.mark.parametrize("height", [100, 140, 180, 210, 250])
def test_the_height_is_always_the_one_asked_for(body: Body, tape: Tape, height: int) -> None:
    wanted = Measurements(height=height)
    fitted = fit(body, tape, start_from(body, 1.0, wanted), wanted)
    skin = body.posed(body.shaped(fitted.controls), standing(POSES["i-pose"]))
    tall = skin.vertices[body.assets.parts["body"].flatten(), 2].max()
    assert 100 * fitted.scale * float(tall) == pytest.approx(height, abs=0.1)


def test_what_cannot_be_reached_is_reported_as_it_came_out(body: Body, tape: Tape) -> None:
    reached = achieved(body, tape, 0.0, Measurements(height=150, bust=45, waist=220))
    assert reached["Height"] == pytest.approx(150, abs=0.5)
    assert reached["Waist"] < 220
    assert set(reached) == set(NAMES)


def test_nothing_asked_leaves_an_average_person(body: Body, tape: Tape) -> None:
    reached = achieved(body, tape, 1.0, Measurements())
    assert 155 < reached["Height"] < 185


def test_random_adults_are_met(few: list[Adult]) -> None:
    apart = misfits(few)
    assert np.median(apart) < 0.1
    assert (apart <= 0.5).mean() >= 0.95


@pytest.mark.long
def test_many_random_adults_are_met(body: Body, tape: Tape) -> None:
    apart = misfits(list(adults(body, tape, 32, seed=11)))
    assert np.median(apart) < 0.1
    assert (apart <= 0.5).mean() >= 0.95


def misfits(people: list[Adult]) -> np.ndarray:
    """How far each measurement asked for is from the one achieved, in centimetres."""
    return np.array(
        [
            abs(adult.fitted.achieved[name] - wanted)
            for adult in people
            for name, wanted in adult.wanted.items()
            if name != "Underbust"
        ]
    )
