"""A version of a template as pages show it, with the version before and what has changed since."""

from dataclasses import dataclass

from django.http import HttpRequest

from batches.admin.templates.changes import ChangedLine, changed_lines
from batches.models import Batch, Template
from batches.users import is_superuser


@dataclass(frozen=True, slots=True)
class ShownTemplate:
    """The template of a batch; `may_open` if the user may see its page."""

    template: Template
    before: int | None
    may_open: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes since the version before; `lines` is None if the versions are too long."""

    before: Template
    lines: list[ChangedLine] | None


def template_of(batch: Batch, request: HttpRequest) -> ShownTemplate | None:
    """Return the name and the version of the template of a batch; None if it has none."""
    if batch.template_id is None:
        return None
    # A live page asks for this every two seconds, so without the messages.
    template = Template.objects.defer("messages").get(pk=batch.template_id)
    earlier = Template.objects.same_name(template).filter(version__lt=template.version)
    may_view = request.user.has_perm("batches.view_template")
    mine = is_superuser(request.user) or template.owner_id in (None, request.user.pk)
    return ShownTemplate(
        template,
        before=earlier.values_list("version", flat=True).first(),
        may_open=may_view and mine,
    )


def changes_of(template: Template) -> Changes | None:
    """Return what has changed since the version before; None for the first version."""
    earlier = Template.objects.same_name(template).filter(version__lt=template.version)
    before = earlier.first()
    if before is None:
        return None
    return Changes(before, changed_lines(before.messages, template.messages))
