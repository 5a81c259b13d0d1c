"""Compare the answers of several batches: the page, and its rows as CSV."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render

from batches.admin.base import ModelAdmin, admin_url, allowed, page_context, small_number
from batches.admin.batches.answer_figures import answering_batches, shown_pairs, shown_truths
from batches.admin.batches.downloads import download
from batches.comparison.choosing import MOST_BATCHES, check_comparable, columns_of, truths_of
from batches.comparison.comparison_csv import comparison_lines
from batches.comparison.disagreements import rows_side_by_side
from batches.comparison.figures import comparison_figures
from batches.errors import NotPossible
from batches.models import Batch
from batches.models.answer import rows_of

ROWS_A_PAGE = 20
# The browser waits for the figures; the command reads all rows.
MOST_ROWS = 10_000
MOST_S = 3.0
FROM_THE_START = -1
# No index is larger.
LAST_INDEX = 2**31 - 1
MOST_TRUTH_CHARS = 500
MOST_TRUTHS = 20


def compare_answers(request: HttpRequest, admin: ModelAdmin[Batch]) -> HttpResponse:
    """Show the figures of several batches, and the rows on which they disagree."""
    chosen = _chosen(request, admin)
    try:
        check_comparable(chosen)
    except NotPossible as error:
        messages.error(request, _sentence(error))
        return HttpResponseRedirect(admin_url("batches_batch_changelist"))
    truths, fault = _truths(request, chosen)
    context = page_context(
        admin,
        request,
        "Compare answers",
        **_figures(request, chosen, truths),
        **_rows(request, chosen, truths),
        columns=columns_of(chosen),
        field=request.GET.get("field", ""),
        column=request.GET.get("column", ""),
        fault=fault,
        ids=_ids(chosen),
        # A new batch of the same prompts would not write the rows that they are about.
        may_add=request.user.has_perm("batches.add_batch") and not any(map(rows_of, chosen)),
    )
    return render(request, "admin/batches/compare_answers.html", context)


def answers_csv(request: HttpRequest, admin: ModelAdmin[Batch]) -> HttpResponseBase:
    """Download all rows of a comparison as CSV."""
    chosen = _chosen(request, admin)
    try:
        check_comparable(chosen)
    except NotPossible as error:
        raise Http404 from error
    truths, fault = _truths(request, chosen)
    if fault:
        raise Http404
    return download(request, comparison_lines(chosen, truths=truths), name="comparison.csv")


def _chosen(request: HttpRequest, admin: ModelAdmin[Batch]) -> list[Batch]:
    """Return the batches of the URL, in its order: the others are compared with the first."""
    given = map(small_number, request.GET.get("ids", "").split(","))
    pks = list(dict.fromkeys(pk for pk in given if pk is not None))
    # One more, so that too many are refused.
    return [allowed(admin, request, pk, to="results") for pk in pks[: MOST_BATCHES + 1]]


def _truths(request: HttpRequest, chosen: Sequence[Batch]) -> tuple[dict[str, str], str]:
    """Return the columns with the truth by field, and what is wrong with them."""
    texts = request.GET.getlist("truth")[:MOST_TRUTHS]
    field, column = request.GET.get("field", ""), request.GET.get("column", "")
    if field or column:
        texts = [f"{field}={column}"]
    try:
        return truths_of([text[:MOST_TRUTH_CHARS] for text in texts], chosen), ""
    except NotPossible as error:
        return {}, _sentence(error)


def _figures(
    request: HttpRequest, chosen: Sequence[Batch], truths: dict[str, str]
) -> dict[str, Any]:
    """Return the figures for the first page. They take a while, so other pages have rows alone."""
    if _after(request) > FROM_THE_START:
        return {"batches": answering_batches(chosen, None)}
    figures = comparison_figures(chosen, truths=truths, most_rows=MOST_ROWS, most_s=MOST_S)
    batches = answering_batches(chosen, figures)
    return {
        "figures": figures,
        "batches": batches,
        "pairs": shown_pairs(figures, batches),
        "truths": shown_truths(figures, batches),
        "field_names": [field.name for field in figures.fields],
    }


def _rows(request: HttpRequest, chosen: Sequence[Batch], truths: dict[str, str]) -> dict[str, Any]:
    """Return a page of rows, and the addresses of other pages."""
    after, with_all = _after(request), request.GET.get("show") == "all"
    found = rows_side_by_side(
        chosen, after=after, limit=ROWS_A_PAGE, truths=truths, with_all=with_all
    )
    batches = answering_batches(chosen, None)
    query = {"ids": _ids(chosen), "truth": [f"{f}={column}" for f, column in truths.items()]}
    show = {"show": "all"}
    following = {**query, **(show if with_all else {}), "after": found.through}
    return {
        "rows": found,
        "shown_rows": [(row, list(zip(batches, row.indexes, strict=True))) for row in found.rows],
        "after": after,
        "with_all": with_all,
        "first_page": urlencode(query, doseq=True),
        "other_rows": urlencode({**query, **({} if with_all else show)}, doseq=True),
        "next_page": "" if found.through is None else urlencode(following, doseq=True),
    }


def _after(request: HttpRequest) -> int:
    after = small_number(request.GET.get("after", ""))
    return FROM_THE_START if after is None else min(after, LAST_INDEX)


def _ids(chosen: Sequence[Batch]) -> str:
    return ",".join(str(batch.pk) for batch in chosen)


def _sentence(error: NotPossible) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
