"""No container engine may be at hand, so the files are held to the code instead."""

import base64
import importlib
import os
import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli.table import COMMANDS, Command
from infra.process.processes import READY_FILE
from infra.settings import VARIABLES, Settings
from tests.support import containers

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SERVERS = {name: service for name, service in SERVICES.items() if "build" not in service}
REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<rest>[^}]*))?\}")

FILLED_IN = {
    "POSTGRES_PASSWORD": secrets.token_hex(24),
    "ATELIER_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "ATELIER_HASH_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "ATELIER_JWT_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "ATELIER_JWT_OLD_KEYS": "",
    "ATELIER_SMTP_HOST": "mail.example.org",
    "ATELIER_SMTP_PORT": "",
    "ATELIER_SMTP_TLS": "",
    "ATELIER_SMTP_USERNAME": "",
    "ATELIER_SMTP_PASSWORD": "",
    "ATELIER_MAIL_FROM": "Atelier <atelier@example.org>",
    "ATELIER_TRUSTED_PROXIES": "",
    "ATELIER_CORS_ORIGINS": "",
    "ATELIER_CATALOG_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "ATELIER_WEBHOOK_HOSTS": "",
    "ATELIER_WEBHOOK_KEY": "",
    "ATELIER_KLING_URL": "",
    "ATELIER_KLING_ACCESS_KEY": "",
    "ATELIER_KLING_SECRET_KEY": "",
    "ATELIER_S3_ACCESS_KEY": f"GK{secrets.token_hex(12)}",
    "ATELIER_S3_SECRET_KEY": secrets.token_hex(32),
    "GARAGE_RPC_SECRET": secrets.token_hex(32),
    "ATELIER_S3_PUBLIC_ENDPOINT": "",
}


def environment(service: str) -> dict[str, str]:
    """What Compose gives the service once .env is filled in."""

    def value(reference: re.Match[str]) -> str:
        default = reference["rest"] if reference["kind"] == "-" else ""
        return FILLED_IN[reference["name"]] or default

    given = SERVICES[service].get("environment", {})
    return {name: REFERENCE.sub(value, str(text)) for name, text in given.items()}


def command(service: str) -> Command:
    """The command that the service runs, if the command line knows it."""
    (name,) = OURS[service]["command"]
    return COMMANDS[name]


def settings(service: str) -> Settings:
    """The service's settings as it would read them."""
    return Settings.load(environment(service))


def test_every_process_runs_once_and_migrations_before_them():
    commands = {name: service["command"] for name, service in OURS.items()}

    assert commands == {
        name: [name] for name in ("migrate", "api", "relay", "projector", "render-consumer")
    }
    for name in commands.keys() - {"migrate"}:
        waits_for = OURS[name]["depends_on"]
        assert waits_for["migrate"]["condition"] == "service_completed_successfully"
        assert waits_for["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("service", OURS)
def test_a_variable_is_one_that_the_command_reads(service: str):
    known = {variable.name for variable in VARIABLES}
    given = environment(service).keys() - {READY_FILE}

    assert given <= known
    assert [name for name in given if not command(service).reads_setting(name)] == []


@pytest.mark.parametrize("service", OURS)
def test_a_process_is_given_all_that_it_requires(service: str, monkeypatch: pytest.MonkeyPatch):
    given = settings(service)
    module, _, function = command(service).entry.partition(":")
    entry = getattr(importlib.import_module(module), function)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Settings, "require", _require_and_end(Settings.require))

    with pytest.raises(Satisfied):
        entry(given)


class Satisfied(Exception):
    """The process has all that it asks for, and need not really run."""


def _require_and_end(require: Callable[..., None]) -> Callable[..., None]:
    def and_end(given: Settings, *fields: str) -> None:
        require(given, *fields)
        raise Satisfied

    return and_end


def test_the_api_is_reachable_from_elsewhere_and_may_be():
    assert settings("api").host == "0.0.0.0"  # noqa: S104 - inside its container
    settings("api").check_exposure()


def test_people_log_in_by_codes_that_are_mailed_over_tls():
    api = settings("api")
    assert (api.login, api.smtp_port, api.smtp_tls) == ("code", 587, "starttls")


@pytest.mark.parametrize("missing", ["ATELIER_SMTP_HOST", "ATELIER_CATALOG_KEY", "ATELIER_JWT_KEY"])
def test_what_keeps_people_out_has_no_default(missing: str):
    kinds = {
        reference["name"]: reference["kind"]
        for text in SERVICES["api"]["environment"].values()
        for reference in REFERENCE.finditer(str(text))
    }

    assert kinds[missing] == "?"


def test_the_processes_share_their_keys_and_stores():
    for name in {name for service in OURS for name in environment(service)} - {"ATELIER_LOG"}:
        values = {environment(service).get(name) for service in OURS} - {None}
        assert len(values) == 1, name


def test_the_example_names_every_variable_to_fill_in():
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    text = (ROOT / "docker-compose.yml").read_text()

    assert named == {reference["name"] for reference in REFERENCE.finditer(text)}
    assert named == FILLED_IN.keys()


def test_every_required_variable_says_what_to_set():
    text = (ROOT / "docker-compose.yml").read_text()

    for reference in REFERENCE.finditer(text):
        assert reference["kind"] in ("?", "-"), reference["name"]
        assert reference["kind"] == "-" or "set it in .env" in reference["rest"]


def test_the_servers_are_given_what_the_processes_use():
    postgres, garage = environment("postgres"), environment("garage")
    ours = settings("render-consumer")

    assert ours.postgres_url == (
        f"postgresql://{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}"
        f"@postgres:5432/{postgres['POSTGRES_DB']}"
    )
    assert (
        f"PLAINTEXT://{ours.kafka_bootstrap}" in environment("kafka")["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert ours.s3_access_key == garage["GARAGE_DEFAULT_ACCESS_KEY"]
    assert ours.s3_secret_key == garage["GARAGE_DEFAULT_SECRET_KEY"]
    assert ours.s3_bucket == garage["GARAGE_DEFAULT_BUCKET"]
    garage_config = (ROOT / "deploy" / "garage.toml").read_text()
    assert f's3_region = "{ours.s3_region}"' in garage_config
    assert 'api_bind_addr = "[::]:3900"' in garage_config
    assert ours.s3_url == "http://garage:3900"


def test_the_images_of_servers_are_pinned_and_those_that_the_tests_use():
    assert {name: service["image"] for name, service in SERVERS.items()} == {
        "postgres": containers.POSTGRES_IMAGE,
        "kafka": containers.KAFKA_IMAGE,
        "garage": containers.GARAGE_IMAGE,
    }
    for service in SERVERS.values():
        assert re.search(r":v?\d", service["image"])


def test_a_single_kafka_node_keeps_one_copy_of_everything():
    kafka = environment("kafka")
    copies = {kafka[name] for name in kafka if "REPLICATION_FACTOR" in name or "MIN_ISR" in name}

    assert copies == {"1"}
    assert containers.KAFKA_SETTINGS.items() <= kafka.items()


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - {"migrate"}))
def test_what_runs_on_has_a_health_check_and_is_started_again(service: str):
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[service]["restart"] == "unless-stopped"


def test_the_health_checks_of_ours_run_what_is_there():
    for name in ("relay", "projector"):
        _, _, script, process = OURS[name]["healthcheck"]["test"]
        assert process == name
        assert (ROOT / script.removeprefix("/src/")).exists()
    consumer = OURS["render-consumer"]
    assert consumer["healthcheck"]["test"][-1] == consumer["environment"][READY_FILE]


def test_the_data_of_every_server_is_in_a_named_volume():
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }

    assert used == COMPOSE["volumes"].keys() == {"postgres", "kafka", "garage", "anny"}
    assert SERVERS["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_files_that_are_mounted_exist():
    mounted = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]

    assert mounted
    assert all((ROOT / path).is_file() for path in mounted)


def test_render_consumers_take_a_gpu_each_and_can_be_many():
    consumer = SERVICES["render-consumer"]
    (device,) = consumer["deploy"]["resources"]["reservations"]["devices"]

    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert "container_name" not in consumer
    assert "ports" not in consumer


def test_the_images_are_built_from_stages_that_end_as_an_ordinary_user():
    stages = dict(_stages((ROOT / "Dockerfile").read_text()))

    assert {service["build"]["target"] for service in OURS.values()} == stages.keys()
    for lines in stages.values():
        assert [line for line in lines if line.startswith("USER ")][-1] == "USER atelier"
    assert all(":" in line for line in stages["base"] if line.startswith("FROM "))
    assert OURS["render-consumer"]["build"]["target"] == "render"
    assert not any("render]" in line for line in stages["base"])


def _stages(dockerfile: str) -> list[tuple[str, list[str]]]:
    parts = re.split(r"^(?=FROM )", dockerfile, flags=re.MULTILINE)[1:]
    return [(part.splitlines()[0].split()[-1], part.splitlines()) for part in parts]


def test_the_image_is_given_every_package_and_no_more_than_it_needs():
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert all((ROOT / path).exists() for path in sent)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= sent
    assert not any(os.path.basename(path).startswith(".env") for path in sent)
