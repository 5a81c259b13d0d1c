"""Admin pages of answers that were to be written into rows, which the page of a batch links to."""

from batches.admin.base import MachineMade, register
from batches.models import Answer


@register(Answer)
class AnswerAdmin(MachineMade[Answer]):
    """Records of answers, which stay when their batch is deleted."""

    list_display = ("at", "state", "label", "row_pk", "fields", "model", "message")
    list_filter = ("state",)
    # An exact text, since the table may have millions of rows.
    search_fields = ("batch_public_id__exact",)
    search_help_text = "The ID of a batch"
    fields = (*list_display, "batch_public_id", "template_digest")
    ordering = ("-pk",)
    show_full_result_count = False
    actions = None

    def has_delete_permission(self, _request: object, _obj: Answer | None = None) -> bool:
        return False
