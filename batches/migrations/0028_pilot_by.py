"""Choose the rows of a pilot by the values in a column of the table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('batches', '0027_xlsx_and_parquet'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='pilot_by',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='batch',
            name='pilot_groups',
            field=models.JSONField(blank=True, null=True),
        ),
    ]
