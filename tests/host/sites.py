"""A site of the admin beside the usual one."""

from django.contrib.admin import AdminSite

backoffice = AdminSite(name="backoffice")
