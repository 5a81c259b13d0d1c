"""Form widgets and fields, in unfold's theme where the project has it."""

import json
from typing import Any

from django import forms
from django.apps import apps
from django.forms.fields import InvalidJSONInput
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batches.inputs.request_lines import LineRefused, storable_value

if apps.is_installed("unfold"):
    from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES, SWITCH_CLASSES, TEXTAREA_CLASSES
else:
    INPUT_CLASSES = SELECT_CLASSES = SWITCH_CLASSES = TEXTAREA_CLASSES = []


def _classes(names: list[str]) -> dict[str, str]:
    return {"class": " ".join(names)}


class Text(forms.TextInput):
    """A single-line text input."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**_classes(INPUT_CLASSES), **attrs})


class Number(forms.NumberInput):
    """A number input."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**_classes(INPUT_CLASSES), **attrs})


class Secret(forms.PasswordInput):
    """A password input that never sends the stored value back to the browser."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(
            {**_classes(INPUT_CLASSES), "autocomplete": "new-password", **attrs}, render_value=False
        )


class TextArea(forms.Textarea):
    """A multi-line text input."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**_classes(TEXTAREA_CLASSES), "spellcheck": "false", **attrs})


class SelectInput(forms.Select):
    """A select box."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**_classes(SELECT_CLASSES), **attrs})


class FileInput(forms.FileInput):
    """A file input.

    Unfold's script writes the name of a chosen file into the first text input of the element three
    levels up. The hidden input here receives it, so that no other field of the form is changed.
    """

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**attrs, "class": "tp-file"})

    def render(self, *arguments: Any, **named: Any) -> SafeString:
        return format_html(
            '<div><input type="text" disabled hidden><div><div>{}</div></div></div>',
            super().render(*arguments, **named),
        )


class Toggle(forms.CheckboxInput):
    """A switch: on or off."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__({**_classes(SWITCH_CLASSES), **attrs})


class JsonText(forms.JSONField):
    """An optional JSON value that databases can store and providers accept."""

    def to_python(self, value: Any) -> Any:
        if self.disabled or not isinstance(value, str) or value in self.empty_values:
            return super().to_python(value)
        try:
            return storable_value(value)
        except json.JSONDecodeError as error:
            place = f"{error.msg} at line {error.lineno}, column {error.colno}."
            raise forms.ValidationError(f"Enter a valid JSON. {place}", code="invalid") from error
        except LineRefused as error:
            reason = error.faults[0][1]
            raise forms.ValidationError(
                f"The JSON cannot be used. {reason}", code="invalid"
            ) from error

    def bound_data(self, data: Any, _initial: Any) -> Any:
        """Return the text that the user entered, unchanged."""
        return None if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)
