"""The goods of a project: each in a category, with an owner, and with a column that is hidden."""

from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.db import models


class StoredModel(models.Model):
    # The type checker has the settings of another project.
    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True


class Category(StoredModel):
    name = models.CharField(max_length=50)
    # The pages of the admin do not show it.
    note = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class Supplier(StoredModel):
    """It has no pages in the admin."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Item(StoredModel):
    RATES = (Decimal("0.5"), Decimal("1.0"))

    title = models.CharField(max_length=100)
    body = models.TextField()
    # The pages of the admin do not show it.
    secret = models.CharField(max_length=50, blank=True)
    # The list shows it.
    views = models.IntegerField(default=0, editable=False)
    summary = models.TextField(blank=True)
    rate = models.DecimalField(
        max_digits=3,
        decimal_places=1,
        null=True,
        blank=True,
        choices=[(rate, str(rate)) for rate in RATES],
    )
    category = models.ForeignKey(
        Category, models.SET_NULL, null=True, blank=True, related_name="goods"
    )
    supplier = models.ForeignKey(Supplier, models.SET_NULL, null=True, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)

    def __str__(self) -> str:
        return self.title
