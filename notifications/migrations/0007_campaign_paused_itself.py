from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0006_consent_lifts")]

    operations = [migrations.AddField("campaign", "paused_itself", models.BooleanField(default=False))]
