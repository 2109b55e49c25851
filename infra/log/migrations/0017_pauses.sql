-- Lanes of the queue from which an operator has told the consumers to claim nothing: a switch, and
-- no fact about any task. Losing this table means that nothing is paused.
CREATE TABLE atelier_pauses (
    lane      text PRIMARY KEY CHECK (lane IN ('vip', 'normal')),
    paused_by text NOT NULL,
    reason    text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now()
);
