-- What stops the relay, in words; empty while it relays.
ALTER TABLE atelier_relay ADD COLUMN trouble text NOT NULL DEFAULT '';
