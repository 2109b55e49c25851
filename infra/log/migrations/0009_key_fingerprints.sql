-- Under which keys the database was filled: no key, but enough to refuse another one.
CREATE TABLE atelier_key_fingerprints (
    name        text PRIMARY KEY,
    fingerprint text NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now()
);
