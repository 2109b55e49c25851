"""URLs that an S3 server honours for a while: AWS Signature Version 4, in the query.

A page of the gallery holds up to 200 of them. The minio client takes some 100 µs for each, which is
more than the rest of the answer; what stays the same for a second is made once here.
"""

import functools
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from infra.settings import Settings

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class _Moment(NamedTuple):
    """What the URLs of one second share."""

    query: str
    scope: str
    key: bytes


class UrlSigner:
    """Signs GET URLs of the objects below a URL, which ends with a slash."""

    def __init__(self, settings: Settings, below: str) -> None:
        self._settings = settings
        parts = urlsplit(below)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._path = parts.path
        self._moment = functools.lru_cache(maxsize=2)(self._signed_at)

    def url(self, key: str, now: int) -> str:
        """The object's URL, signed at a Unix second, from which on it holds for the lifetime."""
        moment = self._moment(now)
        path = self._path + quote(key)
        request = f"GET\n{path}\n{moment.query}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        hashed = hashlib.sha256(request.encode()).hexdigest()
        signature = hmac.digest(moment.key, f"{moment.scope}\n{hashed}".encode(), "sha256").hex()
        return f"{self._origin}{path}?{moment.query}&X-Amz-Signature={signature}"

    def _signed_at(self, now: int) -> _Moment:
        stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
        steps = (stamp[:8], self._settings.s3_region, "s3", "aws4_request")
        scope = "/".join(steps)
        credential = quote(f"{self._settings.s3_access_key}/{scope}", safe="")
        query = (
            f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date={stamp}"
            f"&X-Amz-Expires={self._settings.media_url_seconds}&X-Amz-SignedHeaders=host"
        )
        key = f"AWS4{self._settings.s3_secret_key}".encode()
        for step in steps:
            key = hmac.digest(key, step.encode(), "sha256")
        return _Moment(query, f"{ALGORITHM}\n{stamp}\n{scope}", key)
