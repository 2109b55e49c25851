"""One-time codes for logging in: kept as hashes, valid for minutes, and for a few attempts."""

import hashlib
import hmac
import secrets
from typing import Final, LiteralString
from uuid import UUID

from infra.postgres import Pool, borrowed

DIGITS: Final = 8
LIFETIME_S: Final = 600
SENT_AGAIN_AFTER_S: Final = 60  # so that nobody's mailbox is filled
MOST_ATTEMPTS: Final = 5

ISSUE: LiteralString = """-- Keep a new code, unless one was sent just now.
WITH old AS (
    DELETE FROM atelier_login_codes WHERE ctid IN (
        SELECT ctid FROM atelier_login_codes
         WHERE expires_at < now() AND email_key <> %(email_key)s
         ORDER BY expires_at LIMIT 8 FOR UPDATE SKIP LOCKED)
)
INSERT INTO atelier_login_codes AS c (email_key, code_hash, account, sent_at, expires_at)
VALUES (%(email_key)s, %(code_hash)s, %(account)s, now(), now() + make_interval(secs => %(life)s))
ON CONFLICT (email_key) DO UPDATE
   SET code_hash = excluded.code_hash, account = excluded.account, attempts = 0,
       sent_at = excluded.sent_at, expires_at = excluded.expires_at
 WHERE c.sent_at < now() - make_interval(secs => %(pause)s)
RETURNING true"""

ATTEMPT: LiteralString = """-- Count an attempt, and what would be right.
UPDATE atelier_login_codes SET attempts = attempts + 1
 WHERE email_key = %(email_key)s AND expires_at > now() AND attempts < %(most)s
RETURNING code_hash"""

SPEND: LiteralString = """-- A code is good for one login; of two at once, one has it.
DELETE FROM atelier_login_codes WHERE email_key = %(email_key)s AND code_hash = %(code_hash)s
RETURNING account"""


class LoginCodes:
    """The codes that were sent; addresses and codes are known to the database as HMACs only."""

    def __init__(self, pool: Pool, secret: bytes) -> None:
        self._pool = pool
        self._secret = secret

    def issue(self, email_key: str, account: UUID | None) -> str | None:
        """A code to send to the address, or None when one was sent less than a minute ago.

        Addresses that no account has are given one, too, which nobody gets to know: this way
        known and unknown ones differ neither in time nor in answer.
        """
        code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        kept = {
            "email_key": email_key,
            "code_hash": self._hash(email_key, code),
            "account": account,
            "life": LIFETIME_S,
            "pause": SENT_AGAIN_AFTER_S,
        }
        with borrowed(self._pool) as connection:
            return code if connection.execute(ISSUE, kept).fetchone() else None

    def redeem(self, email_key: str, code: str) -> UUID | None:
        """Whose login the code is, once; None for anything wrong, which counts as an attempt."""
        given = {"email_key": email_key, "code_hash": self._hash(email_key, code)}
        with borrowed(self._pool) as connection:
            row = connection.execute(ATTEMPT, given | {"most": MOST_ATTEMPTS}).fetchone()
            right = row[0] if row else ""
            if not hmac.compare_digest(right.encode(), given["code_hash"].encode()):
                return None
            spent = connection.execute(SPEND, given).fetchone()
        return spent[0] if spent else None

    def _hash(self, email_key: str, code: str) -> str:
        digits = "".join(code.split())  # however it was copied
        return hmac.new(
            self._secret, f"login-code:{email_key}:{digits}".encode(), hashlib.sha256
        ).hexdigest()
