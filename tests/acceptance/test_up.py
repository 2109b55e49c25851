"""`atelier up`: one command that starts everything, and leaves nothing behind."""

import signal

import pytest

from infra.postgres import connect
from tests.support.atelier import STOP_S, Atelier, Person
from tests.support.topic import read_events

pytestmark = pytest.mark.anywhere


def test_it_leaves_nothing_behind_and_has_all_its_data_when_it_starts_again(own: Atelier) -> None:
    own.start()
    with own.client() as client:
        ada = Person(client)
        assert ada.wait_for(ada.post("/generate", {})["task_id"])["status"] == "SUCCESS"

    for pictures, how in enumerate((signal.SIGINT, signal.SIGKILL), start=1):
        seconds, left = own.stop(how)
        assert left == []
        assert seconds < STOP_S

        own.start()
        with own.client() as client:
            ada.client = client
            assert ada.get("/get_user_info") == ada.info
            assert len(ada.get("/get_gallery")["gallery_urls"]) == pictures
            assert ada.wait_for(ada.post("/generate", {})["task_id"])["status"] == "SUCCESS"

    with connect(own.settings().postgres_url) as connection:
        row = connection.execute("SELECT position FROM atelier_head").fetchone()
    assert row
    (newest,) = row
    seen = read_events(
        own.settings(), lambda events: len({e["atelier_position"] for e in events}) >= newest
    )
    assert {int(e["atelier_position"]) for e in seen} == set(range(1, newest + 1))


def test_a_second_one_in_the_same_directory_is_refused(atelier: Atelier) -> None:
    second = Atelier(atelier.data, atelier.outside)
    with pytest.raises(AssertionError, match="already runs"):
        second.start()
