"""Send prompts that begin alike together. Existing batches keep the order of their input."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('batches', '0028_pilot_by'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='order',
            field=models.CharField(choices=[('input', 'input'), ('prefix', 'prefix')], db_default='input', default='input', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='batch',
            constraint=models.CheckConstraint(condition=models.Q(('order__in', ['input', 'prefix'])), name='batch_order_known'),
        ),
    ]
