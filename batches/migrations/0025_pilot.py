"""Run a sample of a batch first, and let rules pause a batch.

Existing batches have neither: none of their chunks waits.
"""

import batches.lifecycle
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('batches', '0024_templates'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='chunk',
            name='chunk_state_known',
        ),
        migrations.AddField(
            model_name='batch',
            name='continue_when',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='pilot_rows',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='batch',
            name='stop_when',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='batch',
            name='pause_kind',
            field=models.CharField(blank=True, choices=[('auth', 'auth'), ('quota', 'quota'), ('config', 'config'), ('request', 'request'), ('away', 'away'), ('budget', 'budget'), ('unstorable', 'unstorable'), ('staff', 'staff'), ('pilot', 'pilot'), ('rule', 'rule')], db_default='', default='', max_length=16),
        ),
        migrations.AlterField(
            model_name='chunk',
            name='state',
            field=models.CharField(choices=[('waiting', 'waiting'), ('ready', 'ready'), ('leased', 'leased'), ('done', 'done')], db_default='ready', default=batches.lifecycle.ChunkState['READY'], max_length=8),
        ),
        migrations.AlterField(
            model_name='provider',
            name='pause_kind',
            field=models.CharField(blank=True, choices=[('auth', 'auth'), ('quota', 'quota'), ('config', 'config'), ('request', 'request'), ('away', 'away'), ('budget', 'budget'), ('unstorable', 'unstorable'), ('staff', 'staff'), ('pilot', 'pilot'), ('rule', 'rule')], db_default='', default='', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='chunk',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'ready', 'leased', 'done'])), name='chunk_state_known'),
        ),
    ]
