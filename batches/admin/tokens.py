"""API tokens: made here, shown once."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from batches.admin.base import MachineMade, note, page_context
from batches.admin.widgets import Choice, Text
from batches.models import ApiToken
from batches.secrets.tokens import create_token


class TokenForm(forms.Form):
    """Whose token it is, and until when it is good. Only superusers make those of others."""

    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username"), widget=Choice(), empty_label=None
    )
    name = forms.CharField(
        max_length=100, required=False, widget=Text(), help_text="To tell it from others."
    )
    expires_at = forms.DateTimeField(
        label="Good until",
        required=False,
        widget=Text(type="datetime-local"),
        help_text="UTC. Leave empty for a token that does not expire.",
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, initial={"owner": user.pk})
        if not user.is_superuser:
            # With the token of another user, one has what that user may do.
            owner = cast("forms.ModelChoiceField[User]", self.fields["owner"])
            owner.queryset = User.objects.filter(pk=user.pk)

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and moment <= timezone.now():
            raise forms.ValidationError("This is in the past.")
        return moment


@admin.register(ApiToken)
class TokenAdmin(MachineMade[ApiToken]):
    """Tokens are made and deleted, never changed: of the secret only a digest is stored."""

    list_display = ("prefix", "name", "owner", "created_at", "expires_at", "last_used_at")
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username")
    fields = list_display
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.add_apitoken")

    def add_view(
        self, request: HttpRequest, _form_url: str = "", _extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A form; then the secret, in the answer itself: nowhere else is it kept."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(cast(User, request.user), request.POST or None)
        secret = ""
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            secret = create_token(data["owner"], name=data["name"], expires_at=data["expires_at"])
            token = ApiToken.objects.filter(owner=data["owner"]).latest("pk")
            note(request, token, "Made.")
        context = page_context(self, request, "New API token", form=form, secret=secret)
        return render(request, "admin/batches/secret.html", context)
