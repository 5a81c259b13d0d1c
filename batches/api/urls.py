"""The URLs of the API, to be included under any prefix that ends with `v1/`.

Each module lists its own; there are no trailing slashes.
"""

from django.urls import URLPattern, URLResolver, re_path

from batches.extras import require

# Before anything imports the packages of this extra.
require("api", "The API")

from batches.api import (
    batches,
    events,
    files,
    models,
    results,
    schema,
    uploads,
    webhooks,
)
from batches.api.comparison import views as comparisons
from batches.api.errors import ROOT
from batches.api.http.unknown import UnknownPath

app_name = "batches_api"
urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^$", UnknownPath.as_view(), name=ROOT),
    *files.urlpatterns,
    *uploads.urlpatterns,
    *models.urlpatterns,
    # Before batches/<id>.
    *comparisons.urlpatterns,
    *batches.urlpatterns,
    *results.urlpatterns,
    *events.urlpatterns,
    *webhooks.urlpatterns,
    *schema.urlpatterns,
    # Must be last: it matches every other path.
    re_path(r"", UnknownPath.as_view()),
]
