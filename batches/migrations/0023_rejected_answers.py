"""Keep the answers that were sent back to the model.

The column of existing results is null: it is unknown what they were before.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('batches', '0022_output_bytes'),
    ]

    operations = [
        migrations.AddField(
            model_name='result',
            name='rejected',
            field=models.TextField(null=True),
        ),
    ]
