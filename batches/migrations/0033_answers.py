"""Answers that are written into rows of the host's own tables: where they go, and what became of each."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0032_cache_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='Answer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('batch_public_id', models.CharField(max_length=64)),
                ('prompt_id', models.BigIntegerField(unique=True)),
                ('label', models.CharField(max_length=201)),
                ('row_pk', models.CharField(max_length=512)),
                ('fields', models.TextField()),
                ('model', models.CharField(max_length=255)),
                ('template_digest', models.CharField(max_length=64)),
                ('digest', models.BinaryField(help_text='of the prompt', max_length=16)),
                ('state', models.CharField(choices=[('written', 'written'), ('changed', 'changed'), ('gone', 'gone'), ('invalid', 'invalid'), ('failed', 'failed')], max_length=8)),
                ('message', models.TextField(blank=True, default='')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['label', 'row_pk', 'id'], name='answer_of_row'), models.Index(fields=['batch_public_id', 'state'], name='answer_of_batch')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['written', 'changed', 'gone', 'invalid', 'failed'])), name='answer_state_known')],
            },
        ),
        migrations.CreateModel(
            name='Enrichment',
            fields=[
                ('batch', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='enrichment', serialize=False, to='batches.batch')),
                ('label', models.CharField(max_length=201)),
                ('messages', models.JSONField()),
                ('digest', models.CharField(help_text='SHA-256 of the messages', max_length=64)),
                ('lookups', models.JSONField(default=list)),
                ('into', models.JSONField(null=True)),
                ('save_path', models.TextField(blank=True, default='')),
                ('if_changed', models.CharField(choices=[('skip', 'skip'), ('write', 'write')], default='skip', max_length=8)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('if_changed__in', ['skip', 'write'])), name='enrichment_if_changed_known')],
            },
        ),
    ]
