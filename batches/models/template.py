"""Templates: versions of the messages that make a prompt of each row of a table."""

import hashlib
import json
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, models
from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Now

from batches.database import transaction
from batches.models.bounds import MAX_NAME_CHARS
from batches.users import User, is_superuser

# Others may store versions of the same name at the same time.
ATTEMPTS = 50


class TemplateVersion(NamedTuple):
    """A version of a template, and True if it was stored just now."""

    template: "Template"
    is_new: bool


class TemplateQuerySet(models.QuerySet["Template"]):
    def visible_to(self, user: User) -> "TemplateQuerySet":
        """Select the templates of a user and the ones without an owner; all for a superuser."""
        return self if is_superuser(user) else self.filter(Q(owner=user) | Q(owner=None))

    def latest_versions(self) -> "TemplateQuerySet":
        """Select the highest version of each name of an owner."""
        later = Template.objects.filter(name=OuterRef("name"), version__gt=OuterRef("version"))
        # NULLs are not equal, so templates without an owner need their own condition.
        of_owner = Exists(later.filter(owner=OuterRef("owner")))
        unowned = Q(owner=None) & Exists(later.filter(owner=None))
        return self.exclude(of_owner).exclude(unowned)

    def same_name(self, template: "Template") -> "TemplateQuerySet":
        """Select all versions of a template, the latest first."""
        named = self.filter(owner_id=template.owner_id, name=template.name)
        return named.order_by("-version")

    def version_of(
        self, owner_id: int | None, name: str, messages: list[dict[str, str]]
    ) -> TemplateVersion:
        """Return the version with these messages, stored if it does not exist.

        Equal messages under one name of an owner are one version; others get the next number.
        """
        text = json.dumps(messages, ensure_ascii=False, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        named = self.filter(owner_id=owner_id, name=name)
        for attempt in range(ATTEMPTS):
            if found := named.filter(digest=digest).first():
                return TemplateVersion(found, is_new=False)
            top = named.aggregate(top=Max("version"))["top"] or 0
            values: dict[str, Any] = {"version": top + 1, "messages": messages, "digest": digest}
            try:
                with transaction.atomic():
                    made = self.create(owner_id=owner_id, name=name, **values)
            except IntegrityError:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return TemplateVersion(made, is_new=True)
        raise AssertionError("the last attempt returns or raises")


class Template(models.Model):
    """A version of a template. Never changes."""

    name = models.CharField(max_length=MAX_NAME_CHARS, blank=True, default="")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    version = models.PositiveIntegerField()
    messages = models.JSONField(help_text="a role and a content in the language of Jinja each")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the messages")
    created_at = models.DateTimeField(db_default=Now())

    objects = TemplateQuerySet.as_manager()

    class Meta:
        # NULLs are different in a constraint, so templates without an owner need their own.
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "name", "version"],
                condition=Q(owner__isnull=False),
                name="template_version_once",
            ),
            models.UniqueConstraint(
                fields=["name", "version"],
                condition=Q(owner__isnull=True),
                name="template_version_once_unowned",
            ),
            models.UniqueConstraint(
                fields=["owner", "name", "digest"],
                condition=Q(owner__isnull=False),
                name="template_messages_once",
            ),
            models.UniqueConstraint(
                fields=["name", "digest"],
                condition=Q(owner__isnull=True),
                name="template_messages_once_unowned",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name or 'template'} v{self.version}"
