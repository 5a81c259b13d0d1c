"""Field helpers shared by several models."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from batches.lifecycle import PauseKind


def public_id(prefix: str) -> str:
    """Return a new identifier that can be shown and cannot be guessed."""
    return f"{prefix}{uuid.uuid4().hex}"


def choices(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(value), str(value)) for value in values]


def one_of(field: str, values: Iterable[str], name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q((f"{field}__in", list(map(str, values)))), name=name)


def pause_kind_field() -> "models.CharField[str, str]":
    """Return the column for the kind of a pause; empty while nothing is paused."""
    return models.CharField(
        max_length=16, choices=choices(PauseKind), blank=True, db_default="", default=""
    )


def lease_end(seconds: float) -> Any:
    """Return the time this many seconds from now, on the database's clock."""
    return Now() + timedelta(seconds=seconds)
