"""Use answers to equal requests again.

Existing batches send every prompt, and their answers are not used again.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0025_pilot'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='KeptAnswer',
            fields=[
                ('digest', models.BinaryField(max_length=16, primary_key=True, serialize=False)),
                ('prompt_id', models.BigIntegerField()),
                ('done_at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='batch',
            name='reuse',
            field=models.CharField(choices=[('off', 'off'), ('batch', 'batch'), ('owner', 'owner')], db_default='off', default='off', max_length=8),
        ),
        migrations.AddField(
            model_name='batch',
            name='reused',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='batch',
            name='saved_input_tokens',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='batch',
            name='saved_output_tokens',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='prompt',
            name='digest',
            field=models.BinaryField(max_length=16, null=True),
        ),
        migrations.AddField(
            model_name='result',
            name='source',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name='prompt',
            index=models.Index(condition=models.Q(('digest__isnull', False)), fields=['batch', 'digest', 'index'], name='prompt_equal'),
        ),
        migrations.AddConstraint(
            model_name='batch',
            constraint=models.CheckConstraint(condition=models.Q(('reuse__in', ['off', 'batch', 'owner'])), name='batch_reuse_known'),
        ),
        migrations.AddField(
            model_name='keptanswer',
            name='owner',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='keptanswer',
            index=models.Index(fields=['owner', 'done_at'], name='answer_of_owner'),
        ),
    ]
