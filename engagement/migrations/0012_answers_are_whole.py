"""An answer is stored with what was done, in one commit: a row without one is never seen. As text, so that it is sent again as it was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("engagement", "0011_profiles_changed")]

    operations = [
        migrations.AlterField("idempotentanswer", "answer", models.TextField()),
        migrations.AlterField("idempotentanswer", "status", models.SmallIntegerField()),
    ]
