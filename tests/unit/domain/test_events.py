import pytest

from domain.events import Event, fold
from tests.support.scenario import ACCOUNT, enveloped, registered


def test_folding_applies_every_event_in_its_order():
    history = [enveloped(registered(number=n), ACCOUNT, n) for n in (1, 2, 3)]
    assert fold(lambda state, event: (*state, event.number), (), history) == (1, 2, 3)


def test_an_empty_history_folds_to_the_initial_state():
    assert fold(lambda state, event: None, "initial", []) == "initial"


def test_an_event_cannot_be_changed():
    event: Event = registered()
    with pytest.raises(AttributeError):
        event.number = 34  # type: ignore[attr-defined]
