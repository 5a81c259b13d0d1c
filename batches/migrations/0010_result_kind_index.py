from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0009_worker'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='result',
            index=models.Index(condition=models.Q(('status', 'failed')), fields=['batch', 'kind', 'index'], name='result_failed_of_kind'),
        ),
    ]
