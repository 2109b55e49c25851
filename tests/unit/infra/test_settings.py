import base64
import json
import os
from pathlib import Path

import pytest

from infra.process.locks import lock
from infra.settings import LOCK_FILE, RUNNING_FILE, VARIABLES, Settings, SettingsError

EVERYWHERE = "0.0.0.0"  # noqa: S104 - a setting to judge, not to bind to
KEY = base64.b64encode(bytes(32)).decode()


def test_defaults_are_those_that_the_table_tells(tmp_path):
    loaded = Settings.load({})
    told = {each.name: each.default for each in VARIABLES if each.default}
    assert loaded == Settings.load(told)
    assert (loaded.data, loaded.port, loaded.task_limit) == (Path(".atelier"), 8000, 10)


def test_every_field_has_its_variable_in_the_table():
    assert {each.field for each in VARIABLES} == set(Settings.__struct_fields__)


def test_all_bad_values_are_named_at_once():
    environ = {
        "ATELIER_PORT": "eighty",
        "ATELIER_MASTER_KEY": "not base64!",
        "ATELIER_HASH_KEY": base64.b64encode(b"short").decode(),
        "ATELIER_KAFKA_BOOTSTRAP": "localhost",
        "ATELIER_POSTGRES_URL": "mysql://localhost/x",
        "ATELIER_S3_BUCKET": "No Bucket",
    }
    with pytest.raises(SettingsError) as refusal:
        Settings.load(environ)
    assert len(refusal.value.problems) == len(environ)
    assert all(name in str(refusal.value) for name in environ)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("ATELIER_PORT", "0"),
        ("ATELIER_PORT", "65536"),
        ("ATELIER_PORT", "-1"),
        ("ATELIER_TASK_LIMIT", "0"),
        ("ATELIER_LEASE_SECONDS", "1.5"),
        ("ATELIER_LOGIN", "password"),
        ("ATELIER_LOGIN_LIMIT", "0"),
        ("ATELIER_JWT_OLD_KEYS", "x" * 32 + ",short"),
        ("ATELIER_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ("ATELIER_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("ATELIER_SMTP_TLS", "ssl"),
        ("ATELIER_MAIL_FROM", "Atelier"),
        ("ATELIER_MAIL_FROM", "a@example.org\nBcc: b@example.org"),
        ("ATELIER_CATALOG_OPEN", "true"),
        ("ATELIER_LOG", "xml"),
        ("ATELIER_JWT_KEY", "x" * 31),
        ("ATELIER_MASTER_KEY", base64.b64encode(bytes(33)).decode()),
        ("ATELIER_S3_PUBLIC_ENDPOINT", "https://media.example.org/path"),
        ("ATELIER_S3_PUBLIC_ENDPOINT", "media.example.org"),
        ("ATELIER_KAFKA_CA_FILE", "/no/such/file.pem"),
        ("ATELIER_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("ATELIER_WEBHOOK_KEY", KEY),
        ("ATELIER_KLING_URL", "kling.example.org"),
        ("ATELIER_KLING_SLOTS", "0"),
        ("ATELIER_WEBHOOK_KEY", "whsec_"),
        ("ATELIER_WEBHOOK_KEY", f"whsec_{KEY},whsec_c2hvcnQ="),
    ],
)
def test_a_malformed_value_is_refused_by_name(name, bad):
    with pytest.raises(SettingsError, match=name):
        Settings.load({name: bad})


def test_webhooks_need_a_key_beside_their_hosts():
    hosts = {"ATELIER_WEBHOOK_HOSTS": "Shop.example.com:443, example.org:8443"}
    with pytest.raises(SettingsError, match="ATELIER_WEBHOOK_KEY must be set"):
        Settings.load(hosts)
    loaded = Settings.load(hosts | {"ATELIER_WEBHOOK_KEY": f"whsec_{KEY}, whsec_{KEY}"})
    assert loaded.webhook_hosts == ("shop.example.com", "example.org:8443")
    assert loaded.webhook_key == (f"whsec_{KEY}", f"whsec_{KEY}")


def test_kling_needs_its_address_and_both_keys():
    environ = {
        "ATELIER_KLING_URL": "https://kling.example.org",
        "ATELIER_KLING_ACCESS_KEY": "access",
        "ATELIER_KLING_SECRET_KEY": "secret",
    }
    loaded = Settings.load(environ)
    assert (loaded.kling_slots, loaded.kling_wait_seconds) == (1, 4_500)
    for name in environ:
        with pytest.raises(SettingsError, match=f"{name} must be set beside"):
            Settings.load(environ | {name: ""})


@pytest.mark.parametrize(
    "hosts",
    [
        "https://shop.example.com",
        "shop.example.com/",
        "shop.example.com,*.example.com",
        "shop.example.com,",
        "localhost",
        "10.0.0.1",
        "0x7f.1",
        "[::1]",
    ],
)
def test_webhooks_go_to_hosts_by_their_names(hosts):
    environ = {"ATELIER_WEBHOOK_HOSTS": hosts, "ATELIER_WEBHOOK_KEY": f"whsec_{KEY}"}
    with pytest.raises(SettingsError, match="ATELIER_WEBHOOK_HOSTS must be names of hosts"):
        Settings.load(environ)


def test_an_empty_variable_counts_as_not_set():
    assert Settings.load({"ATELIER_PORT": "", "ATELIER_POSTGRES_URL": ""}) == Settings()


def test_a_database_url_with_a_socket_folder_is_accepted():
    url = "postgresql://atelier:secret@/atelier?host=%2Ftmp%2Fsocket"
    assert Settings.load({"ATELIER_POSTGRES_URL": url}).postgres_url == url


def test_keys_are_decoded():
    loaded = Settings.load({"ATELIER_MASTER_KEY": KEY, "ATELIER_JWT_KEY": "j" * 32})
    assert (loaded.master_key, loaded.jwt_key) == (bytes(32), b"j" * 32)


def test_sasl_needs_all_its_parts():
    with pytest.raises(SettingsError, match="SASL_USERNAME") as refusal:
        Settings.load({"ATELIER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"})
    assert len(refusal.value.problems) == 3


def test_an_s3_server_needs_its_keys():
    with pytest.raises(SettingsError, match="ATELIER_S3_ACCESS_KEY"):
        Settings.load({"ATELIER_S3_URL": "http://s3.example.org"})


def test_a_mail_server_needs_a_sender():
    with pytest.raises(SettingsError, match="ATELIER_MAIL_FROM"):
        Settings.load({"ATELIER_SMTP_HOST": "mail.example.org"})


def test_old_keys_and_proxies_are_lists():
    loaded = Settings.load(
        {
            "ATELIER_JWT_OLD_KEYS": "a" * 32 + ", " + "b" * 32,
            "ATELIER_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        }
    )
    assert loaded.jwt_old_keys == (b"a" * 32, b"b" * 32)
    assert [str(each) for each in loaded.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_require_names_everything_that_is_missing_and_where_no_atelier_runs(tmp_path):
    with pytest.raises(SettingsError) as refusal:
        Settings.load({"ATELIER_DATA": str(tmp_path)}).require("postgres_url", "jwt_key", "host")
    postgres, jwt, hint = refusal.value.problems
    assert postgres.startswith("ATELIER_POSTGRES_URL is not set")
    assert jwt.startswith("ATELIER_JWT_KEY is not set")
    assert f"none runs in {tmp_path} here" in hint


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_choices(host):
    Settings.load({"ATELIER_HOST": host}).check_exposure()


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.4", "atelier.example.org"])
def test_anything_else_is_refused_until_the_choices_are_made(host):
    with pytest.raises(SettingsError) as refusal:
        Settings.load({"ATELIER_HOST": host}).check_exposure()
    for name in ("ATELIER_LOGIN", "ATELIER_JWT_KEY", "ATELIER_CATALOG_KEY"):
        assert name in str(refusal.value)


@pytest.mark.parametrize(
    "catalogue", [{"ATELIER_CATALOG_KEY": "a key"}, {"ATELIER_CATALOG_OPEN": "yes"}]
)
def test_with_the_choices_made_it_may_be_reached(catalogue):
    chosen = {"ATELIER_HOST": EVERYWHERE, "ATELIER_LOGIN": "email", "ATELIER_JWT_KEY": KEY}
    Settings.load(chosen | catalogue).check_exposure()


def test_codes_that_only_the_console_would_show_are_refused_where_others_can_reach_it():
    chosen = {
        "ATELIER_HOST": EVERYWHERE,
        "ATELIER_LOGIN": "code",
        "ATELIER_JWT_KEY": KEY,
        "ATELIER_CATALOG_KEY": "a key",
    }
    with pytest.raises(SettingsError, match="ATELIER_SMTP_HOST"):
        Settings.load(chosen).check_exposure()
    mail = {"ATELIER_SMTP_HOST": "mail.example.org", "ATELIER_MAIL_FROM": "a@example.org"}
    Settings.load(chosen | mail).check_exposure()


def test_settings_do_not_print_their_secrets():
    loaded = Settings.load({"ATELIER_JWT_KEY": "top-secret-" + "x" * 32})
    assert "top-secret" not in f"{loaded!r} {loaded}"


def test_a_running_up_lends_what_is_not_set(tmp_path):
    (tmp_path / RUNNING_FILE).write_text(
        json.dumps({"ATELIER_POSTGRES_URL": "postgresql://theirs/x", "ATELIER_PORT": "9000"})
    )
    held = lock(tmp_path / LOCK_FILE, 0.0, "")
    loaded = Settings.load({"ATELIER_DATA": str(tmp_path), "ATELIER_PORT": "9001"})
    os.close(held)
    assert (loaded.postgres_url, loaded.port) == ("postgresql://theirs/x", 9001)


def test_what_a_killed_up_left_behind_is_not_believed(tmp_path):
    (tmp_path / RUNNING_FILE).write_text(json.dumps({"ATELIER_PORT": "9000"}))
    (tmp_path / LOCK_FILE).touch()
    assert Settings.load({"ATELIER_DATA": str(tmp_path)}).port == 8000
