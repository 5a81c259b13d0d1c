"""Write the answers of a batch into the rows that its prompts were made of.

It is done in the transaction that stores the results: both are stored, or neither.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from pydantic_core import from_json

from batches.conf import conf
from batches.database import connection, is_absent, is_stopped, transaction
from batches.engine.errors import PromptRejected
from batches.engine.plain_text import storable_text
from batches.engine.replies.replies import shown_in
from batches.errors import NotPossible
from batches.inputs.row_templates.sources import TemplateRefused, stored_messages
from batches.limits.asked_models import asked_in
from batches.models import Answer, AnswerState, Batch, Enrichment, Result
from batches.models.answer import MAX_MESSAGE_CHARS, SKIP, label_of
from batches.models.bounds import IDS_IN_A_QUERY, short_text
from batches.writeback.host_work import check_deferred, contain_hooks
from batches.writeback.row_prompts import RowPrompts, digest_of, row_template
from batches.writeback.targets import RowOutcome, stored_target

# After this many tries, a statement that is stopped each time is the fault of its row.
TRIES = 3

Rows = Mapping[Any, Model]


def custom_id_of(row: Model) -> str:
    """Return the custom_id of the prompt of a row, by which its answer finds the row."""
    return f"{label_of(type(row)).lower()}:{row.pk}"


def pk_in(custom_id: str, model: type[Model]) -> Any:
    """Return the primary key in a custom_id."""
    key: Any = model._meta.pk
    return key.to_python(custom_id.partition(":")[2])


def locking(model: type[Model], *, skip_locked: bool = False) -> "QuerySet[Model]":
    """Select rows of a model to write answers into them, with a lock that lets others refer to
    them."""
    # A join to a row that may be missing cannot be locked.
    return model._base_manager.select_related(None).select_for_update(
        no_key=True, skip_locked=skip_locked
    )


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
        # How often a statement about a result was stopped, and its last error.
        self._stopped: dict[int, tuple[int, str]] = {}

    def write(self, prompt_ids: Sequence[int], *, unwritten: str = "") -> None:
        """Write the stored answers to these prompts, and record what became of each.

        Call it once for each result, in the transaction that stores it. An answer that does not
        fit its row is recorded and keeps no other from being written. Only a database that fails
        raises an error. With `unwritten`, no row is written: all are recorded with this reason.
        """
        hooks_before = len(connection.run_on_commit)
        ids = sorted(prompt_ids)
        for start in range(0, len(ids), IDS_IN_A_QUERY):
            succeeded = Result.objects.filter(
                pk__in=ids[start : start + IDS_IN_A_QUERY], status=Result.SUCCEEDED
            )
            results = list(succeeded.select_related("prompt").order_by("pk"))
            if unwritten:
                records = map(self._answer, results)
                Answer.objects.bulk_create(
                    _with(answer, AnswerState.FAILED, unwritten) for answer in records
                )
            elif results:
                Answer.objects.bulk_create(self._written(results))
        contain_hooks(since=hooks_before)

    def _written(self, results: Sequence[Result]) -> list[Answer]:
        """Write some answers together, or each alone if that is refused."""
        try:
            with transaction.atomic():
                rows = self._locked([self._key(result) for result in results])
                answers = [self._attempt(result, rows) for result in results]
                check_deferred()
                return answers
        except Exception as error:
            if is_absent(error) and not is_stopped(error):
                raise
        return [self._attempt(result) for result in results]

    def _attempt(self, result: Result, rows: Rows | None = None) -> Answer:
        """Write an answer into one of the locked rows, or lock its row first; return its record.

        Raise an error only if the database fails.
        """
        tries, message = self._stopped.get(result.pk, (0, ""))
        answer = self._answer(result)
        if tries >= TRIES:
            return _with(answer, AnswerState.FAILED, message)
        try:
            # A savepoint: what a failed save has done is undone, and the others stay.
            with transaction.atomic():
                key = self._key(result)
                locked = self._locked([key]) if rows is None else rows
                state = self._write(locked.get(key), result, bytes(answer.digest))
                if rows is None:
                    check_deferred()
            return _with(answer, state)
        except ValidationError as error:
            return _with(answer, AnswerState.INVALID, _text_of(error))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            if is_absent(error):
                # All is stored again: the database is away, or it may have more luck.
                if is_stopped(error):
                    self._stopped[result.pk] = tries + 1, message
                raise
            return _with(answer, AnswerState.FAILED, message)

    def _locked(self, keys: Sequence[Any]) -> Rows:
        """Lock the rows with these keys, in one order, and fetch what the template reads."""
        rows = list(locking(self._model).filter(pk__in=keys).order_by("pk"))
        self._prompts.fetch_related(rows)
        return {row.pk: row for row in rows}

    def _write(self, row: Model | None, result: Result, digest: bytes) -> AnswerState:
        """Write an answer, unless its row is gone or has changed; return what became of it."""
        if row is None:
            return AnswerState.GONE
        if self._enrichment.if_changed == SKIP and self._digest_now(row) != digest:
            return AnswerState.CHANGED
        self._target.write(row, self._outcome(result))
        if connection.needs_rollback:
            raise RuntimeError("the transaction was marked to be rolled back")
        return AnswerState.WRITTEN

    def _key(self, result: Result) -> Any:
        return pk_in(result.prompt.custom_id, self._model)

    def _digest_now(self, row: Model) -> bytes | None:
        """Return the digest of the prompt that the row makes now; None if it makes none."""
        try:
            return digest_of(self._prompts.body_of(row))
        except PromptRejected:
            return None

    def _answer(self, result: Result) -> Answer:
        """Return the record of an answer, without what became of it."""
        return Answer(
            batch_public_id=self._batch.public_id,
            prompt_id=result.pk,
            label=label_of(self._model),
            row_pk=str(self._key(result)),
            fields=self._target.name,
            model=short_text(Answer, "model", self._model_of(result)),
            template_digest=self._enrichment.digest,
            digest=digest_of(from_json(result.prompt.body)),
        )

    def _model_of(self, result: Result) -> str:
        """Return the name of the model that gave an answer."""
        asked = asked_in(result.escalation)
        return asked[-1].model if asked else str(self._batch.defaults.get("model", ""))

    def _outcome(self, result: Result) -> RowOutcome:
        parsed = None if result.parsed is None else from_json(result.parsed)
        return RowOutcome(
            text=shown_in(self._batch.endpoint, result.body, succeeded=True),
            parsed=parsed,
            model=self._model_of(result),
            batch=self._batch.public_id,
            custom_id=result.prompt.custom_id,
            finish_reason=result.finish_reason,
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
        )


def _with(answer: Answer, state: AnswerState, message: str = "") -> Answer:
    answer.state, answer.message = state, storable_text(message[:MAX_MESSAGE_CHARS])
    return answer


def _text_of(error: ValidationError) -> str:
    """Return the messages of a validation, each with its field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()
    )
