from django.db import migrations, models

from batches.models.file import file_storage


class Migration(migrations.Migration):
    dependencies = [
        ("batches", "0034_work"),
    ]

    operations = [
        migrations.AlterField(
            model_name="file",
            name="content",
            field=models.FileField(
                blank=True, max_length=255, storage=file_storage, upload_to="%Y/%m"
            ),
        ),
        migrations.AlterField(
            model_name="uploadpart",
            name="content",
            field=models.FileField(
                max_length=255, storage=file_storage, upload_to="parts/%Y/%m"
            ),
        ),
    ]
