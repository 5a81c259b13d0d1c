from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Left


def name_described(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Name batches by the description in their metadata, under which the admin listed them."""
    described = apps.get_model('batches', 'Batch')._base_manager.filter(metadata__has_key='description')
    described.update(name=Coalesce(Left(KT('metadata__description'), 255), models.Value('')))


class Migration(migrations.Migration):

    dependencies = [
        ('batches', '0019_input_form'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='name',
            field=models.CharField(blank=True, db_default='', default='', max_length=255),
        ),
        migrations.RunPython(name_described, migrations.RunPython.noop),
    ]
