from decimal import Decimal
from typing import Any

from django.db import migrations, models

KINDS = (
    *("rejected", "auth", "quota", "rate", "overload", "server", "network", "timeout"),
    *("malformed", "request", "config", "internal", "refusal", "truncated", "filtered", "empty"),
    *("not_json", "schema_violation", "cancelled", "expired", "worker_crashed", "unstorable"),
)
MAX_COST = Decimal(99_999_999)
MAX_SUM = 10**15
SUMS = ("calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def bound_sums(apps: Any, schema_editor: Any) -> None:
    """Bring sums back within their bounds: SQLite stored larger ones and cannot read them."""
    batches = apps.get_model("batches", "Batch").objects.using(schema_editor.connection.alias)
    batches.filter(cost__gt=MAX_COST).update(cost=MAX_COST)
    for name in SUMS:
        batches.filter(**{f"{name}__gt": MAX_SUM}).update(**{name: MAX_SUM})


class Migration(migrations.Migration):
    dependencies = [("batches", "0013_provider_ways_out")]

    operations = [
        migrations.AlterField(
            model_name="result",
            name="kind",
            field=models.CharField(
                blank=True, choices=[(kind, kind) for kind in KINDS], max_length=32
            ),
        ),
        migrations.RunPython(bound_sums, migrations.RunPython.noop),
    ]
