import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0020_batch_name'),
    ]

    operations = [
        migrations.AddField(
            model_name='provider',
            name='answered_at',
            field=models.FloatField(db_default=0.0, default=0.0, editable=False),
        ),
        migrations.AddField(
            model_name='webhookendpoint',
            name='disabled_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name='BatchHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField(help_text='its beginning')),
                ('until', models.FloatField(help_text='active_until of the batch when its counts were copied')),
                ('succeeded', models.PositiveIntegerField()),
                ('failed', models.PositiveIntegerField()),
                ('cost', models.DecimalField(decimal_places=8, max_digits=16)),
                ('before_succeeded', models.PositiveIntegerField()),
                ('before_failed', models.PositiveIntegerField()),
                ('before_cost', models.DecimalField(decimal_places=8, max_digits=16)),
                ('batch', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='hours', to='batches.batch')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['hour', 'until'], name='batch_hour')],
                'constraints': [models.UniqueConstraint(fields=('batch', 'hour'), name='hour_of_batch_once')],
            },
        ),
    ]
