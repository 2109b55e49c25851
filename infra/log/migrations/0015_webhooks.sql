-- What is to be told of tasks that have ended, one row for each task with a webhook. The address
-- stays in the log, sealed. Losing this table loses webhooks that have not been sent.
CREATE TABLE atelier_webhooks (
    task     uuid PRIMARY KEY,
    account  uuid NOT NULL,
    state    text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'given_up')),
    ended_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at  timestamptz NOT NULL DEFAULT now(),
    until    timestamptz NOT NULL DEFAULT now() + interval '1 day', -- the last attempt
    tried_at timestamptz,
    status   integer, -- what was answered last
    error    text NOT NULL DEFAULT '' -- or why there was no answer
);
CREATE INDEX atelier_webhooks_due ON atelier_webhooks (next_at) WHERE state = 'pending';
CREATE INDEX atelier_webhooks_unsent ON atelier_webhooks (state, ended_at) WHERE state <> 'sent';
CREATE INDEX atelier_webhooks_account ON atelier_webhooks (account);
CREATE INDEX atelier_webhooks_newest ON atelier_webhooks (ended_at);

-- Who sends them follows the log from here on.
INSERT INTO atelier_followers (follower, position)
SELECT 'webhooks', position FROM atelier_head ON CONFLICT DO NOTHING;
