"""Admin pages of users and groups in unfold's theme, instead of Django's.

The pages of this project alone: the app leaves the ones of other projects as they are.
"""

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
        """Django's admin of users in unfold's theme."""

    class PlainGroups(GroupAdmin, ModelAdmin):
        """Django's admin of groups in unfold's theme."""


@admin.register(User)
class Users(PlainUsers):
    """Users who may log in, and their permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions = None
    # Plain lists: Django's filter widgets are not accessible to every user.
    filter_horizontal = ()

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Forbid deleting a user who has batches, since they would be deleted too.

        Staff can deactivate such a user instead.
        """
        if obj is not None and Batch.objects.filter(owner=obj).exists():
            return False
        return super().has_delete_permission(request, obj)


@admin.register(Group)
class Groups(PlainGroups):
    """Permissions that several users share."""

    filter_horizontal = ()
