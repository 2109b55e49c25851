import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api.resources.capabilities import CAPABILITIES
from domain.picture import UserDetails
from render_consumers.painting.clothes.kinds import Kind
from render_consumers.painting.clothes.outfit import GarmentLook
from render_consumers.painting.clothes.size_chart import known as known_size
from render_consumers.painting.order import Order, understand


def test_labels_are_understood_however_they_are_written() -> None:
    details = UserDetails(
        gender="MALE", pose="t-pose", camera_view="Three Quarter", hairstyle="Bob"
    )
    order = understand(details, GarmentLook("ReD", "xl"))
    assert order.ignored == ()
    assert order.gender == 0.0
    assert order.garment == (1.0, 0.0, 0.0)
    assert order.outfit.top.size == "xl"


def test_nothing_said_of_the_garment_is_nothing_ignored() -> None:
    assert understand(UserDetails(), GarmentLook()).ignored == ()


def test_a_map_of_the_fit_is_passed_on_to_who_draws_the_cloth() -> None:
    assert understand(UserDetails(), GarmentLook(), fit_map=True).fit_map
    assert not understand(UserDetails(), GarmentLook()).fit_map


def test_an_empty_text_asks_for_nothing() -> None:
    labels = ("gender", "face_shape", "pose", "hairstyle", "camera_view", "expression")
    empty = UserDetails(**dict.fromkeys(labels, ""))  # type: ignore[arg-type]
    assert understand(empty, GarmentLook()).ignored == ()


@pytest.mark.parametrize("written", [str, str.upper, str.title])
def test_every_word_that_the_api_lists_is_drawn(written) -> None:
    for path, value in listed():
        value = written(value) if isinstance(value, str) else value
        assert ordered(path, value).ignored == (), (path, value)


def test_words_of_one_field_are_not_all_drawn_alike() -> None:
    for path in dict(listed()):
        drawn = [ordered(path, value) for each, value in listed() if each == path]
        if path != "user_details.face_shape":  # which has one word so far
            assert any(order != drawn[0] for order in drawn), path


@given(st.data())
def test_everything_else_is_told_as_ignored(data: st.DataObject) -> None:
    path, example = data.draw(st.sampled_from(sorted(dict(listed()).items())))
    known = {value for each, value in listed() if each == path}
    if isinstance(example, int):
        value: str | int = data.draw(st.integers(0, 100).filter(lambda n: n not in known))
    else:
        words = {str(word).lower() for word in known}
        # Colours may be told in numbers as well.
        text = st.text(st.characters(codec="ascii", exclude_characters="#(_ "), min_size=1)
        value = data.draw(text.filter(lambda t: t.strip() and t.strip().lower() not in words))
        # Sizes are read in many more ways than can be listed.
        assume(path != "apparel_details.size" or not known_size(Kind.TSHIRT, value, 1.0))
    assert ordered(path, value).ignored == (path,)


def listed() -> list[tuple[str, str | int]]:
    """Every word that `/capabilities` tells, with the path of the member that takes it."""
    told = msgspec.to_builtins(CAPABILITIES)
    return [
        (f"{part}.{member}", value)
        for part, members in told.items()
        for member, values in members.items()
        for value in values
    ]


def ordered(path: str, value: str | int) -> Order:
    part, member = path.split(".")
    if part == "user_details":
        return understand(msgspec.convert({member: value}, UserDetails), GarmentLook())
    colour, size = (str(value), "") if member == "color" else ("", str(value))
    return understand(UserDetails(), GarmentLook(colour, size))


def test_an_alpha_of_nought_is_white() -> None:
    details = UserDetails(background_color_hex="#00000000")
    assert understand(details, GarmentLook()).backdrop == (1.0, 1.0, 1.0)
