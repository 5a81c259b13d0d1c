from django.apps import AppConfig


class GoodsConfig(AppConfig):
    name = "tests.host.goods"
    default_auto_field = "django.db.models.BigAutoField"
