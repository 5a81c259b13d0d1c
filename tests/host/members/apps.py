from django.apps import AppConfig


class MembersConfig(AppConfig):
    name = "tests.host.members"
