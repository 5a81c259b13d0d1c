"""Count the bytes of the output file when results are stored.

The columns of existing batches are null: their output is read once more when they end.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('batches', '0021_dashboard'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='output_bytes',
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='output_format',
            field=models.PositiveSmallIntegerField(null=True),
        ),
    ]
