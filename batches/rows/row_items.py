"""Make prompts of the rows of a queryset, or an error with the name of the row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Model, QuerySet

from batches.engine.errors import PromptRejected
from batches.inputs.prompt_files import InputOptions, prompts_of_objects
from batches.inputs.prompts import LineError, NewPrompt
from batches.models import Answer, AnswerState
from batches.rows.row_pages import PAGE_ROWS, row_pages
from batches.writeback.row_prompts import RowPrompts, digest_of
from batches.writeback.targets import Target
from batches.writeback.writing import custom_id_of

# After this many rows with errors, the others are not read.
MAX_ERRORS = 100

Body = dict[str, Any]


class RowItems:
    """The prompts of the rows of a queryset, or only of rows that have changed.

    With `unless_in`, a target, a row is left out if the latest answer that was written to it there
    was the answer to the same prompt, and the fields of the target are not all empty now.
    """

    def __init__(
        self,
        queryset: "QuerySet[Any, Any]",
        prompts: RowPrompts,
        options: InputOptions,
        *,
        unless_in: Target | None = None,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._queryset = queryset
        self._prompts = prompts
        self._options = options
        self._target = unless_in
        self._page_rows = page_rows

    def __iter__(self) -> Iterator[NewPrompt | LineError]:
        """Yield the items in the order of the keys; stop after too many errors."""
        number = errors = 0
        for page in row_pages(self._queryset, page_rows=self._page_rows):
            for row, body in self._changed(page):
                number += 1
                item = self._item(row, body, number)
                yield item
                errors += isinstance(item, LineError)
                if errors >= MAX_ERRORS:
                    return

    def _changed(self, page: Sequence[Model]) -> Iterator[tuple[Model, Body | PromptRejected]]:
        self._prompts.fetch_related(page)
        made = [(row, self._body(row)) for row in page]
        if self._target is None:
            yield from made
            return
        known = self._written(page, self._target)
        for row, body in made:
            if isinstance(body, PromptRejected) or known.get(row.pk) != digest_of(body):
                yield row, body

    def _body(self, row: Model) -> Body | PromptRejected:
        try:
            return self._prompts.body_of(row)
        except PromptRejected as error:
            return error

    def _written(self, page: Sequence[Model], target: Target) -> dict[Any, bytes]:
        """Return the digests of the prompts whose answers the rows have."""
        written = Answer.objects.for_model(self._queryset.model).filter(
            row_pk__in=[str(row.pk) for row in page], fields=target.name, state=AnswerState.WRITTEN
        )
        # The latest one comes last.
        found = dict(written.order_by("pk").values_list("row_pk", "digest"))
        filled = [row for row in self._with_fields(page, target) if not target.is_empty(row)]
        return {row.pk: bytes(found[str(row.pk)]) for row in filled if str(row.pk) in found}

    def _with_fields(self, page: Sequence[Model], target: Target) -> Sequence[Model]:
        """Return these rows with the fields of the target, which the queryset may have deferred."""
        model = self._queryset.model
        columns = target.columns(model)
        if not any(columns & row.get_deferred_fields() for row in page):
            return page
        rows = model._base_manager.using(self._queryset.db).only("pk", *columns)
        return list(rows.filter(pk__in=[row.pk for row in page]))

    def _item(self, row: Model, body: Body | PromptRejected, number: int) -> NewPrompt | LineError:
        custom_id = custom_id_of(row)
        if isinstance(body, PromptRejected):
            item: NewPrompt | LineError = LineError(number, body.code, body.message, body.param)
        else:
            [item] = prompts_of_objects([{"custom_id": custom_id, "body": body}], self._options)
        if isinstance(item, LineError):
            return replace(item, line=number, message=f"{custom_id}: {item.message}", unit="row")
        item.line, item.unit = number, "row"
        return item
