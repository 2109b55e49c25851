from datetime import UTC, datetime

import msgspec
import pytest

from domain.events import Event, Recorded, fold
from domain.render import RenderStarted
from tests.support.scenario import ACCOUNT, enveloped, started


def recorded(position: int) -> Recorded:
    new = enveloped(started(position), ACCOUNT, position)
    members = msgspec.structs.asdict(new)
    return Recorded(**members, position=position, recorded_at=datetime.now(UTC))


def noted(state: str, event: Event) -> str:
    assert isinstance(event, RenderStarted)
    return f"{state} {event.attempt}"


def test_folding_applies_every_event_in_its_order():
    assert fold(noted, "initial", [recorded(n) for n in (1, 2, 3)]) == "initial 1 2 3"


def test_an_empty_history_folds_to_the_initial_state():
    assert fold(noted, "initial", []) == "initial"


def test_an_event_cannot_be_changed():
    event = started()
    with pytest.raises(AttributeError):
        event.attempt = 34  # type: ignore[misc]
