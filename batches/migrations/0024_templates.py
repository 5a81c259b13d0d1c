"""Templates, the rows that they made prompts of, and the columns of tables.

A column of existing prompts is null, so that a million of them are not rewritten.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0023_rejected_answers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='columns',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='prompt',
            name='row',
            field=models.TextField(null=True),
        ),
        migrations.CreateModel(
            name='Template',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(blank=True, default='', max_length=255)),
                ('version', models.PositiveIntegerField()),
                ('messages', models.JSONField(help_text='a role and a content in the language of Jinja each')),
                ('digest', models.CharField(help_text='SHA-256 of the messages', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AddField(
            model_name='batch',
            name='template',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='batches', to='batches.template'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('owner__isnull', False)), fields=('owner', 'name', 'version'), name='template_version_once'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('owner__isnull', True)), fields=('name', 'version'), name='template_version_once_unowned'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('owner__isnull', False)), fields=('owner', 'name', 'digest'), name='template_messages_once'),
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(condition=models.Q(('owner__isnull', True)), fields=('name', 'digest'), name='template_messages_once_unowned'),
        ),
    ]
