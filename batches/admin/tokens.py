"""Admin pages of API tokens: a token is created here and shown once."""

from typing import Any, cast

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from batches.admin.base import MachineMade, note, page_context, register
from batches.admin.widgets import SelectInput, Text
from batches.models import ApiToken
from batches.secrets.tokens import create_token
from batches.users import User, active_users, all_users, is_superuser, username_lookup


class TokenForm(forms.Form):
    """The owner and expiry of a new token. Only superusers create tokens for other users."""

    owner = forms.ModelChoiceField(
        active_users(),
        widget=SelectInput(),
        empty_label=None,
    )
    name = forms.CharField(
        max_length=100, required=False, widget=Text(), help_text="A label to recognise it."
    )
    expires_at = forms.DateTimeField(
        label="Expires",
        required=False,
        widget=Text(type="datetime-local"),
        help_text="UTC. Leave empty for a token that does not expire.",
    )

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, initial={"owner": user.pk})
        if not is_superuser(user):
            # A token carries its owner's permissions: no user may create one for another.
            owner = cast("forms.ModelChoiceField[User]", self.fields["owner"])
            owner.queryset = all_users().filter(pk=user.pk)

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and moment <= timezone.now():
            raise forms.ValidationError("The expiry is in the past. Choose a later time.")
        return moment


@register(ApiToken)
class TokenAdmin(MachineMade[ApiToken]):
    """Tokens are created and deleted, never changed: only a digest of the secret is stored."""

    list_display = ("prefix", "name", "owner", "created_at", "expires_at", "last_used_at")
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", username_lookup("owner"))
    fields = list_display
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.add_apitoken")

    def add_view(
        self, request: HttpRequest, _form_url: str = "", _extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form, then the secret in the response itself, since it is not stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(cast(User, request.user), request.POST or None)
        secret = ""
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            secret = create_token(data["owner"], name=data["name"], expires_at=data["expires_at"])
            token = ApiToken.objects.filter(owner=data["owner"]).latest("pk")
            note(request, token, "Created.")
        context = page_context(self, request, "New API token", form=form, secret=secret)
        return render(request, "admin/batches/secret.html", context)
