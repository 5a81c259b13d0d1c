from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0019_input_form'),
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
    ]
