import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0008_figures_storage"),
        ("engagement", "0007_figures"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrialSlice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("shoppers", models.BinaryField()),
                ("found", models.JSONField(null=True)),
                ("present_dwells", models.BinaryField(default=bytes)),
                ("tried_dwells", models.BinaryField(default=bytes)),
            ],
        ),
        migrations.RemoveField(
            model_name="trial",
            name="cursor",
        ),
        migrations.AddField(
            model_name="recut",
            name="done",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="recut",
            name="of",
            field=models.IntegerField(null=True),
        ),
        migrations.AddField(
            model_name="trial",
            name="asked_by",
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name="trial",
            name="attempts",
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="trial",
            name="present",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="trial",
            name="saved_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="trial",
            name="saved_by",
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddIndex(
            model_name="trial",
            index=models.Index(condition=models.Q(("finished_at", None)), fields=["done", "id"], name="trial_unfinished"),
        ),
        migrations.AddField(
            model_name="trialslice",
            name="trial",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="slices", to="analytics.trial"),
        ),
    ]
