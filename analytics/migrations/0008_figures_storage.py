from django.db import migrations

# A report over a year reads the narrow columns of thousands of days, and few of the wide ones: those lie out of line, and as they are,
# because bitmaps and small integers are packed already. Marks live for seconds. What is stored already is marked, once.
_WIDE = (
    "classes", "hours", "members", "passed", "class_sets", "firsts", "dwells", "dwell_hours", "dwell_shoppers", "presence", "activity", "flows",
)  # fmt: skip
_COUNTS = ("digest", "visits", "visitors", "pass_bys", "dwell_us")
_EXTERNAL = ", ".join(f"ALTER COLUMN {name} SET STORAGE EXTERNAL, ALTER COLUMN {name} SET DEFAULT ''" for name in _WIDE)
_DEFAULTS = ", ".join(f"ALTER COLUMN {name} SET DEFAULT 0" for name in _COUNTS)
FORWARD = f"""
ALTER TABLE analytics_zoneday {_EXTERNAL}, {_DEFAULTS};
ALTER TABLE analytics_zoneday SET (toast_tuple_target = 128, fillfactor = 90);
ALTER TABLE analytics_mark SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0,
                                autovacuum_analyze_threshold = 20000);
INSERT INTO analytics_mark (zone_id, hour) SELECT DISTINCT zone_id, floor(extract(epoch FROM started) / 3600)::int FROM analytics_stay;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0007_figures")]
    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
