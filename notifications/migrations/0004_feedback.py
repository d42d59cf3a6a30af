"""What feedback needs: moves for what is heard late, who lifted a suppression and why, and indexes for the rates of bounces and complaints."""

import django.contrib.postgres.indexes
from django.db import migrations, models

# As MESSAGE_MOVES was when this was written. New: planned>delivered planned>bounced planned>complained sent>failed failed>delivered failed>bounced
# failed>complained.
MESSAGE = """
planned>claimed planned>skipped planned>delivered planned>bounced planned>complained claimed>planned claimed>skipped claimed>sent claimed>failed
claimed>unknown claimed>delivered claimed>bounced claimed>complained unknown>sent unknown>delivered unknown>bounced unknown>complained unknown>failed
sent>failed sent>delivered sent>bounced sent>complained delivered>bounced delivered>complained bounced>complained failed>planned failed>delivered
failed>bounced failed>complained
"""
BEFORE = """
planned>claimed planned>skipped claimed>planned claimed>skipped claimed>sent claimed>failed claimed>unknown claimed>delivered claimed>bounced
claimed>complained unknown>sent unknown>delivered unknown>bounced unknown>complained unknown>failed sent>delivered sent>bounced sent>complained
delivered>bounced delivered>complained bounced>complained failed>planned
"""


def guard(moves: str) -> str:
    allowed = ", ".join(f"'{move}'" for move in moves.split())
    return f"""
CREATE OR REPLACE FUNCTION notifications_message_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN ({allowed}) THEN
        RAISE EXCEPTION 'notifications_message % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_campaigns_guards")]

    operations = [
        migrations.AddField("sendingaccount", "judged_from", models.DateTimeField(null=True)),
        migrations.AddField("suppression", "added_by", models.CharField(blank=True, max_length=150)),
        migrations.AddField("suppression", "lift_reason", models.CharField(blank=True, max_length=200)),
        migrations.AddIndex(
            "message", django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=["sent_at"], name="message_sent", pages_per_range=32)
        ),
        migrations.AddIndex(
            "messageevent", models.Index(condition=models.Q(kind__in=["bounce", "complaint"]), fields=["kind", "at"], name="message_event_bad")
        ),
        migrations.RunSQL(guard(MESSAGE), guard(BEFORE)),
    ]
