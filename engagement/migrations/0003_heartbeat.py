from django.db import migrations, models

FORWARD = """
-- A few rows, each updated every few seconds: room on the page keeps them where they are.
ALTER TABLE engagement_heartbeat SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
"""


class Migration(migrations.Migration):
    dependencies = [("engagement", "0002_event")]
    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
    ]
