from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0002_storage")]
    operations = [migrations.AddIndex(model_name="stay", index=models.Index(fields=["organisation", "started"], name="stay_by_time"))]
