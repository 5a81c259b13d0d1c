"""Admin pages of providers: edit one, test its connection, pause and resume it."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from batches.actions.providers import forget_learned_limits, pause_provider, resume_provider
from batches.admin.base import ModelAdmin, admin_url, allowed, note, register
from batches.admin.widgets import JsonText, Number, Secret, Text, TextArea, Toggle
from batches.database import transaction
from batches.errors import NotPossible
from batches.formats import NOTHING
from batches.limits.prices import check_prices
from batches.models import Provider
from batches.models.provider import checked_extra_endpoints
from batches.net.ways_out import Proxy, checked_authorities, checked_client_certificate
from batches.providers.answers import note_answer, with_last_answer
from batches.providers.client import ProviderClient, checked_base_url, origin_of
from batches.providers.configured import NO_PROXY
from batches.providers.key_variables import VariableRefused, check_variable_of_staff
from batches.providers.probing import probe
from batches.secrets.encryption import NotDecryptable, decrypt, encrypt

LIMITS = ("requests_per_minute", "tokens_per_minute", "max_in_flight")
# Fields that the form edits in the form in which they are stored.
PLAIN = ("name", "base_url", "api_key_env", "is_default", "takes_cache_keys", *LIMITS)
_MORE = (
    *(*LIMITS, "takes_cache_keys", "prices", "extra_endpoints"),
    *("ca_certificates", "client_certificate", "proxy"),
)
# All columns that the form writes.
COLUMNS = (
    *(*PLAIN, "model_names", "extra_endpoints", "prices", "api_key_encrypted"),
    *("ca_certificates", "client_certificate_encrypted", "proxy_encrypted"),
)

# Shown instead of a stored secret. A field saved with the mask unchanged keeps its secret.
MASK = "********"

ENV_HINT = "Instead of a key: the name of an environment variable of the workers that holds it."
KEY_AGAIN = (
    "Enter the key again: with this address, proxy or authority, "
    "the stored key could be sent to a server that it was not entered for."
)
CA_HINT = (
    "Certificate authorities to trust for this provider, besides the public ones, "
    "in PEM format (-----BEGIN CERTIFICATE-----)."
)
CERTIFICATE_HINT = (
    "A certificate and its private key in PEM format, for a server that asks for one. "
    "Stored encrypted, never shown again."
)
PROXY_HINT = (
    "Such as http://user:password@proxy.example:3128, stored encrypted; 'none' calls the provider "
    "directly. Leave empty to use the setting PROVIDER_PROXY."
)
MODELS_HINT = "One model per line; prompts for other models are refused. Leave empty to allow any."


ENDPOINTS_HINT = (
    "Paths that batches may call besides the usual endpoints, one per line, such as /v1/rerank. "
    "Requests and replies are passed through as JSON."
)


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The form in which staff edit a provider. A stored key is never shown."""

    api_key = forms.CharField(
        label="API key",
        required=False,
        max_length=1000,
        widget=Secret(),
        help_text="Stored encrypted, never shown again.",
    )
    forget_key = forms.BooleanField(label="Forget the stored key", required=False, widget=Toggle())
    model_names = forms.CharField(
        label="Models", required=False, widget=TextArea(rows=4), help_text=MODELS_HINT
    )
    extra_endpoints = forms.CharField(
        label="More endpoints",
        required=False,
        widget=TextArea(rows=2, placeholder="/v1/rerank"),
        help_text=ENDPOINTS_HINT,
    )

    prices = JsonText(
        required=False,
        widget=TextArea(rows=3, placeholder='{"some-model": {"input": 0.5, "output": 1.5}}'),
        help_text="USD per million tokens; overrides published prices.",
    )

    ca_certificates = forms.CharField(
        label="CA certificates",
        required=False,
        max_length=1_000_000,
        widget=TextArea(rows=3),
        help_text=CA_HINT,
    )
    client_certificate = forms.CharField(
        label="Client certificate",
        required=False,
        max_length=100_000,
        widget=TextArea(rows=3, autocomplete="off"),
        help_text=CERTIFICATE_HINT,
    )
    proxy = forms.CharField(
        label="Proxy",
        required=False,
        max_length=1000,
        widget=Text(autocomplete="off"),
        help_text=PROXY_HINT,
    )

    class Meta:
        model = Provider
        fields = PLAIN
        labels: ClassVar = {
            "base_url": "Base URL",
            "api_key_env": "API key variable",
            "takes_cache_keys": "Takes cache keys",
        }
        help_texts: ClassVar = {
            "base_url": "Such as https://api.example.com/v1",
            "api_key_env": ENV_HINT,
            "requests_per_minute": "Leave empty to follow the provider's rate-limit headers.",
            "max_in_flight": "Concurrent calls, all batches together.",
            "is_default": "Runs the batches that name neither a provider nor a model of one.",
            "takes_cache_keys": "Prompts that are sorted by their beginnings are sent with "
            "prompt_cache_key, by which OpenAI finds the cache of a beginning. Some servers "
            "refuse the field.",
        }
        widgets: ClassVar = {
            "name": Text(),
            "base_url": Text(placeholder="https://api.example.com/v1"),
            "api_key_env": Text(),
            "is_default": Toggle(),
            "takes_cache_keys": Toggle(),
            **{name: Number() for name in LIMITS},
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "model_names" in self.fields:
            self.initial["model_names"] = "\n".join(self.instance.model_names)
            self.initial["extra_endpoints"] = "\n".join(self.instance.extra_endpoints)
            self.initial["prices"] = self.instance.prices or None
            self.initial["ca_certificates"] = self.instance.ca_certificates
            self.initial["proxy"] = self._shown_proxy()
            if self.instance.client_certificate_encrypted:
                self.initial["client_certificate"] = MASK
        if self._has_key() and "api_key" in self.fields:
            self.fields["api_key"].help_text = "A key is stored. Enter another to replace it."
        elif "forget_key" in self.fields:
            del self.fields["forget_key"]

    def _has_key(self) -> bool:
        # An unsaved row holds the database default here, which is not a string.
        return self.instance.pk is not None and bool(self.instance.api_key_encrypted)

    def clean_base_url(self) -> str:
        try:
            return checked_base_url(self.cleaned_data["base_url"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_api_key(self) -> str:
        key: str = self.cleaned_data["api_key"].strip()
        try:
            ProviderClient("http://localhost", api_key=key)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return key

    def clean_ca_certificates(self) -> str:
        text = self.cleaned_data["ca_certificates"]
        return _checked(checked_authorities, text) if text.strip() else ""

    def clean_client_certificate(self) -> str:
        """Return the column's new value: the encrypted certificate, or the value already stored."""
        text = self.cleaned_data["client_certificate"].strip()
        if text == MASK:
            return str(self.instance.client_certificate_encrypted)
        return encrypt(_checked(checked_client_certificate, text)) if text else ""

    def clean_proxy(self) -> str:
        """Return the column's new value: the encrypted URL, or the value already stored."""
        text = self.cleaned_data["proxy"].strip()
        if text and text == self.initial["proxy"]:
            return str(self.instance.proxy_encrypted)
        if MASK in text:
            raise forms.ValidationError("Enter the user and password of the proxy again.")
        if text and text != NO_PROXY:
            _checked(Proxy.of, text)
        return encrypt(text) if text else ""

    def _shown_proxy(self) -> str:
        """Return the URL of the stored proxy with user and password masked."""
        if not self.instance.proxy_encrypted:
            return ""
        try:
            text = decrypt(self.instance.proxy_encrypted)
        except NotDecryptable:
            return MASK
        if text == NO_PROXY:
            return text
        proxy = Proxy.of(text)
        return proxy.url.replace("://", f"://{MASK}@") if proxy.user or proxy.password else text

    def clean_model_names(self) -> list[str]:
        return _lines(self.cleaned_data["model_names"])

    def clean_extra_endpoints(self) -> list[str]:
        return checked_extra_endpoints(_lines(self.cleaned_data["extra_endpoints"]))

    def clean(self) -> dict[str, Any]:
        # Django's check that the name is unique.
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for name in LIMITS:
            if data.get(name) == 0:
                self.add_error(name, "Leave empty for no limit. Pause the provider to stop calls.")
        if "base_url" in data:
            self._check_key_stays_home(data)
        return data

    def _check_key_stays_home(self, data: dict[str, Any]) -> None:
        """Refuse to send a stored key, which this user may not know, to a server the user chose."""
        moved = self._leads_elsewhere(data)
        replaced = data.get("api_key") or data.get("forget_key")
        if moved and self._has_key() and not replaced and "api_key" not in self.errors:
            self.add_error("api_key", KEY_AGAIN)
        variable = data.get("api_key_env", "")
        if variable and (moved or variable != self.instance.api_key_env):
            try:
                check_variable_of_staff(variable)
            except VariableRefused as error:
                self.add_error("api_key_env", f"{error}.")

    def _leads_elsewhere(self, data: dict[str, Any]) -> bool:
        """Return True if the key may reach a server other than the one it was entered for.

        A proxy sees plain-text requests, and encrypted ones too if its own authority is trusted.
        """
        before = self.instance
        return (
            before.pk is None
            or origin_of(before.base_url) != origin_of(data["base_url"])
            or data.get("proxy", "") not in ("", before.proxy_encrypted)
            or data.get("ca_certificates", "") not in ("", before.ca_certificates)
        )

    def clean_prices(self) -> dict[str, Any]:
        prices = self.cleaned_data["prices"] or {}
        try:
            check_prices(prices)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return dict(prices)

    def _get_validation_exclusions(self) -> set[str]:
        # `save_model` clears the flag of the current default, so uniqueness is not checked.
        left_out: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # it is there
        return {*left_out, "is_default"}


def _lines(text: str) -> list[str]:
    """Return the lines of a text without blank lines and repetitions."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _checked(check: Callable[[str], Any], text: str) -> Any:
    """Return what a check returns; turn its ValueError into a ValidationError."""
    try:
        return check(text)
    except ValueError as error:
        message = str(error)
        raise forms.ValidationError(f"{message[0].upper()}{message[1:]}.") from error


@register(Provider)
class ProviderAdmin(ModelAdmin[Provider]):
    """Providers are edited only by staff, since they decide which servers receive the prompts."""

    form = ProviderForm
    list_display = ("name", "state", "base_url", "key", "models", "default")
    search_fields = ("name", "base_url")
    change_form_outer_before_template = "admin/batches/provider_state.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        return with_last_answer(super().get_queryset(request))

    @admin.display(description="State")
    def state(self, provider: Provider) -> SafeString:
        return render_to_string("admin/batches/provider_badge.html", {"provider": provider})

    @admin.display(description="Key")
    def key(self, provider: Provider) -> str:
        if provider.api_key_encrypted:
            return "stored"
        return f"${provider.api_key_env}" if provider.api_key_env else "none"

    @admin.display(description="Models")
    def models(self, provider: Provider) -> str:
        names = provider.model_names
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more or "any"

    @admin.display(description="Default", ordering="is_default")
    def default(self, provider: Provider) -> str:
        return "the default" if provider.is_default else NOTHING

    def get_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[Any]:
        if not self.has_change_permission(request, obj):
            return ["name", "base_url", "key", "models", "default"]
        key = ["api_key", "forget_key"] if obj and obj.api_key_encrypted else ["api_key"]
        return ["name", "base_url", *key, "api_key_env", "model_names", "is_default", *_MORE]

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> list[str]:
        return [] if self.has_change_permission(request, obj) else ["key", "models", "default"]

    def save_model(
        self,
        _request: HttpRequest,
        obj: Provider,
        form: ProviderForm,
        change: bool,  # noqa: FBT001 - Django's
    ) -> None:
        """Store only the columns of the form: workers write the other columns concurrently."""
        obj.model_names = form.cleaned_data["model_names"]
        obj.extra_endpoints = form.cleaned_data["extra_endpoints"]
        obj.prices = form.cleaned_data["prices"]
        obj.ca_certificates = form.cleaned_data["ca_certificates"]
        obj.client_certificate_encrypted = form.cleaned_data["client_certificate"]
        obj.proxy_encrypted = form.cleaned_data["proxy"]
        if form.cleaned_data["api_key"]:
            obj.api_key_encrypted = encrypt(form.cleaned_data["api_key"])
        elif form.cleaned_data.get("forget_key"):
            obj.api_key_encrypted = ""
        with transaction.atomic():
            if obj.is_default:
                Provider.objects.exclude(pk=obj.pk).update(is_default=False)
            obj.save(update_fields=COLUMNS if change else None)

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        """Forbid deleting a provider that has batches."""
        if obj is not None and obj.batches.exists():
            return False
        return super().has_delete_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        views = {
            "test": self.test_connection,
            "pause": self.pause,
            "resume": self.resume,
            "forget_limits": self.forget_limits,
        }
        ours = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"batches_provider_{name}",
            )
            for name, view in views.items()
        ]
        return [*ours, *super().get_urls()]

    def pause(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Stop sending calls to the provider."""
        provider = allowed(self, request, pk, to="change")
        pause_provider(provider, f"by {request.user}")
        return self._back(request, provider, "Provider paused; its batches wait.")

    def resume(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Resume the provider and its batches."""
        provider = allowed(self, request, pk, to="change")
        resume_provider(provider)
        return self._back(request, provider, "Provider resumed; its batches continue.")

    def forget_limits(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Forget the rate limits learned from 429 responses."""
        provider = allowed(self, request, pk, to="change")
        try:
            forget_learned_limits(provider)
        except NotPossible as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(admin_url("batches_provider_change", provider.pk))
        return self._back(request, provider, "Learned limits forgotten.")

    def _back(self, request: HttpRequest, provider: Provider, what: str) -> HttpResponse:
        note(request, provider, what)
        messages.success(request, what)
        return HttpResponseRedirect(admin_url("batches_provider_change", provider.pk))

    def test_connection(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Test the connection and render the result as a part of the page."""
        provider = allowed(self, request, pk, to="change")
        found = probe(provider)
        if not (found.error or found.doubt):
            note_answer(provider)
        note(
            request,
            provider,
            f"Connection test: {found.error or found.doubt or 'connected'}"[:500],
        )
        return render(request, "admin/batches/probe.html", {"probe": found})

    def response_add(
        self, request: HttpRequest, obj: Provider, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Redirect to the page of the new provider, where its connection can be tested."""
        if "_addanother" not in request.POST and "_popup" not in request.POST:
            messages.success(request, f"Provider {obj} created. Test its connection below.")
            page = admin_url("batches_provider_change", obj.pk)
            return HttpResponseRedirect(page)
        return super().response_add(request, obj, post_url_continue)
