"""The project's own pages of its users."""

from django.contrib import admin

from tests.host.members.models import Member


@admin.register(Member)
class MemberAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # only its stubs can be subscripted
    list_display = ("email", "is_staff")
    search_fields = ("email",)
