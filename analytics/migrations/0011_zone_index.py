"""When the stored days of a zone last became others: whoever keeps their list in memory asks for this alone."""

from django.db import migrations, models

# The clock's microseconds and not a counter: a counter would begin again in a database that was restored or made anew, and could then
# stand for another list. The writers of a venue's days hold its lock, so nobody waits for anybody here.
FORWARD = """
CREATE FUNCTION analytics_note_zone_index() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO analytics_zoneindex (zone_id, revision)
    SELECT zone_id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM (SELECT DISTINCT zone_id FROM changed ORDER BY zone_id) z
    ON CONFLICT (zone_id) DO UPDATE SET revision = greatest(excluded.revision, analytics_zoneindex.revision + 1);
    RETURN NULL;
END $$;
CREATE FUNCTION analytics_empty_zone_index() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM analytics_zoneindex;
    RETURN NULL;
END $$;
CREATE TRIGGER index_inserted AFTER INSERT ON analytics_zoneday REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_note_zone_index();
CREATE TRIGGER index_updated AFTER UPDATE ON analytics_zoneday REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_note_zone_index();
CREATE TRIGGER index_deleted AFTER DELETE ON analytics_zoneday REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_note_zone_index();
CREATE TRIGGER index_emptied AFTER TRUNCATE ON analytics_zoneday FOR EACH STATEMENT EXECUTE FUNCTION analytics_empty_zone_index();
INSERT INTO analytics_zoneindex (zone_id, revision)
SELECT zone_id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM (SELECT DISTINCT zone_id FROM analytics_zoneday) z;
"""
BACK = """
DROP TRIGGER index_inserted ON analytics_zoneday; DROP TRIGGER index_updated ON analytics_zoneday; DROP TRIGGER index_deleted ON analytics_zoneday;
DROP TRIGGER index_emptied ON analytics_zoneday; DROP FUNCTION analytics_note_zone_index(); DROP FUNCTION analytics_empty_zone_index();
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0010_audiences")]

    operations = [
        migrations.CreateModel(
            name="ZoneIndex",
            fields=[
                ("zone_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("revision", models.BigIntegerField()),
            ],
        ),
        migrations.RunSQL(FORWARD, BACK),
    ]
