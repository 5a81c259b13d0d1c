from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("batches", "0033_answers"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(fields=["status"], name="batch_by_status"),
        ),
    ]
