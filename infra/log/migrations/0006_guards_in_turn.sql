-- A batch may take and give back the same reservation, by two of its saves: then their order counts,
-- so the batch is refused as a whole, and atelier_append does one save after the other.
CREATE OR REPLACE FUNCTION atelier_append_run(
    after bigint, stamp timestamptz, only_save integer,
    e_save integer[], e_id uuid[], e_type text[], e_aggregate uuid[], e_version integer[],
    e_actor text[], e_account uuid[], e_correlation uuid[], e_causation uuid[], e_state text[],
    g_save integer[], g_kind text[], g_scope text[], g_key text[], g_owner uuid[], g_limit integer[]
) RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    inserted bigint;
    broken text;
BEGIN
    IF cardinality(g_save) > 0 THEN
        IF only_save = 0 AND 'release' = ANY(g_kind) AND EXISTS (
            SELECT FROM unnest(g_kind, g_scope, g_key) AS g (kind, scope, key)
             WHERE g.kind IN ('take', 'release')
             GROUP BY g.scope, g.key HAVING count(DISTINCT g.kind) > 1
        ) THEN
            RAISE EXCEPTION 'a reservation is both taken and released';
        END IF;
        DELETE FROM atelier_reservations r
         USING unnest(g_save, g_kind, g_scope, g_key, g_owner) AS g (s, kind, scope, key, owner)
         WHERE g.kind = 'release' AND (only_save = 0 OR g.s = only_save)
           AND r.scope = g.scope AND r.key = g.key AND r.owner = g.owner;
        INSERT INTO atelier_reservations (scope, key, owner)
        SELECT g.scope, g.key, g.owner
          FROM unnest(g_save, g_kind, g_scope, g_key, g_owner) AS g (s, kind, scope, key, owner)
         WHERE g.kind = 'take' AND (only_save = 0 OR g.s = only_save);
        SELECT g.scope INTO broken
          FROM unnest(g_save, g_kind, g_scope, g_owner, g_limit) AS g (s, kind, scope, owner, most)
         WHERE g.kind = 'at_most' AND (only_save = 0 OR g.s = only_save)
           AND (SELECT count(*) FROM atelier_reservations r
                 WHERE r.scope = g.scope AND r.owner = g.owner) > g.most
         LIMIT 1;
        IF broken IS NOT NULL THEN
            RAISE EXCEPTION 'too many reservations in scope %', broken;
        END IF;
    END IF;
    INSERT INTO atelier_events (position, event_id, type, aggregate_id, aggregate_version,
                                recorded_at, actor, account, correlation_id, causation_id, state)
    SELECT after + row_number() OVER (ORDER BY e.n), e.id, e.type, e.aggregate, e.version,
           stamp, e.actor, e.account, e.correlation, e.causation, e.state
      FROM unnest(e_save, e_id, e_type, e_aggregate, e_version, e_actor, e_account,
                  e_correlation, e_causation, e_state) WITH ORDINALITY
           AS e (s, id, type, aggregate, version, actor, account, correlation, causation, state, n)
     WHERE only_save = 0 OR e.s = only_save
     ORDER BY e.n;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN after + inserted;
END $$;
