"""A finished campaign sends again what failed, when somebody releases it."""

from django.db import migrations

NOW = """draft>scheduled draft>sending draft>cancelled scheduled>draft scheduled>sending scheduled>paused scheduled>cancelled
sending>paused sending>scheduled sending>finished sending>cancelled paused>sending paused>scheduled paused>cancelled finished>sending"""
BEFORE = NOW.removesuffix(" finished>sending")


def guard(moves: str) -> str:
    allowed = ", ".join(f"'{move}'" for move in moves.split())
    return f"""CREATE OR REPLACE FUNCTION notifications_campaign_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN ({allowed}) THEN
        RAISE EXCEPTION 'notifications_campaign % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0004_feedback")]

    operations = [migrations.RunSQL(guard(NOW), guard(BEFORE))]
