-- The pictures that a remote engine is to make, one row for each task until it has ended. The bytes
-- lie in the media store. Losing this table has the tasks wait, and then drawn on our own machines.
CREATE TABLE atelier_illustrations (
    task      uuid PRIMARY KEY,
    state     text NOT NULL DEFAULT 'wanted' CHECK (
        state IN ('wanted', 'submitting', 'submitted', 'made', 'refused', 'unusable')),
    folder    text NOT NULL, -- in the media store, of the guide and of what is made of it
    remote_id text,          -- what the engine calls the task
    tries     integer NOT NULL DEFAULT 0, -- in this state
    next_at   timestamptz NOT NULL DEFAULT now(),
    until     timestamptz NOT NULL, -- then nobody waits for it any more
    reason    text NOT NULL DEFAULT '' -- of a refusal, for the client
);
CREATE INDEX atelier_illustrations_remote ON atelier_illustrations (remote_id);
CREATE INDEX atelier_illustrations_due ON atelier_illustrations (next_at);
