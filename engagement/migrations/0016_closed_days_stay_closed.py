"""The day before which raw events are closed never goes back, whoever saves an organisation that he read a moment ago."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION engagement_closed_days_stay_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.raw_closed_before := greatest(OLD.raw_closed_before, NEW.raw_closed_before);
    RETURN NEW;
END $$;
CREATE TRIGGER closed_days_stay_closed BEFORE UPDATE ON engagement_organisation
    FOR EACH ROW WHEN (OLD.raw_closed_before IS DISTINCT FROM NEW.raw_closed_before) EXECUTE FUNCTION engagement_closed_days_stay_closed();
"""
BACK = "DROP TRIGGER closed_days_stay_closed ON engagement_organisation; DROP FUNCTION engagement_closed_days_stay_closed"


class Migration(migrations.Migration):
    dependencies = [("engagement", "0015_refusals")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
