from typing import Any

from django.db import migrations, models
from django.db.models import Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Left


def take_models_of_defaults(apps: Any, schema_editor: Any) -> None:
    """Until now a batch had no model but that of its defaults."""
    batches = apps.get_model("batches", "Batch").objects.using(schema_editor.connection.alias)
    batches.update(model=Left(Coalesce(KT("defaults__model"), Value("")), 255))


class Migration(migrations.Migration):

    dependencies = [
        ("batches", "0014_storing"),
    ]

    operations = [
        migrations.AddField(
            model_name="batch",
            name="model",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="batch",
            name="model_count",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="schema_bytes",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="of its different large schemas together"
            ),
        ),
        migrations.RunPython(take_models_of_defaults, migrations.RunPython.noop),
    ]
