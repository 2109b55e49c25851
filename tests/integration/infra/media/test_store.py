import socket
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import minio
import pytest

from domain.errors import NotFound, Unavailable
from infra.embedded import EmbeddedMedia
from infra.media import store
from infra.media.store import MediaStore
from infra.settings import Settings
from tests.support.certificates import make_certificate
from tests.support.servers import MediaServer

REFUSED = (400, 403)  # the servers differ in what they call it
UNUSUAL_KEYS = [
    "33/avatar/avatar_1738860389536_thumbnail.jpg",
    "with space/and+plus.jpg",
    "100% & more?/a#b=c;d,e.jpg",
    "(round) [square] {curly} ~tilde.jpg",
    "Größe/写真/📷.jpg",
    "'quoted' \"twice\".jpg",
]


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        content: bytes = answer.read()
    return content


def refusal(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url)
    caught.value.close()
    return caught.value.code


def test_what_was_put_can_be_got(media: MediaStore):
    media.put("1/gallery/a.jpg", b"\xff\xd8picture", "image/jpeg")

    assert media.get("1/gallery/a.jpg") == b"\xff\xd8picture"


def test_an_empty_object_is_an_object(media: MediaStore):
    media.put("1/empty", b"", "image/jpeg")

    assert media.get("1/empty") == b""


def test_a_large_object_comes_back_whole(media: MediaStore):
    video = bytes(range(256)) * 4 * 16 * 1024  # 16 MiB, more than one part of the client's default
    media.put("1/gallery/a.mp4", video, "video/mp4")

    assert media.get("1/gallery/a.mp4") == video


def test_putting_again_replaces(media: MediaStore):
    media.put("1/a.jpg", b"the longer one of both", "image/jpeg")
    media.put("1/a.jpg", b"the other", "image/jpeg")

    assert media.get("1/a.jpg") == b"the other"
    assert media.stat("1/a.jpg").size == len(b"the other")


def test_an_unknown_object_is_not_found(media: MediaStore):
    with pytest.raises(NotFound):
        media.get("1/nothing.jpg")
    with pytest.raises(NotFound):
        media.stat("1/nothing.jpg")
    assert not media.exists("1/nothing.jpg")


def test_a_copy_has_the_bytes_and_the_type_of_its_source(media: MediaStore):
    media.put("staging/t/1/a.jpg", b"picture", "image/jpeg")
    media.copy("staging/t/1/a.jpg", "1/gallery/t.jpg")

    assert media.get("1/gallery/t.jpg") == b"picture"
    assert media.get("staging/t/1/a.jpg") == b"picture"
    with urllib.request.urlopen(media.url("1/gallery/t.jpg"), timeout=5) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"


def test_copying_again_replaces(media: MediaStore):
    media.put("staging/t/1/a.jpg", b"first", "image/jpeg")
    media.put("staging/t/2/a.jpg", b"second attempt", "image/jpeg")
    media.copy("staging/t/1/a.jpg", "1/gallery/t.jpg")
    media.copy("staging/t/2/a.jpg", "1/gallery/t.jpg")

    assert media.get("1/gallery/t.jpg") == b"second attempt"


def test_copying_an_unknown_object_is_not_found(media: MediaStore):
    with pytest.raises(NotFound):
        media.copy("staging/nothing", "1/gallery/t.jpg")


def test_deleting_twice_is_deleting_once(media: MediaStore):
    media.put("1/a.jpg", b"picture", "image/jpeg")
    media.put("1/b.jpg", b"another", "image/jpeg")
    media.delete("1/a.jpg")
    media.delete("1/a.jpg")

    assert not media.exists("1/a.jpg")
    assert media.exists("1/b.jpg")


def test_a_list_has_every_object_below_the_prefix_in_order(media: MediaStore):
    for key in ("staging/b/1/x", "staging/a/2/x", "staging/a/1/x", "1/gallery/x", "staging2"):
        media.put(key, b"12345", "image/jpeg")

    assert [found.key for found in media.list("staging/")] == [
        "staging/a/1/x",
        "staging/a/2/x",
        "staging/b/1/x",
    ]
    assert [found.key for found in media.list("staging/a/1/")] == ["staging/a/1/x"]
    assert {found.size for found in media.list("")} == {5}


def test_a_list_shows_what_was_just_put_and_deleted(media: MediaStore):
    for number in range(20):
        media.put(f"t/{number:02}", b"x", "image/jpeg")
        assert len(list(media.list("t/"))) == number + 1
    for number in range(20):
        media.delete(f"t/{number:02}")
        assert len(list(media.list("t/"))) == 19 - number


def test_a_list_goes_on_after_a_thousand_objects(media: MediaStore):
    keys = [f"many/{number:04}" for number in range(1_005)]
    for key in keys:
        media.put(key, b"", "image/jpeg")

    assert [found.key for found in media.list("many/")] == keys


@pytest.mark.parametrize("key", UNUSUAL_KEYS)
def test_an_unusual_key_is_a_key(media: MediaStore, key: str):
    media.put(key, b"picture", "image/jpeg")
    media.copy(key, f"copied/{key}")

    assert fetch(media.url(key)) == b"picture"
    assert media.get(f"copied/{key}") == b"picture"
    assert sorted(found.key for found in media.list("")) == sorted([key, f"copied/{key}"])
    media.delete(key)
    assert not media.exists(key)


@pytest.mark.parametrize("minutes", [-5, 5])
def test_it_serves_a_machine_whose_clock_is_five_minutes_off(
    media: MediaStore, monkeypatch: pytest.MonkeyPatch, minutes: int
):
    off = timedelta(minutes=minutes)
    clock = SimpleNamespace(time=lambda: time.time() + off.total_seconds())
    monkeypatch.setattr(store, "time", clock)
    monkeypatch.setattr(minio.time, "utcnow", lambda: datetime.now(UTC) + off)
    media.put("1/gallery/a.jpg", b"picture", "image/jpeg")

    assert media.get("1/gallery/a.jpg") == b"picture"
    assert fetch(media.url("1/gallery/a.jpg")) == b"picture"


def test_a_url_needs_no_other_header(media: MediaStore):
    media.put("1/gallery/a.jpg", b"picture", "image/jpeg")

    assert fetch(media.url("1/gallery/a.jpg")) == b"picture"


def test_a_player_can_ask_for_a_part(media: MediaStore):
    media.put("1/gallery/a.mp4", b"0123456789", "video/mp4")
    link = urllib.request.Request(media.url("1/gallery/a.mp4"), headers={"Range": "bytes=2-4"})
    with urllib.request.urlopen(link, timeout=5) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == "bytes 2-4/10"
        assert answer.read() == b"234"


def test_without_its_signature_a_url_is_refused(media: MediaStore):
    media.put("1/gallery/a.jpg", b"picture", "image/jpeg")

    assert refusal(media.url("1/gallery/a.jpg").partition("?")[0]) in REFUSED


def test_a_signature_opens_no_other_object(media: MediaStore):
    media.put("1/gallery/a.jpg", b"picture", "image/jpeg")
    media.put("2/gallery/b.jpg", b"another's", "image/jpeg")
    signature = media.url("1/gallery/a.jpg").partition("?")[2]

    assert refusal(f"{media.url('2/gallery/b.jpg').partition('?')[0]}?{signature}") in REFUSED


def test_an_expired_url_is_refused(media: MediaStore, media_environ: dict[str, str]):
    media.put("1/gallery/a.jpg", b"picture", "image/jpeg")
    short = MediaStore(Settings.load(media_environ | {"ATELIER_MEDIA_URL_SECONDS": "1"}))
    url = short.url("1/gallery/a.jpg")
    assert fetch(url) == b"picture"
    time.sleep(2.1)  # the store compares whole seconds

    assert refusal(url) in REFUSED


def test_a_wrong_secret_is_told_as_unavailable(media: MediaStore, media_environ: dict[str, str]):
    stranger = MediaStore(Settings.load(media_environ | {"ATELIER_S3_SECRET_KEY": "0" * 64}))

    with pytest.raises(Unavailable, match="refuses"):
        stranger.get("1/gallery/a.jpg")
    assert not stranger.reachable(2.0)


def test_a_bucket_that_exists_may_be_ensured_again(media: MediaStore):
    media.put("1/a.jpg", b"picture", "image/jpeg")
    media.ensure_bucket()

    assert media.get("1/a.jpg") == b"picture"


def test_a_store_without_the_bucket_is_not_reachable(
    media: MediaStore, media_environ: dict[str, str]
):
    other = MediaStore(Settings.load(media_environ | {"ATELIER_S3_BUCKET": "nobody-made-this"}))

    assert media.reachable(2.0)
    assert not other.reachable(2.0)


def test_while_the_store_is_dead_every_call_is_unavailable(
    media: MediaStore, media_server: MediaServer
):
    media.put("1/a.jpg", b"picture", "image/jpeg")
    media_server.server.kill()
    calls = [
        lambda: media.put("1/b.jpg", b"picture", "image/jpeg"),
        lambda: media.get("1/a.jpg"),
        lambda: media.stat("1/a.jpg"),
        lambda: media.copy("1/a.jpg", "1/b.jpg"),
        lambda: media.delete("1/a.jpg"),
        lambda: list(media.list("")),
        media.ensure_bucket,
    ]

    for call in calls:
        with pytest.raises(Unavailable):
            call()
    assert not media.reachable(1.0)


def test_after_a_restart_the_same_store_serves_what_it_had(
    media: MediaStore, media_server: MediaServer
):
    media.put("1/a.jpg", b"picture", "image/jpeg")
    media_server.server.kill()
    with pytest.raises(Unavailable):
        media.get("1/a.jpg")
    media_server.server.restart()

    assert media.reachable(2.0)
    assert media.get("1/a.jpg") == b"picture"
    media.put("1/b.jpg", b"another", "image/jpeg")
    assert fetch(media.url("1/b.jpg")) == b"another"


def test_signing_asks_no_server(media_environ: dict[str, str]):
    nowhere = MediaStore(
        Settings.load(
            media_environ
            | {
                "ATELIER_S3_URL": "http://127.0.0.1:9",
                "ATELIER_S3_PUBLIC_ENDPOINT": "https://media.example.com",
            }
        )
    )

    url = nowhere.url("1/a.jpg")

    bucket = media_environ["ATELIER_S3_BUCKET"]
    assert url.startswith(f"https://media.example.com/{bucket}/1/a.jpg?")
    assert "X-Amz-Expires=3600" in url


def test_over_tls_the_certificate_must_be_trusted(tmp_path: Path):
    certificate, key = make_certificate(tmp_path)
    with TlsMedia(tmp_path, certificate, key) as server:
        environ = {
            "ATELIER_DATA": str(tmp_path / "data"),
            "ATELIER_S3_URL": server.url,
            "ATELIER_S3_ACCESS_KEY": TlsMedia.KEYS[0],
            "ATELIER_S3_SECRET_KEY": TlsMedia.KEYS[1],
        }
        trusting = environ | {"ATELIER_S3_CA_FILE": str(certificate)}

        assert MediaStore(Settings.load(trusting)).reachable(2.0)
        assert not MediaStore(Settings.load(environ)).reachable(2.0)


class TlsMedia(EmbeddedMedia):
    """The embedded server with TLS."""

    not_yet = (OSError,)  # type: ignore[assignment]  # it does not ask as its parent does
    KEYS = ("tls-access", "tls-secret-of-this-test")

    def __init__(self, data: Path, certificate: Path, key: Path) -> None:
        super().__init__(data, *self.KEYS, bucket="atelier")
        self._tls = [f"--cert={certificate}", f"--key={key}"]

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")

    def _command(self) -> list[str]:
        return [*self._rclone(self._port), *self._tls]

    def _ask(self) -> None:
        socket.create_connection(("127.0.0.1", self._port)).close()
