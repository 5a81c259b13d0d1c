"""The URLs of another project."""

from django.contrib import admin
from django.urls import include, path

from tests.host.sites import backoffice

urlpatterns = [
    path("staff/", admin.site.urls),
    path("backoffice/", backoffice.urls),
    path("tools/v1/", include("batches.api.urls")),
]
