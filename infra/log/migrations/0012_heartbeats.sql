-- When whoever keeps a read model last looked at the log. Who hangs still has its lock and, while
-- nothing happens, lacks no event: only this tells. Losing the table does no harm.
CREATE UNLOGGED TABLE atelier_heartbeats (
    projection text PRIMARY KEY,
    beat_at    timestamptz NOT NULL
) WITH (fillfactor = 50);
