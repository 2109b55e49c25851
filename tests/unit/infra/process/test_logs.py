import json
import logging

import pytest
import structlog

from infra.outage import Outage
from infra.process import logs


@pytest.fixture(autouse=True)
def as_it_was():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def lines_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_level_time_and_process(capsys):
    logs.configure("relay", "json")
    structlog.get_logger("infra.relay.main").info("caught up", position=7)
    (line,) = lines_of(capsys)
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "event": "caught up",
        "level": "info",
        "logger": "infra.relay.main",
        "position": 7,
        "process": "relay",
    }


def test_libraries_speak_in_the_same_form(capsys):
    logs.configure("api", "json")
    logging.getLogger("granian").info("started %s", "worker")
    (line,) = lines_of(capsys)
    assert (line["event"], line["process"], line["level"]) == ("started worker", "api", "info")


@pytest.mark.parametrize(
    "library", ["kafka.net.selector", "psycopg.pool", "urllib3.connectionpool"]
)
def test_libraries_that_tell_of_each_try_are_not_heard(capsys, library):
    logs.configure("relay", "json")
    logging.getLogger(library).error("connection lost")
    assert lines_of(capsys) == []


def test_an_outage_is_told_of_once_and_so_is_its_end(capsys, monkeypatch):
    logs.configure("relay", "json")
    outage = Outage("Kafka")
    for _ in range(3):
        outage.away("Connection refused")
    outage.over()
    outage.over()
    outage.away("it comes and goes")
    told = [(line["event"], line.get("why")) for line in lines_of(capsys)]
    assert told == [
        ("Kafka is unavailable", "Connection refused"),
        ("Kafka is available again", None),
    ]
    monkeypatch.setattr("infra.outage.QUIET_S", 0.0)
    outage.away("Connection refused")
    assert [line["event"] for line in lines_of(capsys)] == ["Kafka is unavailable"]


def test_an_exception_is_told_without_the_values_of_its_variables(capsys):
    logs.configure("api", "json")
    try:
        email = "ada@" + "example.org"
        raise ValueError(len(email))
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines_of(capsys)
    assert "ValueError" in line["exception"]
    assert "ada@example.org" not in line["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_in_texts_are_blanked_out(capsys, form):
    logs.configure("api", form)
    structlog.get_logger().warning(
        "failed",
        url="http://host/p.jpg?X-Amz-Credential=who&X-Amz-Signature=5ecret1",
        header="Bearer 5ecret2",
        stream="http://host/generate/1/events?stream_token=5ecret6",
        database="postgresql://atelier:5ecret3@host/atelier",
    )
    try:
        raise ValueError("no answer from http://host/p.jpg?X-Amz-Signature=5ecret4")
    except ValueError:
        logging.getLogger("urllib3").exception("GET /p.jpg?X-Amz-Signature=5ecret5")
    written = capsys.readouterr().err
    assert "http://host/p.jpg" in written
    assert "5ecret" not in written


def test_text_is_for_people(capsys):
    logs.configure("api", "text")
    structlog.get_logger().info("listening", port=8000)
    written = capsys.readouterr().err
    assert "listening" in written
    assert not written.startswith("{")


def test_away_from_a_terminal_auto_means_json(capsys):
    logs.configure("api", "auto")
    structlog.get_logger().info("listening")
    assert lines_of(capsys)
