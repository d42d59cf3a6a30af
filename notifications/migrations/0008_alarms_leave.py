"""Alarms live in operations now, which evaluates them anew."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("notifications", "0007_campaign_paused_itself")]
    operations = [migrations.DeleteModel("AlarmEvent"), migrations.DeleteModel("Alarm")]
