"""The URLs of the bookshop."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("staff/", admin.site.urls),
    path("tools/v1/", include("batches.api.urls")),
]
