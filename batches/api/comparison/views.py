"""/v1/batches/compare: the answers of several batches to the same rows."""

from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.batches import found
from batches.api.comparison.objects import ComparisonObject
from batches.api.http.pages import invalid
from batches.api.http.view import ApiView, documented, reply
from batches.comparison.choosing import (
    FEWEST_BATCHES,
    MOST_BATCHES,
    check_comparable,
    truths_of,
)
from batches.comparison.figures import comparison_figures
from batches.errors import NotPossible
from batches.models import Batch

# A client waits for the answer; the command reads all rows.
MOST_ROWS = 10_000
MOST_S = 3.0
MOST_TRUTHS = 20


class ComparisonView(ApiView):
    """A comparison of batches."""

    @documented(
        operation_id="compare_batches",
        summary="Compare the answers of batches",
        responses={200: ComparisonObject},
        parameters=[
            OpenApiParameter(
                "ids",
                str,
                required=True,
                description=f"{FEWEST_BATCHES} to {MOST_BATCHES} IDs of batches of one owner, "
                "separated by commas",
            ),
            OpenApiParameter(
                "truth",
                str,
                description="a field and the column of the table with its true value, such as "
                "sentiment=label; may be given several times",
            ),
        ],
    )
    def get(self, request: Request) -> Response:
        """Compare two to four batches over the same rows, matched by custom_id.

        The first 10,000 rows of the first batch are read, or what is read in three seconds.
        """
        chosen = _chosen(request)
        figures = comparison_figures(
            chosen, truths=_truths(request, chosen), most_rows=MOST_ROWS, most_s=MOST_S
        )
        return reply(ComparisonObject.model_validate(figures.as_dict()))


def _chosen(request: Request) -> list[Batch]:
    """Return the batches of the request. Raise ApiError."""
    ids = [text for text in request.query_params.get("ids", "").split(",") if text]
    # Before each of them is looked up.
    if not FEWEST_BATCHES <= len(ids) <= MOST_BATCHES:
        raise _refused(request, f"{len(ids)} are given")
    chosen = [found(request, text) for text in ids]
    try:
        check_comparable(chosen)
    except NotPossible as error:
        raise _refused(request, str(error)) from error
    return chosen


def _refused(request: Request, reason: str) -> Exception:
    expected = f"{FEWEST_BATCHES} to {MOST_BATCHES} IDs of batches, separated by commas"
    return invalid(request, "ids", f"Expected {expected}: {reason}.")


def _truths(request: Request, chosen: list[Batch]) -> dict[str, str]:
    texts = request.query_params.getlist("truth")
    try:
        if len(texts) > MOST_TRUTHS:
            raise NotPossible(f"up to {MOST_TRUTHS} fields may have a truth")
        return truths_of(texts, chosen)
    except NotPossible as error:
        text = f"Expected FIELD=COLUMN, such as sentiment=label: {error}."
        raise invalid(request, "truth", text) from error


urlpatterns = [path("batches/compare", ComparisonView.as_view(), name="compare_batches")]
