"""What the database itself holds: the tables of moves, that an erased shopper is forgotten here too, and which transaction wrote a row last."""

from django.db import migrations

# As CAMPAIGN_MOVES and MESSAGE_MOVES were when this was written; a test compares them with what the triggers allow.
CAMPAIGN = """
draft>scheduled draft>sending draft>cancelled scheduled>draft scheduled>sending scheduled>paused scheduled>cancelled
sending>paused sending>scheduled sending>finished sending>cancelled paused>sending paused>scheduled paused>cancelled
"""
MESSAGE = """
planned>claimed planned>skipped claimed>planned claimed>skipped claimed>sent claimed>failed claimed>unknown claimed>delivered claimed>bounced
claimed>complained unknown>sent unknown>delivered unknown>bounced unknown>complained unknown>failed sent>delivered sent>bounced sent>complained
delivered>bounced delivered>complained bounced>complained failed>planned
"""


def guard(table: str, moves: str) -> str:
    allowed = ", ".join(f"'{move}'" for move in moves.split())
    return f"""
CREATE FUNCTION {table}_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN ({allowed}) THEN
        RAISE EXCEPTION '{table} % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER moves BEFORE UPDATE OF state ON {table} FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION {table}_moves();
"""


# An erasure deletes the shopper and his profile, in its one transaction, and knows nothing of this app. His messages stay as numbers without a
# person, so that a campaign's sums still add up.
FORGET = """
CREATE FUNCTION notifications_forget_shopper() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notifications_messageevent e USING notifications_message m WHERE m.shopper_id = OLD.id AND e.message_id = m.id AND e.kind IN ('open', 'click');
    UPDATE notifications_message SET shopper_id = -id, updated_at = clock_timestamp(), provider_id = '',
           reason = CASE state WHEN 'planned' THEN 'erased' ELSE reason END, state = CASE state WHEN 'planned' THEN 'skipped' ELSE state END
     WHERE shopper_id = OLD.id;
    DELETE FROM notifications_preference WHERE shopper_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget AFTER DELETE ON engagement_shopper FOR EACH ROW EXECUTE FUNCTION notifications_forget_shopper();
CREATE FUNCTION notifications_forget_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM notifications_suppression s WHERE s.organisation_id = OLD.organisation_id AND s.address = lower(OLD.email) AND NOT EXISTS (
        SELECT 1 FROM engagement_profile p WHERE p.organisation_id = OLD.organisation_id AND lower(p.email) = s.address AND p.email <> '');
    RETURN NULL;
END $$;
CREATE TRIGGER forget AFTER DELETE ON engagement_profile FOR EACH ROW WHEN (OLD.email <> '') EXECUTE FUNCTION notifications_forget_profile();
"""

NOTED = ("notifications_suppression", "notifications_preference")
NOTE = "".join(f"CREATE TRIGGER note_change BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION atrium_note_change();\n" for table in NOTED)

BACK = """
DROP TRIGGER moves ON notifications_campaign; DROP FUNCTION notifications_campaign_moves();
DROP TRIGGER moves ON notifications_message; DROP FUNCTION notifications_message_moves();
DROP TRIGGER forget ON engagement_shopper; DROP FUNCTION notifications_forget_shopper();
DROP TRIGGER forget ON engagement_profile; DROP FUNCTION notifications_forget_profile();
DROP TRIGGER note_change ON notifications_suppression; DROP TRIGGER note_change ON notifications_preference;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_campaigns"), ("engagement", "0011_profiles_changed")]

    operations = [migrations.RunSQL(guard("notifications_campaign", CAMPAIGN) + guard("notifications_message", MESSAGE) + FORGET + NOTE, BACK)]
