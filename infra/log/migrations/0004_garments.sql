-- The newest event that is of no account, hence of a garment: what a read of the wardrobe waits for.
CREATE INDEX atelier_events_of_nobody ON atelier_events (position) WHERE account IS NULL;
