"""Write the answers of a batch into the rows that its prompts were made of.

It is done in the transaction that stores the results: both are stored, or neither.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError
from django.db.models import Model
from pydantic_core import from_json

from batches.conf import conf
from batches.database import transaction
from batches.engine.errors import PromptRejected
from batches.engine.plain_text import storable_text
from batches.engine.replies.replies import shown_in
from batches.errors import NotPossible
from batches.inputs.row_templates.sources import TemplateRefused, stored_messages
from batches.limits.asked_models import asked_in
from batches.models import Answer, AnswerState, Batch, Enrichment, Result
from batches.models.answer import MAX_MESSAGE_CHARS, SKIP, label_of
from batches.models.bounds import IDS_IN_A_QUERY, short_text
from batches.writeback.row_prompts import RowPrompts, digest_of, row_template
from batches.writeback.targets import RowOutcome, stored_target


def custom_id_of(row: Model) -> str:
    """Return the custom_id of the prompt of a row, by which its answer finds the row."""
    return f"{label_of(type(row)).lower()}:{row.pk}"


def pk_in(custom_id: str, model: type[Model]) -> Any:
    """Return the primary key in a custom_id."""
    key: Any = model._meta.pk
    return key.to_python(custom_id.partition(":")[2])


class AnswerWriter:
    """Writes the answers of one batch. Not for several threads at once."""

    def __init__(self, batch: Batch, enrichment: Enrichment) -> None:
        """Load what the answers are written to. Raise NotPossible if this process cannot."""
        try:
            self._model: type[Model] = apps.get_model(enrichment.label)
            self._target = stored_target(enrichment.into, enrichment.save_path)
            messages = stored_messages(enrichment.messages)
            template = row_template(messages, max_chars=conf().MAX_LINE_BYTES)
        except (LookupError, ImportError, TemplateRefused) as error:
            raise NotPossible(
                f"the answers cannot be written into rows of {enrichment.label}: {error}"
            ) from error
        self._prompts = RowPrompts(self._model, template, enrichment.lookups, batch.endpoint)
        self._batch = batch
        self._enrichment = enrichment

    def write(self, prompt_ids: Sequence[int]) -> None:
        """Write the stored answers to these prompts, and record what became of each.

        Call it once for each result, in the transaction that stores it. An answer that does not
        fit its row is recorded and keeps no other from being written. Only a database that fails
        raises an error.
        """
        ids = sorted(prompt_ids)
        for start in range(0, len(ids), IDS_IN_A_QUERY):
            succeeded = Result.objects.filter(
                pk__in=ids[start : start + IDS_IN_A_QUERY], status=Result.SUCCEEDED
            )
            results = list(succeeded.select_related("prompt").order_by("pk"))
            if results:
                Answer.objects.bulk_create(self._answers(results))

    def _answers(self, results: Sequence[Result]) -> Iterator[Answer]:
        keys = [pk_in(result.prompt.custom_id, self._model) for result in results]
        rows = self._locked(keys)
        for key, result in zip(keys, results, strict=True):
            digest = digest_of(from_json(result.prompt.body))
            outcome = self._outcome(result)
            state, message = self._written(rows.get(key), digest, outcome)
            yield Answer(
                batch_public_id=self._batch.public_id,
                prompt_id=result.pk,
                label=label_of(self._model),
                row_pk=str(key),
                fields=self._target.name,
                model=short_text(Answer, "model", outcome.model),
                template_digest=self._enrichment.digest,
                digest=digest,
                state=state,
                message=storable_text(message[:MAX_MESSAGE_CHARS]),
            )

    def _locked(self, keys: Sequence[Any]) -> Mapping[Any, Model]:
        """Lock the rows with these keys, in one order, and fetch what the template reads."""
        # A join to a row that may be missing cannot be locked.
        found = self._model._base_manager.select_related(None).filter(pk__in=keys)
        rows = list(found.select_for_update(no_key=True).order_by("pk"))
        self._prompts.fetch_related(rows)
        return {row.pk: row for row in rows}

    def _written(
        self, row: Model | None, digest: bytes, outcome: RowOutcome
    ) -> tuple[AnswerState, str]:
        """Write an answer, and return what became of it, with the reason if it is not written."""
        if row is None:
            return AnswerState.GONE, ""
        if self._enrichment.if_changed == SKIP and self._digest_now(row) != digest:
            return AnswerState.CHANGED, ""
        try:
            # A savepoint: what a failed save has done is undone, and the others stay.
            with transaction.atomic():
                self._target.write(row, outcome)
        except ValidationError as error:
            return AnswerState.INVALID, _text_of(error)
        except (OperationalError, InterfaceError):
            # The database is away, or stopped a deadlock: all is stored again.
            raise
        except Exception as error:
            return AnswerState.FAILED, f"{type(error).__name__}: {error}"
        return AnswerState.WRITTEN, ""

    def _digest_now(self, row: Model) -> bytes | None:
        """Return the digest of the prompt that the row makes now; None if it makes none."""
        try:
            return digest_of(self._prompts.body_of(row))
        except PromptRejected:
            return None

    def _outcome(self, result: Result) -> RowOutcome:
        asked = asked_in(result.escalation)
        parsed = None if result.parsed is None else from_json(result.parsed)
        return RowOutcome(
            text=shown_in(self._batch.endpoint, result.body, succeeded=True),
            parsed=parsed,
            model=asked[-1].model if asked else str(self._batch.defaults.get("model", "")),
            batch=self._batch.public_id,
            custom_id=result.prompt.custom_id,
            finish_reason=result.finish_reason,
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
        )


def _text_of(error: ValidationError) -> str:
    """Return the messages of a validation, each with its field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()
    )
