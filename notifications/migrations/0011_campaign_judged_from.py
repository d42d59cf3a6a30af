from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0010_reasons")]

    operations = [migrations.AddField("campaign", "judged_from", models.DateTimeField(null=True))]
