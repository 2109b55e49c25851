"""What operators look at, while everything runs: `atelier status`, and metrics for Prometheus."""

import json
import re
from collections.abc import Iterable
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.atelier import Atelier, Person, expect
from tests.support.scenario import eventually

pytestmark = pytest.mark.anywhere

PROCESSES = ("api", "relay", "projector", "render-consumer")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")


@pytest.fixture(scope="module")
def ada(atelier: Atelier) -> Person:
    """Somebody who has a picture."""
    with atelier.client() as client:
        ada = Person(client)
        task = ada.post("/generate", {})["task_id"]
        assert ada.wait_for(task)["status"] == "SUCCESS"
        expect(client.get(f"/generate/{task}/unknown", headers=ada.headers), 404)
    return ada


def scraped(atelier: Atelier, process: str) -> list[Metric]:
    port = atelier.metrics_port + PROCESSES.index(process)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
    assert answer.status_code == 200
    return list(text_string_to_metric_families(answer.text))


def value(metrics: Iterable[Metric], name: str, **labels: str) -> float:
    found = [
        sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert found, f"{name} {labels} is not there"
    return sum(found)


def test_all_is_well_on_one_screen(atelier: Atelier, ada: Person) -> None:
    eventually(lambda: atelier.command("status").returncode == 0, seconds=60)
    seen = atelier.command("status")
    lines = seen.stdout.splitlines()
    assert (len(lines) <= 24, max(map(len, lines)) <= 80) == (True, True), seen.stdout
    assert "All is well" in lines[-1]
    assert "render-consumer 1, api 1, relay 1, projector 1" in seen.stdout
    assert ada.email not in seen.stdout


def test_a_process_that_is_gone_is_missed(atelier: Atelier, ada: Person) -> None:
    relay = atelier.process("api relay")
    relay.suspend()
    try:
        eventually(lambda: not told(atelier)["checks"]["relay"]["led"], seconds=60)
        seen = atelier.command("status")
        assert (seen.returncode, "relay away" in seen.stderr) == (1, True)
    finally:
        relay.resume()
    eventually(lambda: told(atelier)["verdict"] == "ok", seconds=60)


def told(atelier: Atelier) -> Any:
    return json.loads(atelier.command("status", "--json").stdout)


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_tells_how_the_whole_system_does(
    atelier: Atelier, ada: Person, process: str
) -> None:
    metrics = scraped(atelier, process)
    assert value(metrics, "atelier_server_up", server="postgres") == 1
    assert value(metrics, "atelier_log_position") >= 4
    assert value(metrics, "atelier_processes", process="render-consumer") == 1
    assert value(metrics, "atelier_reader_lag_events", reader="accounts") >= 0
    assert value(metrics, "process_resident_memory_bytes") > 0


def test_each_process_times_what_it_does(atelier: Atelier, ada: Person) -> None:
    api = scraped(atelier, "api")
    generated = {"method": "POST", "route": "/generate", "status": "200"}
    assert value(api, "atelier_request_seconds_count", **generated) >= 1
    assert value(api, "atelier_append_seconds_count") >= 2
    relay = scraped(atelier, "relay")
    for name in ("publish_seconds_count", "delay_seconds_count", "events_total"):
        assert value(relay, f"atelier_relay_{name}") >= 1
    projector = scraped(atelier, "projector")
    assert value(projector, "atelier_projection_events_total", model="gallery") >= 4
    assert value(projector, "atelier_projection_batch_seconds_count", model="gallery") >= 1
    consumer = scraped(atelier, "render-consumer")
    assert value(consumer, "atelier_render_seconds_count", outcome="rendered") >= 1


def test_no_label_grows_with_what_people_do(atelier: Atelier, ada: Person) -> None:
    samples = [
        sample
        for process in PROCESSES
        for metric in scraped(atelier, process)
        for sample in metric.samples
    ]
    assert [each for each in samples if UUID.search(str(each.labels))] == []
    routes = {each.labels["route"] for each in samples if "route" in each.labels}
    assert {"/generate/{task_id}", "unmatched"} <= routes
    assert ada.email not in str(samples)


def test_metrics_are_for_this_machine_alone_unless_told_otherwise(atelier: Atelier) -> None:
    ports = range(atelier.metrics_port, atelier.metrics_port + len(PROCESSES))
    heard = [
        listening.laddr
        for process in atelier.family()
        for listening in process.net_connections()
        if listening.status == psutil.CONN_LISTEN and listening.laddr.port in ports
    ]
    assert {address.ip for address in heard} == {"127.0.0.1"}
    assert {address.port for address in heard} == set(ports)
