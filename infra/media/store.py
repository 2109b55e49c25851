"""The media store: pictures and videos in a private bucket of an S3 server."""

import contextlib
import io
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Object
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError, MaxRetryError

from domain.errors import NotFound, Unavailable
from infra.media.signing import UrlSigner
from infra.outage import Outage
from infra.settings import Settings

OUTAGE: Final = Outage("The media store")

CONNECT_S: Final = 1.0
READ_S: Final = 5.0  # between two bytes of an answer, also while the store writes a video to disk
CONNECTIONS: Final = 8  # kept open; more are made when that many threads want one
RETRIES: Final = urllib3.Retry(
    connect=1,
    read=1,  # a kept connection that the store has closed meanwhile; each of our calls may repeat
    redirect=0,
    status=2,
    backoff_factor=0.2,
    status_forcelist=(502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)
ONE_PART: Final = 5 * 1024**3  # bytes; S3's limit for an upload in one request


class StoredObject(NamedTuple):
    """What the store knows of an object; ``size`` in bytes."""

    key: str
    size: int
    modified: datetime


class MediaStore:
    """Objects by key in one bucket; every call raises `Unavailable` when the store cannot serve it.

    One instance may be used by many threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = settings.s3_bucket
        pool = _pool(settings, urllib3.Timeout(connect=CONNECT_S, read=READ_S), RETRIES)
        self._client = _client(settings, settings.s3_url, pool)
        signer = _client(settings, settings.media_endpoint(), pool)  # never connects
        below = signer.presigned_get_object(self._bucket, "k").partition("?")[0].removesuffix("k")
        self._signer = UrlSigner(settings, below)

    def ensure_bucket(self) -> None:
        """Make the bucket unless it exists."""
        with _answered():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":  # another process was faster
                    raise

    def reachable(self, timeout: float) -> bool:
        """Whether the bucket answers within `timeout` seconds."""
        return not self.trouble(timeout)

    def trouble(self, timeout: float) -> str:
        """Why the bucket cannot be used, as the store says it; "" when it can be."""
        pool = _pool(self._settings, urllib3.Timeout(total=timeout), urllib3.Retry(0))
        client = _client(self._settings, self._settings.s3_url, pool)
        try:
            if not client.bucket_exists(self._bucket):
                return f"there is no bucket {self._bucket}"
        except (HTTPError, MinioException) as error:
            return _in_words(client, self._bucket, error)
        return ""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store the bytes whole or not at all, in place of what the key held."""
        with _answered():
            self._client.put_object(
                self._bucket,
                key,
                io.BytesIO(data),
                len(data),
                content_type=content_type,
                part_size=ONE_PART,
            )

    def get(self, key: str) -> bytes:
        """The object's bytes; raises `NotFound`."""
        with _answered():
            response = self._client.get_object(self._bucket, key)
            try:
                return response.data
            finally:
                response.release_conn()

    def stat(self, key: str) -> StoredObject:
        """The object's size and time without its bytes; raises `NotFound`."""
        with _answered():
            return _stored(self._client.stat_object(self._bucket, key))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        """Copy within the store, in place of what the target held; raises `NotFound`."""
        with _answered():
            self._client.copy_object(self._bucket, target, CopySource(self._bucket, source))

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        with contextlib.suppress(NotFound), _answered():
            self._client.remove_object(self._bucket, key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys begin so, in the order of their keys."""
        with _answered():
            for found in self._client.list_objects(self._bucket, prefix, recursive=True):
                yield _stored(found)

    def url(self, key: str) -> str:
        """Where a client fetches the object: signed and expiring, or below the public base URL."""
        if self._settings.media_base_url:
            return f"{self._settings.media_base_url}/{quote(key)}"
        return self._signer.url(key, int(time.time()))


def _client(settings: Settings, endpoint: str, pool: urllib3.PoolManager) -> Minio:
    # With the region given, the client never asks the server for it.
    address = urlsplit(endpoint)
    return Minio(
        address.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        secure=address.scheme == "https",
        region=settings.s3_region,
        http_client=pool,
    )


def _pool(
    settings: Settings, timeout: urllib3.Timeout, retries: urllib3.Retry
) -> urllib3.PoolManager:
    return _Pool(
        timeout=timeout,
        retries=retries,
        maxsize=CONNECTIONS,
        cert_reqs="CERT_REQUIRED",
        ca_certs=settings.s3_ca_file or None,  # None means those that the system trusts
    )


class _Pool(urllib3.PoolManager):
    """Calls XML what the minio client calls it; rclone's `text/xml` is the same by RFC 7303."""

    def urlopen(  # type: ignore[override]  # as in urllib3's own
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        response = super().urlopen(method, url, redirect, **options)
        if response.headers.get("content-type", "").startswith("text/xml"):
            response.headers["content-type"] = "application/xml"
        return response


def _stored(found: Object) -> StoredObject:
    assert found.object_name is not None
    assert found.size is not None
    assert found.last_modified is not None
    return StoredObject(found.object_name, found.size, found.last_modified)


def _in_words(client: Minio, bucket: str, error: Exception) -> str:
    """What the store, or the way to it, says of the question whether the bucket is there."""
    if isinstance(error, S3Error):
        try:  # that answer has no body; the one to this has, and says why
            next(client.list_objects(bucket, prefix="~"), None)
        except S3Error as full:
            return f"{full.code}: {full.message}"
        except (HTTPError, MinioException):
            pass
        return f"{error.code}: {error.message}"
    return str(error.reason or error) if isinstance(error, MaxRetryError) else str(error)


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Turn what the store refuses, or that it does not answer, into errors of ours."""
    try:
        yield
    except S3Error as error:
        if error.code == "NoSuchKey":
            raise NotFound("there is no such object in the media store") from error
        raise _away("refuses", f"{error.code}: {error.message}") from error
    except MaxRetryError as error:
        raise _away("does not answer", str(error.reason or error)) from error
    except (HTTPError, MinioException) as error:
        raise _away("does not answer", str(error)) from error
    OUTAGE.over()


def _away(does: str, why: str) -> Unavailable:
    OUTAGE.away(why)
    return Unavailable(f"the media store {does}; try again in a moment", why)
