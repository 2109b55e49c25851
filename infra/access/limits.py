"""How often somebody may ask: counts in Postgres, so that every API process sees the same ones."""

import hashlib
import hmac
import math
from typing import ClassVar, Final, LiteralString, NamedTuple

from domain.errors import AtelierError
from infra.postgres import Pool, borrowed

SPAN_S: Final = 60

COUNT: LiteralString = """-- Count an asker in; how many is that in the span of time?
WITH old AS (
    DELETE FROM atelier_rate_counts WHERE ctid IN (
        SELECT ctid FROM atelier_rate_counts
         WHERE ends_at < now() AND (rule, asker) <> (%(rule)s, %(asker)s)
         ORDER BY ends_at LIMIT 8 FOR UPDATE SKIP LOCKED)
)
INSERT INTO atelier_rate_counts AS c (rule, asker, count, ends_at)
VALUES (%(rule)s, %(asker)s, 1, now() + make_interval(secs => %(span)s))
ON CONFLICT (rule, asker) DO UPDATE
   SET count = CASE WHEN c.ends_at < now() THEN 1 ELSE c.count + 1 END,
       ends_at = CASE WHEN c.ends_at < now() THEN excluded.ends_at ELSE c.ends_at END
RETURNING count, extract(epoch FROM ends_at - now())::float8"""


class Quota(NamedTuple):
    """How many requests of a span an asker has left, and the seconds until the next span."""

    limit: int
    remaining: int
    reset: int


class TooManyRequests(AtelierError):
    """The asker has asked too often; ``quota`` says when they may again."""

    code: ClassVar[str] = "too_many_requests"

    def __init__(self, quota: Quota) -> None:
        super().__init__(f"too many requests; try again in {quota.reset} seconds")
        self.quota = quota


class Limits:
    """Counts askers, whom the database knows by an HMAC only."""

    def __init__(self, pool: Pool, secret: bytes) -> None:
        self._pool = pool
        self._secret = secret

    def count(self, rule: str, asker: str, limit: int) -> Quota:
        """Count one request in; raises `TooManyRequests` over the limit, which counts as well."""
        hidden = hmac.new(self._secret, f"{rule}:{asker}".encode(), hashlib.sha256).hexdigest()
        with borrowed(self._pool) as connection:
            row = connection.execute(
                COUNT, {"rule": rule, "asker": hidden, "span": SPAN_S}
            ).fetchone()
        assert row is not None
        count, seconds = row
        quota = Quota(limit, max(0, limit - count), max(1, math.ceil(seconds)))
        if count > limit:
            raise TooManyRequests(quota)
        return quota
