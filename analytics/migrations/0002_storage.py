from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_initial")]
    operations = [migrations.RunSQL("ALTER TABLE analytics_stay SET (fillfactor = 75)", migrations.RunSQL.noop)]
