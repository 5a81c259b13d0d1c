"""Admin pages of webhook endpoints and of their deliveries."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from batches.admin.base import (
    MachineMade,
    admin_url,
    allowed,
    note,
    page_context,
    register,
    small_number,
)
from batches.admin.widgets import SelectInput, Text
from batches.errors import NotPossible
from batches.lifecycle import EVENT_TYPES
from batches.models import WebhookDelivery, WebhookEndpoint
from batches.models.fields import choices
from batches.users import active_users, username_lookup
from batches.webhooks.endpoints import (
    UrlRefused,
    create_endpoint,
    delete_endpoint,
    disable_endpoint,
    enable_endpoint,
    rotate_secret,
    secret_hint,
    send_sample,
    update_endpoint,
)

# The list of deliveries has them all.
SHOWN_DELIVERIES = 20


class EndpointForm(forms.Form):
    """The name, URL and events of a webhook endpoint."""

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


class NewEndpointForm(EndpointForm):
    """A new webhook endpoint, with its owner."""

    owner = forms.ModelChoiceField(
        active_users(),
        widget=SelectInput(),
        empty_label=None,
        help_text="Receives events for this user's batches.",
    )
    field_order = ("owner",)


@register(WebhookEndpoint)
class EndpointAdmin(MachineMade[WebhookEndpoint]):
    """An endpoint's secret is shown once, when it is created or rotated."""

    list_display = ("name", "state", "url", "owner", "events", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "url", username_lookup("owner"), "public_id")
    ordering = ("-pk",)
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        """Leave out the callback URLs of single batches, of which there may be thousands."""
        return super().get_queryset(request).filter(batch=None)

    @admin.display(description="Events")
    def events(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("batches.add_webhookendpoint")

    @admin.display(description="State")
    def state(self, endpoint: WebhookEndpoint) -> SafeString:
        colour, word = ("quiet", "disabled") if endpoint.disabled_at else ("good", "enabled")
        return format_html('<span class="tp-badge tp-{}">{}</span>', colour, word)

    def has_act_permission(self, request: HttpRequest, _obj: WebhookEndpoint | None = None) -> bool:
        return request.user.has_perm("batches.change_webhookendpoint")

    def add_view(
        self, request: HttpRequest, _form_url: str = "", _extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form, then the signing secret in the response itself."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewEndpointForm(request.POST or None, initial={"owner": request.user.pk})
        made = self._made(request, form) if request.method == "POST" and form.is_valid() else ""
        context = page_context(self, request, "New webhook endpoint", form=form, secret=made)
        return render(request, "admin/batches/secret.html", context)

    def _made(self, request: HttpRequest, form: NewEndpointForm) -> str:
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
        _form_url: str = "",
        _extra: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an endpoint with its latest deliveries; store the changes of the form."""
        pk = small_number(object_id)
        if pk is None:
            raise Http404
        to = "act" if request.method == "POST" else "view"
        endpoint = allowed(self, request, pk, to=to)
        initial = {name: getattr(endpoint, name) for name in EndpointForm.base_fields}
        form = EndpointForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid() and self._is_changed(endpoint, form):
            return self._back(request, endpoint, "Webhook endpoint saved.")
        return render(request, "admin/batches/webhook.html", self._page_of(request, endpoint, form))

    def _page_of(
        self, request: HttpRequest, endpoint: WebhookEndpoint, form: EndpointForm
    ) -> dict[str, Any]:
        user = request.user
        deliveries = endpoint.deliveries.order_by("-pk")[:SHOWN_DELIVERIES]
        return page_context(
            self,
            request,
            endpoint.name,
            object=endpoint,
            form=form,
            hint=secret_hint(endpoint),
            may_act=self.has_act_permission(request),
            may_delete=self.has_delete_permission(request),
            deliveries=deliveries if user.has_perm("batches.view_webhookdelivery") else None,
        )

    def _is_changed(self, endpoint: WebhookEndpoint, form: EndpointForm) -> bool:
        """Store the fields of the form; return False if it now shows an error."""
        try:
            update_endpoint(endpoint, **form.cleaned_data)
        except UrlRefused as error:
            form.add_error("url", str(error))
            return False
        return True

    def get_deleted_objects(
        self, objs: Any, _request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return an endpoint with its deliveries, which staff cannot delete without it."""
        deliveries = WebhookDelivery.objects.filter(endpoint__in=objs).count()
        counts = {"webhook endpoints": len(objs), "webhook deliveries": deliveries}
        return [str(one) for one in objs], counts, set(), []

    def delete_model(self, _request: HttpRequest, obj: WebhookEndpoint) -> None:
        delete_endpoint(obj)

    def get_urls(self) -> list[URLPattern]:
        views = {
            "test": self.send_test,
            "disable": self.disable,
            "enable": self.enable,
            "rotate": self.rotate,
        }
        ours = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"batches_webhookendpoint_{name}",
            )
            for name, view in views.items()
        ]
        return [*ours, *super().get_urls()]

    def disable(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send no more events to an endpoint."""
        endpoint = allowed(self, request, pk, to="act")
        disable_endpoint(endpoint)
        return self._back(request, endpoint, "Webhook endpoint disabled; it receives no events.")

    def enable(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send events to an endpoint again."""
        endpoint = allowed(self, request, pk, to="act")
        enable_endpoint(endpoint)
        return self._back(request, endpoint, "Webhook endpoint enabled.")

    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Create a new signing secret and show it in the response itself."""
        endpoint = allowed(self, request, pk, to="act")
        made = rotate_secret(endpoint, keep_old="keep_old" in request.POST)
        note(request, endpoint, "Rotated the signing secret.")
        context = page_context(
            self, request, "New signing secret", object=endpoint, secret=made.secret
        )
        return render(request, "admin/batches/secret.html", context)

    def _back(self, request: HttpRequest, endpoint: WebhookEndpoint, what: str) -> HttpResponse:
        note(request, endpoint, what)
        messages.success(request, what)
        return HttpResponseRedirect(_page_of(endpoint))

    def send_test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a sample event now, and show the endpoint's response."""
        endpoint = allowed(self, request, pk, to="act")
        answer = send_sample(endpoint, EVENT_TYPES[0])
        note(request, endpoint, "Sent a test event.")
        if answer.accepted:
            messages.success(request, f"Delivered: HTTP {answer.status_code}.")
        else:
            reason = answer.detail or answer.error or f"HTTP {answer.status_code}"
            messages.error(request, f"Delivery failed: {reason}")
        return HttpResponseRedirect(_page_of(endpoint))


def _page_of(endpoint: WebhookEndpoint) -> str:
    return admin_url("batches_webhookendpoint_change", endpoint.pk)


@register(WebhookDelivery)
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

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the link from the page of an endpoint to its deliveries."""
        return lookup == "endpoint__id__exact" or super().lookup_allowed(lookup, value, request)

    def has_delete_permission(
        self, _request: HttpRequest, _obj: WebhookDelivery | None = None
    ) -> bool:
        return False
