import msgspec
import pytest

from domain.measurements import Measurements

CONTRACT = {
    "Height": 180,
    "Thigh Length": 45.84773,
    "Calf Length": 46.71822,
    "Feet Length": 24.95818,
    "Neck Length": 11.30822,
    "Shoulder Width": 43.42514,
    "Upper Arm Length": 25.20014,
    "Forearm Length": 24.77694,
    "Hand Length": 18.56700,
    "Muscle": 0.25,
    "Body Fat": 0.20,
    "Neck Thickness": 32.21194,
    "Bust": 96.75247,
    "Cup": 15.09754,
    "Waist": 69.90949,
    "Belly": 80.75730,
    "Hips": 102.57145,
    "Thigh Size": 55.89947,
    "Calf Size": 36.81380,
    "Upper Arm Size": 25.16563,
    "Forearm Size": 22.76084,
    "Hand Size": 20.51066,
}


def test_all_measurements_of_the_contract_are_read_under_its_names():
    measurements = msgspec.convert(CONTRACT, Measurements)
    assert msgspec.structs.asdict(measurements) == {
        name.lower().replace(" ", "_"): value for name, value in CONTRACT.items()
    }


def test_they_are_written_under_its_names_too():
    assert msgspec.to_builtins(msgspec.convert(CONTRACT, Measurements)) == CONTRACT


def test_absent_measurements_stay_absent():
    assert msgspec.to_builtins(Measurements(waist=70)) == {"Waist": 70}


@pytest.mark.parametrize("name", CONTRACT)
@pytest.mark.parametrize("value", [-1, 1_000])
def test_what_no_body_has_is_refused(name, value):
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert({name: value}, Measurements)
