"""URLs of the web server."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from batches.api.http.unknown import UnknownPath
from config import user_admin  # noqa: F401 - it registers its pages
from config.health import healthz, readyz

admin.autodiscover()

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("v1", UnknownPath.as_view()),
    path("v1/", include("batches.api.urls")),
]

handler400 = "config.error_pages.handler400"
handler403 = "config.error_pages.handler403"
handler404 = "config.error_pages.handler404"
handler500 = "config.error_pages.handler500"
