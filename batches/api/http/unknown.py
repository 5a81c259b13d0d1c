"""The 404 for unknown paths of the API."""

from typing import Any

from rest_framework.request import Request

from batches.api.errors import no_such_path
from batches.api.http.view import ApiView, documented


@documented(exclude=True)
class UnknownPath(ApiView):
    """Answer any user and method with a 404 envelope, even when DEBUG would show a page."""

    authentication_classes = ()

    def initial(self, request: Request, *_args: Any, **_kwargs: Any) -> None:
        raise no_such_path(request.path)
