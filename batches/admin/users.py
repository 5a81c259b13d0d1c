"""Users and groups in unfold's looks."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from batches.admin.base import ModelAdmin
from batches.models import Batch

admin.site.unregister(User)
admin.site.unregister(Group)

if TYPE_CHECKING:

    class PlainUsers(UserAdmin[User]): ...

    class PlainGroups(GroupAdmin): ...
else:

    class PlainUsers(UserAdmin, ModelAdmin):
        """Django's page of users."""

    class PlainGroups(GroupAdmin, ModelAdmin):
        """Django's page of groups."""


@admin.register(User)
class Users(PlainUsers):
    """Who may log in, and what they may do here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions = None
    # Plain lists: those with a filter of their own cannot be used by everybody.
    filter_horizontal = ()

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not while there are batches of theirs, which would go with them; deactivate them."""
        if obj is not None and Batch.objects.filter(owner=obj).exists():
            return False
        return super().has_delete_permission(request, obj)


@admin.register(Group)
class Groups(PlainGroups):
    """What several users may do."""

    filter_horizontal = ()
