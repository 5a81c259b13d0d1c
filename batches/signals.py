"""Signals about batches, for the receivers of the project.

A signal is sent after the commit of its cause, by the process that made the change: a worker, the
sweeper, or a web process. It is sent at most once: a process that dies between the commit and the
signal sends none, and no other process sends it later. Where none may be lost, use webhooks, or
look at the batches from time to time. An error of a receiver is logged and changes nothing.

The sender is the model `Batch`. `batch_id` is the primary key, so that a receiver can use
`Batch.objects.get(pk=batch_id)`.
"""

from functools import partial
from typing import Any

from django.dispatch import Signal

from batches.database import transaction

# All prompts of a batch are stored, and runners may begin. A retry does not send it again.
# Arguments: batch_id.
batch_started = Signal()
# A batch has ended; it may be retried and end again. Arguments: batch_id, status.
batch_ended = Signal()
# Prompts of a batch have results: one signal for all that were stored together. A prompt that is
# retried finishes again. Arguments: batch_id, prompt_ids (a list; the keys of the results, too).
prompt_finished = Signal()
# A batch is paused; a pause of its provider is none of the batch. Arguments: batch_id, kind (a
# PauseKind), reason (a sentence).
batch_paused = Signal()
# A batch is paused because its budget, or that of its provider, is spent; `batch_paused` is sent
# too. Arguments: batch_id, reason.
budget_spent = Signal()


def send_after_commit(signal: Signal, sender: type[Any], **values: Any) -> None:
    """Send a signal once the current transaction is committed; at once without a transaction."""
    if signal.has_listeners(sender):
        transaction.on_commit(partial(signal.send_robust, sender, **values), robust=True)
