-- The event log: the only truth. One log, one Postgres primary.

-- The head row gives out positions and is the lock that keeps them without gaps and in commit order.
CREATE TABLE atelier_head (
    single      boolean PRIMARY KEY DEFAULT true CHECK (single),
    log_id      uuid NOT NULL DEFAULT gen_random_uuid(),
    position    bigint NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
INSERT INTO atelier_head DEFAULT VALUES;

CREATE TABLE atelier_events (
    position          bigint NOT NULL,
    event_id          uuid NOT NULL,
    type              text NOT NULL,
    aggregate_id      uuid NOT NULL,
    aggregate_version integer NOT NULL CHECK (aggregate_version > 0),
    recorded_at       timestamptz NOT NULL,
    actor             text NOT NULL,
    account           uuid,
    correlation_id    uuid NOT NULL,
    causation_id      uuid,
    state             text NOT NULL
        CONSTRAINT atelier_events_state_size CHECK (octet_length(state) <= 262144),
    CONSTRAINT atelier_events_position PRIMARY KEY (position),
    CONSTRAINT atelier_events_version UNIQUE (aggregate_id, aggregate_version),
    CONSTRAINT atelier_events_event_id UNIQUE (event_id)
);
-- The newest event of one account: what a read of one's own writes waits for.
CREATE INDEX atelier_events_account ON atelier_events (account, position);

CREATE FUNCTION atelier_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log only grows: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER atelier_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON atelier_events
    FOR EACH STATEMENT EXECUTE FUNCTION atelier_refuse();

-- What only one owner may hold: an email, a place among the unfinished tasks.
CREATE TABLE atelier_reservations (
    scope text NOT NULL,
    key   text NOT NULL,
    owner uuid NOT NULL,
    CONSTRAINT atelier_reservations_key PRIMARY KEY (scope, key)
);
CREATE INDEX atelier_reservations_owner ON atelier_reservations (scope, owner);

-- Data keys of accounts, wrapped by a key from the settings; deleting a row erases the person.
CREATE TABLE atelier_keys (
    account uuid PRIMARY KEY,
    wrapped bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE atelier_account_numbers AS integer;

-- Appends a batch of saves. Each save is a run of events that is stored whole or not at all.
-- The arrays e_* have one member per event (e_save: the number of its save, from 1, ascending);
-- the arrays g_* one per guard: g_kind is 'release', 'take' or 'at_most' (g_limit reservations of
-- g_owner in g_scope). Guards are applied in that order.
-- It answers one row (save 0, 'appended', the position of the batch's last event) when every save
-- was stored; otherwise one row per save: 'appended' or 'stored' (the same event ids were there
-- already) with the save's last position, or 'version', 'reserved', 'limit' or 'refused' with the
-- reason. The insert is tried for all at once and the culprits are looked for only when it fails.
CREATE FUNCTION atelier_append(
    e_save integer[], e_id uuid[], e_type text[], e_aggregate uuid[], e_version integer[],
    e_actor text[], e_account uuid[], e_correlation uuid[], e_causation uuid[], e_state text[],
    g_save integer[], g_kind text[], g_scope text[], g_key text[], g_owner uuid[], g_limit integer[]
) RETURNS TABLE (save integer, outcome text, last_position bigint, reason text)
LANGUAGE plpgsql
-- Without these PL/pgSQL plans anew at every call or picks a scan: five times slower.
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    head  atelier_head;
    stamp timestamptz;
    named text;
    found_at bigint;
BEGIN
    SELECT * INTO STRICT head FROM atelier_head FOR UPDATE;
    stamp := greatest(clock_timestamp(), head.recorded_at);
    BEGIN
        PERFORM atelier_append_run(head.position, stamp, 0,
            e_save, e_id, e_type, e_aggregate, e_version, e_actor, e_account, e_correlation,
            e_causation, e_state, g_save, g_kind, g_scope, g_key, g_owner, g_limit);
        UPDATE atelier_head
           SET position = head.position + cardinality(e_id), recorded_at = stamp;
        save := 0; outcome := 'appended'; last_position := head.position + cardinality(e_id);
        RETURN NEXT;
        RETURN;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception OR raise_exception THEN
        NULL; -- one save or more is at fault: each by itself below
    END;

    FOR save IN SELECT DISTINCT s FROM unnest(e_save) AS s ORDER BY s LOOP
        reason := NULL; last_position := NULL;
        SELECT max(l.position) INTO found_at
          FROM unnest(e_save, e_id) AS n (s, id) JOIN atelier_events l ON l.event_id = n.id
         WHERE n.s = save
        HAVING count(*) = (SELECT count(*) FROM unnest(e_save) AS s WHERE s = save);
        IF found_at IS NOT NULL THEN
            outcome := 'stored'; last_position := found_at;
            RETURN NEXT; CONTINUE;
        END IF;
        BEGIN
            head.position := atelier_append_run(head.position, stamp, save,
                e_save, e_id, e_type, e_aggregate, e_version, e_actor, e_account, e_correlation,
                e_causation, e_state, g_save, g_kind, g_scope, g_key, g_owner, g_limit);
            outcome := 'appended'; last_position := head.position;
        EXCEPTION
            WHEN unique_violation THEN
                GET STACKED DIAGNOSTICS named = CONSTRAINT_NAME, reason = PG_EXCEPTION_DETAIL;
                outcome := CASE named WHEN 'atelier_reservations_key' THEN 'reserved'
                                      ELSE 'version' END;
            WHEN integrity_constraint_violation OR data_exception THEN
                outcome := 'refused'; reason := SQLERRM;
            WHEN raise_exception THEN
                outcome := 'limit'; reason := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
    UPDATE atelier_head SET position = head.position, recorded_at = stamp;
END $$;

-- Applies the guards and inserts the events of one save (0: of all) after a position, and gives the
-- last position. Any violation is raised.
CREATE FUNCTION atelier_append_run(
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
