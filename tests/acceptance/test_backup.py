"""A backup, the wrong way to restore it, and the right one, as docs/restored-backup.md has them."""

from pathlib import Path

import httpx

from infra import dumps
from infra.media.store import MediaStore
from tests.support import servers
from tests.support.atelier import Atelier, Person
from tests.support.scenario import eventually

POSTGRES = 18


def with_picture(client: httpx.Client) -> Person:
    """Somebody with a picture in the gallery."""
    person = Person(client)
    assert person.wait_for(person.post("/generate", {})["task_id"])["status"] == "SUCCESS"
    return person


def status(atelier: Atelier) -> str:
    return atelier.command("status").stdout


def test_an_older_backup_is_restored_and_no_two_pasts_are_mixed(
    own: Atelier, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    own.start()
    with own.client() as client:
        ada = with_picture(client)
        made = own.command("backup", str(folder))
        assert made.returncode == 0, made.stderr
        assert "2 files" in made.stdout
        assert "ATELIER_HASH_KEY and ATELIER_MASTER_KEY apart from it" in made.stdout
        bea = with_picture(client)
        refused = own.command("restore", str(folder), "--yes")
        assert refused.returncode == 1
        assert "stop all of Atelier first" in refused.stderr
        assert bea.get("/get_user_info") == bea.info
    log_id = status(own).split()[1]
    media = MediaStore(own.settings())
    for stored in list(media.list("")):
        media.delete(stored.key)

    own.stop()
    done = own.command("restore", str(folder), "--yes")
    assert done.returncode == 0, done.stderr

    own.start()
    with own.client() as client:
        ada.client = client
        [picture] = ada.get("/get_gallery")["gallery_urls"]
        assert httpx.get(picture["source_url"]).status_code == 200
        assert client.post("/login", json={"email": bea.email}).status_code == 401
        assert ada.post("/update_user_info", {"full_name": "Ada King"}) is not None
        if servers.SERVERS != "embedded":  # a broker in memory has lost what the log has lost
            eventually(lambda: "new-epoch" in status(own), 60)
            assert own.command("relay", "new-epoch", "--yes").returncode == 0
        eventually(lambda: "All is well" in status(own), 60)
        assert status(own).split()[1] != log_id
        check = own.command("relay", "check")
        assert check.returncode == 0, check.stdout

        # Somebody does it once more, by hand and under the running system.
        with_picture(client)
        dumps.load(own.settings().postgres_url, POSTGRES, folder / "postgres.dump")
        answer = client.post("/update_user_info", json={"full_name": "A"}, headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "history_replaced")
        assert client.get("/health/ready").status_code == 503
        eventually(lambda: "new-epoch" in status(own), 60)
