"""Ask stronger models if the answers of cheaper ones fail.

Existing batches have no stronger models, and their results were asked of one model.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0029_order'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='escalate',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='result',
            name='escalation',
            field=models.TextField(null=True),
        ),
    ]
