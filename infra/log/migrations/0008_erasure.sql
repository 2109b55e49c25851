-- Erasing a person: one event, and the database forgets them in its very transaction. What takes
-- longer (media, rows of read models, tasks under way) follows from the event.

CREATE FUNCTION atelier_erase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM atelier_keys WHERE account = NEW.account;
    DELETE FROM atelier_reservations
     WHERE scope IN ('email', 'unfinished_task') AND owner = NEW.account;
    DELETE FROM atelier_login_codes WHERE account = NEW.account;
    PERFORM pg_notify('atelier_erased', NEW.account::text); -- erasures are rare: no load on appends
    RETURN NULL;
END $$;
CREATE TRIGGER atelier_events_erased AFTER INSERT ON atelier_events
    FOR EACH ROW WHEN (NEW.type = 'account.erased.v1') EXECUTE FUNCTION atelier_erase();

-- Who has been erased of late?
CREATE INDEX atelier_events_erasures ON atelier_events (recorded_at)
 WHERE type = 'account.erased.v1';

-- What deletes media follows the log from here on, so that no erasure comes before its first look.
INSERT INTO atelier_followers (follower, position)
SELECT 'media_cleaner', position FROM atelier_head ON CONFLICT DO NOTHING;
