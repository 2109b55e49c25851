-- A generation of a read model is filled (building) before it is kept up with the log (ready) and may
-- serve (live). What was live before is the one to go back to.
ALTER TABLE atelier_projections
    ADD COLUMN state text NOT NULL DEFAULT 'ready' CHECK (state IN ('building', 'ready')),
    ADD COLUMN made_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN live_since timestamptz,
    ADD COLUMN accepted integer NOT NULL DEFAULT 0;
UPDATE atelier_projections SET live_since = now() WHERE live;
COMMENT ON COLUMN atelier_projections.accepted IS
    'How many rows differed from those of the generation before when this one began to serve.';
