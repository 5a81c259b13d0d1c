"""Read workbooks and Parquet files.

Existing batches have none.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0026_reuse'),
    ]

    operations = [
        migrations.AlterField(
            model_name='batch',
            name='input_format',
            field=models.CharField(blank=True, choices=[('jsonl', 'jsonl'), ('csv', 'csv'), ('tsv', 'tsv'), ('xlsx', 'xlsx'), ('parquet', 'parquet'), ('text', 'text')], db_default='', default='', max_length=8),
        ),
    ]
