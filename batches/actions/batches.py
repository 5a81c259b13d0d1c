"""Create, resume, cancel, retry and delete batches, as a user may.

The API, the admin and the commands call these functions to change a batch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from django.db import IntegrityError
from django.db.models import Exists, OuterRef, Q, RestrictedError
from django.utils import timezone

from batches.actions.option_checks import check_escalation, check_price
from batches.actions.options import BatchOptions, Pilot, stored_cost, stored_rules
from batches.conf import conf
from batches.database import transaction
from batches.ending.finishing import fail_input, finish_batch
from batches.ending.gate import attend_gate
from batches.ending.purging import mark_deleted, purge
from batches.engine.prepare import strict_warnings
from batches.engine.structured.asked import asked_schemas
from batches.engine.structured.schema_bill import SchemaBill
from batches.errors import NotPossible
from batches.files.files import BATCH
from batches.inputs.input_formats import InputFormat
from batches.inputs.prompts import LineError, NewPrompt
from batches.intake.reading import PATIENT_LEASES, READING
from batches.intake.storing import LeaseLost, as_error, store_prompts
from batches.intake.tally import MAX_WARNINGS, shown_model, warning_of
from batches.leases.batches import insert_leased, pause_once
from batches.leases.chunks import begin_again, open_gate
from batches.leases.pilot_sample import pilot_sample
from batches.leases.renewal import renewed
from batches.lifecycle import CANCELLABLE, RETRYABLE, TERMINAL, BatchStatus, PauseKind
from batches.limits.escalation import stored_escalations
from batches.limits.rules import Rules
from batches.models import Batch, Enrichment, File, Provider, Result, Template
from batches.models.bounds import MAX_NAME_CHARS
from batches.models.template import TemplateVersion
from batches.output.files import drop_outputs, make_outputs
from batches.users import User
from batches.webhooks.deliveries import add_callback
from batches.workers.messages import enqueue

RESUMABLE = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)
# Pauses for refusals by a provider that affect only one batch.
OWN_REFUSALS = (PauseKind.REQUEST, PauseKind.AUTH)

# With more prompts than this, the caller does not wait: a worker closes a cancelled batch, and the
# sweeper purges a deleted one.
FINISHED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The name and the messages of a template, as they are stored."""

    name: str
    messages: list[dict[str, str]]

    def stored(self, owner: User | None) -> TemplateVersion:
        """Return the version of the template with these messages."""
        owner_id = owner.pk if owner else None
        return Template.objects.version_of(owner_id, short_name(self.name), self.messages)


@dataclass(frozen=True, slots=True)
class Origin:
    """The owner of a new batch, and its request: one idempotency key creates one batch."""

    owner: User | None = None
    idempotency_key: str | None = None
    request_digest: str = ""


def create_batch(
    provider: Provider,
    items: Iterable[NewPrompt | LineError],
    options: BatchOptions,
    *,
    origin: Origin | None = None,
    template: TemplateSource | None = None,
    enrichment: Enrichment | None = None,
) -> Batch:
    """Create a batch of these prompts and start it. On an error, nothing is left behind.

    `template` is what made the prompts of rows; `enrichment` says into which rows the answers are
    written.

    This process holds the lease of a reader meanwhile. If it is killed, `remove_abandoned` deletes
    the batch some time after the lease has run out.
    """
    origin = origin or Origin()
    version = template.stored(origin.owner) if template else None
    batch = _draft(provider, options, origin, template=version and version.template)
    lease = insert_leased(batch, statuses=READING)
    try:
        if enrichment is not None:
            enrichment.batch = batch
            enrichment.save(force_insert=True)
        with renewed(lease):
            store_prompts(batch, items, most=conf().MAX_PROMPTS_PER_BATCH, lease=lease)
    except LeaseLost as lost:
        _discard(batch, version)
        raise NotPossible(
            "the batch was cancelled while its prompts were read, or this process stood still for "
            f"longer than {PATIENT_LEASES * conf().LEASE_SECONDS} s"
        ) from lost
    except BaseException:
        _discard(batch, version)
        raise
    batch.refresh_from_db()
    enqueue_batch(batch)
    return batch


def _discard(batch: Batch, version: TemplateVersion | None) -> None:
    """Delete a batch that never ran, with the prompts stored so far, and its new template."""
    mark_deleted(Batch.objects.filter(pk=batch.pk))
    purge(batch.pk)
    if version is not None and version.is_new:
        # Another batch may have begun to use it.
        with suppress(RestrictedError, IntegrityError), transaction.atomic():
            version.template.delete()


def create_inline_batch(
    provider: Provider,
    items: Sequence[NewPrompt | LineError],
    options: BatchOptions,
    *,
    origin: Origin,
) -> Batch:
    """Create a batch in one transaction, for a few prompts that are in memory."""
    batch = _draft(provider, options, origin)
    with transaction.atomic():
        batch.save(force_insert=True)
        add_callback(batch)
        store_prompts(batch, items, most=conf().MAX_INLINE_PROMPTS)
        batch.refresh_from_db(from_queryset=Batch.objects.whole())
    enqueue_batch(batch)
    return batch


def create_batch_of_file(
    provider: Provider,
    file: File | None,
    file_id: str,
    options: BatchOptions,
    *,
    origin: Origin,
    fault: LineError | None = None,
    input_format: InputFormat | Literal[""] = "",
    input_column: str = "",
    template: TemplateSource | None = None,
) -> Batch:
    """Create a batch whose prompts a worker reads from a file.

    Without a format, the file has lines of the Batch API; the column is that of a table, of whose
    rows a template makes prompts if there is one. The batch
    fails at once if there is no such file, or with the error `fault` if that is given.
    """
    form = {"input_format": input_format, "input_column": input_column}
    batch = _draft(provider, options, origin, input_file=file, input_file_public_id=file_id, **form)
    with transaction.atomic():
        if template is not None:
            batch.template = template.stored(origin.owner).template
        batch.save(force_insert=True)
        add_callback(batch)
        if found := _fault_of(file, file_id) or fault:
            fail_input(Batch.objects.filter(pk=batch.pk), batch.pk, [as_error(found)])
        # Return it as it was created: a fast worker may have changed it already.
        batch.refresh_from_db(from_queryset=Batch.objects.whole())
    if batch.status == BatchStatus.VALIDATING:
        transaction.on_commit(partial(enqueue, batch.pk), robust=True)
    return batch


def _draft(provider: Provider, options: BatchOptions, origin: Origin, **values: Any) -> Batch:
    """Return an unsaved batch: checking its options may take too long for a transaction."""
    check_escalation(provider, options)
    check_price(provider, options)
    window = options.completion_window
    asked = asked_schemas(options.defaults, options.endpoint)
    schema_bytes = SchemaBill(conf().MAX_SCHEMA_BYTES_PER_BATCH).count(asked)
    problems = strict_warnings(asked, strict_schemas=options.strict_schemas)
    # All other options have the names of their columns.
    given = {name: value for name, value in options if name != "pilot"}
    given |= _pilot_columns(options.pilot)
    given["name"] = _name_of(options, values.get("input_file"))
    given["max_cost"] = stored_cost(options.max_cost)
    given["stop_when"] = stored_rules(options.stop_when)
    given["escalate"] = stored_escalations(options.escalate)
    return Batch(
        **{**given, "defaults": dict(options.defaults), "metadata": dict(options.metadata)},
        **values,
        model=shown_model(options.defaults.get("model")),
        schema_bytes=sum(schema_bytes),
        warnings=[warning_of(problem) for problem in problems[:MAX_WARNINGS]],
        provider=provider,
        owner=origin.owner,
        idempotency_key=origin.idempotency_key,
        request_digest=origin.request_digest,
        expires_at=timezone.now() + window if window else None,
    )


def _pilot_columns(pilot: Pilot | None) -> dict[str, Any]:
    if pilot is None:
        return {}
    rules = pilot.continue_when
    return {
        "pilot_rows": pilot.rows,
        "pilot_by": pilot.by or "",
        "continue_when": None if rules is None else rules.stored(),
    }


def _name_of(options: BatchOptions, file: File | None) -> str:
    """Return the name of a new batch: given, else described in its metadata, else of its file."""
    described = options.metadata.get("description", "")
    return short_name(options.name or described or (file.filename if file else ""))


def rename_batch(batch: Batch, name: str) -> Batch:
    """Give a batch another name; an empty one leaves it with its ID alone."""
    Batch.objects.filter(pk=batch.pk).update(name=short_name(name))
    batch.refresh_from_db()
    return batch


def short_name(text: str) -> str:
    """Return a name in one line, without invisible characters, as long as its column."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:MAX_NAME_CHARS]


def _fault_of(file: File | None, file_id: str) -> LineError | None:
    if file is None:
        message = f"There is no file {file_id!r}."
    elif file.purpose != BATCH:
        message = (
            f"The purpose of {file_id} is {file.purpose!r}; upload it with the purpose 'batch'."
        )
    else:
        return None
    return LineError(0, "invalid_request", message, "file_id")


def enqueue_batch(batch: Batch) -> None:
    """Enqueue a batch for the workers, once for each runner that it may have."""
    if not batch.in_background:
        return
    for _ in range(batch.most_runners):
        transaction.on_commit(partial(enqueue, batch.pk), robust=True)


def pause_batch(batch: Batch) -> Batch:
    """Pause a batch until it is resumed: nothing more is sent, calls in flight finish.

    A batch that is already paused keeps its reason. Raise NotPossible for one that has ended.
    """
    batches = Batch.objects.filter(pk=batch.pk, status__in=RESUMABLE)
    pause_once(batches, batch.pk, PauseKind.STAFF, "by staff")
    batch.refresh_from_db()
    if batch.status not in RESUMABLE:
        raise NotPossible(f"Cannot pause a batch with status '{batch.status}'.")
    return batch


def resume_batch(
    batch: Batch,
    *,
    max_cost: float | None = None,
    max_tokens_total: int | None = None,
    stop_when: Rules | None = None,
    here: bool = False,
) -> Batch:
    """Resume a paused batch, with another budget or other rules if given. Raise NotPossible.

    Rules without any bound take the rules of the batch away.

    The workers continue it, even if a command started it; with `here`, the caller continues it.

    A pause of its provider is not affected. If its budget is still spent, or a rule still broken,
    the batch pauses again.
    If the batch paused because the provider refuses only its requests, they fail from now on.
    If it paused because its pilot is done, the other prompts follow.
    """
    budget = {"max_cost": stored_cost(max_cost), "max_tokens_total": max_tokens_total}
    given: dict[str, Any] = {name: value for name, value in budget.items() if value is not None}
    if stop_when is not None:
        given["stop_when"] = stored_rules(stop_when)
    batch.refresh_from_db()
    if batch.pause_kind in OWN_REFUSALS:
        given["trusts_refusals"] = True
    if not here:
        given["in_background"] = True
    if not _lift_pause(batch, given):
        batch.refresh_from_db()
        raise NotPossible(f"Cannot resume a batch with status '{batch.status}'.")
    if batch.pilot_rows is not None:
        # After another pause, the pilot may be done and not judged yet.
        attend_gate(batch.pk)
    batch.refresh_from_db()
    enqueue_batch(batch)
    return batch


def _lift_pause(batch: Batch, given: Mapping[str, Any]) -> bool:
    """Lift the pause of a batch; return False if it cannot be resumed.

    Only the resume of the pause after a pilot opens its gate: at any other pause, its figures were
    not shown.
    """
    changes = {"pause_kind": "", "pause_reason": "", **given}
    this = Batch.objects.filter(pk=batch.pk, status__in=RESUMABLE)
    with transaction.atomic():
        if this.at_gate().filter(pause_kind=PauseKind.PILOT).update(**changes):
            open_gate(batch.pk)
            return True
        return bool(this.update(**changes))


def cancel_batch(batch: Batch) -> Batch:
    """Cancel a batch: nothing more is sent, calls in flight finish, the rest is `cancelled`.

    Cancelling it again changes nothing. Raise NotPossible for a batch that has ended otherwise.
    """
    this = Batch.objects.filter(pk=batch.pk)
    if this.move(BatchStatus.CANCELLING, sources=CANCELLABLE):
        batch.refresh_from_db()
        if batch.total <= FINISHED_AT_ONCE:
            finish_batch(batch.pk)
        else:
            enqueue(batch.pk)
    batch.refresh_from_db()
    if batch.status not in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
        raise NotPossible(f"Cannot cancel a batch with status '{batch.status}'.")
    return batch


def retry_batch(
    batch: Batch, *, kinds: Collection[str] = (), index: int | None = None, here: bool = False
) -> Batch:
    """Run failed, cancelled and expired prompts again; successful results stay.

    With `kinds`, only prompts that failed in these kinds are run; with `index`, only the prompt
    of this index. The completion window starts again. The workers run them, even if a command ran
    the batch; with `here`, the caller runs them.
    A batch that waits for the judgement of its pilot runs the failed prompts of the pilot again,
    then waits again. In one that ended before, the other prompts wait again too.
    Raise NotPossible if the batch has not ended, its input was refused, or no prompt failed.
    """
    failed = Result.objects.filter(batch=batch, status=Result.FAILED)
    chosen = Q(kind__in=kinds) if kinds else Q()
    if index is not None:
        chosen &= Q(index=index)
    again = failed.filter(chosen)
    stays_failed = failed.exclude(chosen).exclude(kind__in=Result.NEVER_RAN)
    with transaction.atomic():
        batch.refresh_from_db()
        window = batch.completion_window
        begun = {
            "failed": stays_failed.count() if chosen else 0,
            "pause_kind": "",
            "pause_reason": "",
            "in_background": not here,
        }
        reset = {
            **begun,
            **dict.fromkeys(("finalizing_at", "completed_at", "expired_at"), None),
            **dict.fromkeys(("cancelling_at", "cancelled_at"), None),
            "expires_at": timezone.now() + window if window else None,
            "report": None,
        }
        if not again.exists():
            how = f" with {' or '.join(kinds)}" if kinds else ""
            raise NotPossible(f"no prompt of this batch has failed{how}")
        this = Batch.objects.filter(pk=batch.pk, deleted_at=None)
        if not (
            this.move(BatchStatus.IN_PROGRESS, sources=RETRYABLE, **reset)
            or this.at_gate().update(**begun)
        ):
            raise NotPossible(f"Cannot retry a batch with status '{batch.status}'.")
        mine = again.filter(index__gte=OuterRef("lo"), index__lt=OuterRef("hi"))
        pilot = pilot_sample(batch)
        if pilot and batch.succeeded + batch.failed > pilot.rows:
            # Others have run: the gate was open.
            pilot = None
        begin_again(batch.chunks.filter(Exists(mine)), pilot=pilot)
        again._raw_delete(again.db)
        make_outputs(batch)
    batch.refresh_from_db()
    enqueue_batch(batch)
    return batch


def delete_batch(batch: Batch) -> None:
    """Delete a batch that has ended, with its prompts and results. Raise NotPossible."""
    this = Batch.objects.filter(pk=batch.pk, status__in=TERMINAL)
    with transaction.atomic():
        # Delete the files too, which the user can no longer see.
        if mark_deleted(this):
            drop_outputs(batch)
        else:
            batch.refresh_from_db()
            raise NotPossible(
                f"Cannot delete a batch with status '{batch.status}'; cancel it first."
            )
    if batch.total <= FINISHED_AT_ONCE:
        purge(batch.pk)
