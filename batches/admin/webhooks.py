"""Admin pages of webhook endpoints and of their deliveries."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from batches.admin.base import MachineMade, allowed, note, page_context
from batches.admin.widgets import SelectInput, Text
from batches.errors import NotPossible
from batches.lifecycle import EVENT_TYPES
from batches.models import WebhookDelivery, WebhookEndpoint
from batches.models.fields import choices
from batches.webhooks.endpoints import UrlRefused, create_endpoint, delete_endpoint, send_sample


class EndpointForm(forms.Form):
    """The owner, URL and events of a new webhook endpoint."""

    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username"),
        widget=SelectInput(),
        empty_label=None,
        help_text="Receives events for this user's batches.",
    )
    name = forms.CharField(max_length=100, widget=Text())
    url = forms.CharField(
        label="URL", max_length=500, widget=Text(placeholder="https://example.com/hook")
    )
    event_types = forms.MultipleChoiceField(
        label="Events",
        choices=choices(EVENT_TYPES),
        initial=list(EVENT_TYPES),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "tp-checkbox"}),
    )


@admin.register(WebhookEndpoint)
class EndpointAdmin(MachineMade[WebhookEndpoint]):
    """An endpoint's secret is shown once; to change an endpoint, staff create another one."""

    list_display = ("name", "url", "owner", "events", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "url", "owner__username", "public_id")
    fields = ("public_id", "name", "url", "owner", "events", "created_at", "updated_at")
    ordering = ("-pk",)
    actions = None
    change_form_outer_before_template = "admin/batches/endpoint_test.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        """Leave out the callback URLs of single batches, of which there may be thousands."""
        return super().get_queryset(request).filter(batch=None)

    @admin.display(description="Events")
    def events(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.add_webhookendpoint")

    def may_test(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.change_webhookendpoint")

    def has_test_permission(
        self, request: HttpRequest, _obj: WebhookEndpoint | None = None
    ) -> bool:
        return self.may_test(request)

    def add_view(
        self, request: HttpRequest, _form_url: str = "", _extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form, then the signing secret in the response itself."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = EndpointForm(request.POST or None, initial={"owner": request.user.pk})
        made = self._made(request, form) if request.method == "POST" and form.is_valid() else ""
        context = page_context(self, request, "New webhook endpoint", form=form, secret=made)
        return render(request, "admin/batches/secret.html", context)

    def _made(self, request: HttpRequest, form: EndpointForm) -> str:
        data = form.cleaned_data
        try:
            made = create_endpoint(
                data["owner"], name=data["name"], url=data["url"], event_types=data["event_types"]
            )
        except UrlRefused as error:
            form.add_error("url", str(error))
            return ""
        except NotPossible as error:
            form.add_error(None, str(error))
            return ""
        note(request, made.endpoint, "Created.")
        return made.secret

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        more = {**(extra_context or {}), "may_test": self.may_test(request)}
        return super().change_view(request, object_id, form_url, more)

    def delete_model(self, _request: HttpRequest, obj: WebhookEndpoint) -> None:
        delete_endpoint(obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.send_test))
        return [
            path("<int:pk>/test/", view, name="batches_webhookendpoint_test"),
            *super().get_urls(),
        ]

    def send_test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a sample event now, and show the endpoint's response."""
        endpoint = allowed(self, request, pk, to="test")
        answer = send_sample(endpoint, EVENT_TYPES[0])
        note(request, endpoint, "Sent a test event.")
        if answer.accepted:
            messages.success(request, f"Delivered: HTTP {answer.status_code}.")
        else:
            reason = answer.detail or answer.error or f"HTTP {answer.status_code}"
            messages.error(request, f"Delivery failed: {reason}")
        page = reverse("admin:batches_webhookendpoint_change", args=[pk])
        return HttpResponseRedirect(page)


@admin.register(WebhookDelivery)
class DeliveryAdmin(MachineMade[WebhookDelivery]):
    """Events that were sent or are due, with their endpoint and result."""

    list_display = (
        *("event_type", "object_id", "endpoint", "status", "attempts", "status_code", "error"),
        "created_at",
    )
    list_filter = ("status", "event_type")
    list_select_related = ("endpoint",)
    search_fields = ("object_id", "event_id")
    fields = (*list_display, "event_id", "next_attempt_at", "delivered_at")
    ordering = ("-pk",)
    date_hierarchy = "created_at"
    show_full_result_count = False
    actions = None

    def has_delete_permission(
        self, _request: HttpRequest, _obj: WebhookDelivery | None = None
    ) -> bool:
        return False
