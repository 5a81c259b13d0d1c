"""URLs of a project with Django's own admin."""

from django.urls import path

from config.health import healthz, readyz
from tests.library.site import site

urlpatterns = [
    path("library/", site.urls),
    path("healthz", healthz),
    path("readyz", readyz),
]
