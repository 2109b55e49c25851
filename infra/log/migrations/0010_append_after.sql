-- Appends as atelier_append does, for a writer that has seen an event: where the log does not hold
-- it any more (Postgres was restored, or is another one), nothing is stored, or two pasts would mix.
CREATE FUNCTION atelier_append_after(
    seen bigint, seen_id uuid,
    e_save integer[], e_id uuid[], e_type text[], e_aggregate uuid[], e_version integer[],
    e_actor text[], e_account uuid[], e_correlation uuid[], e_causation uuid[], e_state text[],
    g_save integer[], g_kind text[], g_scope text[], g_key text[], g_owner uuid[], g_limit integer[]
) RETURNS TABLE (save integer, outcome text, last_position bigint, reason text)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM atelier_head FOR UPDATE;
    IF seen > 0 AND NOT EXISTS (
        SELECT FROM atelier_events e WHERE e.position = seen AND e.event_id = seen_id
    ) THEN
        RAISE EXCEPTION 'the log does not hold event % at position %', seen_id, seen
            USING ERRCODE = 'AT001';
    END IF;
    RETURN QUERY SELECT a.save, a.outcome, a.last_position, a.reason FROM atelier_append(
        e_save, e_id, e_type, e_aggregate, e_version, e_actor, e_account, e_correlation,
        e_causation, e_state, g_save, g_kind, g_scope, g_key, g_owner, g_limit) a;
END $$;
