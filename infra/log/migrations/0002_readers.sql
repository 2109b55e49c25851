-- What the readers of the log keep about themselves.

-- One row per generation of a read model; queries read the view of the live one.
CREATE TABLE atelier_projections (
    projection  text NOT NULL,
    generation  integer NOT NULL,
    live        boolean NOT NULL,
    fingerprint text NOT NULL,
    position    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (projection, generation)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX atelier_projections_live ON atelier_projections (projection) WHERE live;

-- Events that a projection could not apply, and what came after them for the same aggregate.
CREATE TABLE atelier_parked (
    projection   text NOT NULL,
    generation   integer NOT NULL,
    position     bigint NOT NULL,
    aggregate_id uuid NOT NULL,
    account      uuid,
    event_id     uuid NOT NULL,
    error        text,
    parked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, generation, position)
);
CREATE INDEX atelier_parked_aggregate ON atelier_parked (projection, generation, aggregate_id);

-- Where the relay stands, and in which topic: another topic id means a topic made anew.
CREATE TABLE atelier_relay (
    topic    text PRIMARY KEY,
    topic_id text NOT NULL,
    position bigint NOT NULL,
    epoch    bigint NOT NULL
);

-- Where followers of the log with side effects stand.
CREATE TABLE atelier_followers (
    follower text PRIMARY KEY,
    position bigint NOT NULL
);

-- Who renders what until when, by Postgres' clock. Losing this table means every lease has expired.
CREATE TABLE atelier_leases (
    task       uuid PRIMARY KEY,
    consumer   text NOT NULL,
    expires_at timestamptz NOT NULL
);
