-- What keeps logins and uploads from being tried without end.

-- The code that was last sent to an address, which is known by its HMAC only. Addresses without an
-- account have a row as well, so that nobody can tell the difference.
CREATE TABLE atelier_login_codes (
    email_key  text PRIMARY KEY,
    code_hash  text NOT NULL,
    account    uuid,
    attempts   integer NOT NULL DEFAULT 0,
    sent_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX atelier_login_codes_expiry ON atelier_login_codes (expires_at);

-- How often somebody has asked in the current span of time. Losing it forgives, so it is unlogged.
CREATE UNLOGGED TABLE atelier_rate_counts (
    rule    text NOT NULL,
    asker   text NOT NULL,
    count   integer NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (rule, asker)
) WITH (fillfactor = 50);
CREATE INDEX atelier_rate_counts_end ON atelier_rate_counts (ends_at);
