"""Compile a JSON Schema within bounded memory.

The library is loaded with the first schema: most batches have none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batches.engine.errors import PromptRejected
from batches.engine.schemas.keywords import LoadedSchema
from batches.engine.text.wording import supported

if TYPE_CHECKING:
    import jsonschema_rs

# Memory for all patterns of a schema; even a short pattern can take megabytes: \p{L}{1,99}.
MAX_PATTERNS_BYTES = 16 * 1024 * 1024
# In the worst case a matcher tries each part of a pattern at each character.
PATTERN_BYTES_PER_STEP = 640
# Memory limits for one pattern, tried in turn: from enough for most to the library's default.
PATTERN_BYTES = tuple(kib * 1024 for kib in (32, 128, 512, 2048, 5120, 10_240))
# A pattern with look-around or back-references is matched by backtracking. After this many steps
# back a value does not match; each step may read all the characters again.
MAX_STEPS_BACK = 1000
TRYING_STEPS_PER_CHAR = 300

_IS_NO_PATTERN = 'is not a "regex"'
_TYPES = supported(("array", "boolean", "integer", "null", "number", "object", "string"))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A validator, and the most that each of its patterns costs: steps per character, bytes."""

    validator: "jsonschema_rs.Draft202012Validator"
    pattern_steps: int
    pattern_bytes: int


def compile_schema(
    schema: LoadedSchema, *, patterns: int = 1, registry: "jsonschema_rs.Registry | None" = None
) -> Compiled:
    """Return the validator of a schema with this many patterns.

    It can read only the documents of the registry. Raise PromptRejected for an invalid schema.
    """
    from jsonschema_rs import (  # noqa: PLC0415 - takes long
        ReferencingError,
        ValidationError,
    )

    sizes = [size for size in PATTERN_BYTES if size * patterns <= MAX_PATTERNS_BYTES]
    if not sizes:
        most = MAX_PATTERNS_BYTES // PATTERN_BYTES[0]
        raise no_schema(f"it has {patterns} patterns; the most is {most}")
    for options_of, steps_per_char in ((_linear, 0), (_trying, TRYING_STEPS_PER_CHAR)):
        for size in sizes:
            try:
                validator = _validator(schema, options_of(size), registry)
                steps = size // PATTERN_BYTES_PER_STEP + steps_per_char
                return Compiled(validator, steps, size)
            except (ValidationError, ReferencingError, ValueError) as error:
                is_last = options_of is _trying and size == sizes[-1]
                if is_last or _IS_NO_PATTERN not in str(error):
                    raise _refusal(error, size) from error
    raise AssertionError


def _linear(size: int) -> "jsonschema_rs.RegexOptions":
    from jsonschema_rs import RegexOptions  # noqa: PLC0415 - takes long

    # While matching, each thread needs as much memory again as the pattern itself.
    return RegexOptions(size_limit=size, dfa_size_limit=size)


def _trying(size: int) -> "jsonschema_rs.FancyRegexOptions":
    """Return the options of the matcher that supports look-around and back-references."""
    from jsonschema_rs import FancyRegexOptions  # noqa: PLC0415 - takes long

    return FancyRegexOptions(backtrack_limit=MAX_STEPS_BACK, size_limit=size, dfa_size_limit=size)


def _validator(
    schema: LoadedSchema,
    options: "jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions",
    registry: "jsonschema_rs.Registry | None",
) -> "jsonschema_rs.Draft202012Validator":
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415 - takes long

    return Draft202012Validator(schema, offline=True, pattern_options=options, registry=registry)


def _refusal(error: Exception, size: int) -> PromptRejected:
    place = tuple(getattr(error, "instance_path", ()))
    reason = str(error).partition("\n")[0].rstrip(".")
    if _IS_NO_PATTERN in reason:
        reason += f" that takes no more than {size // 1024} KiB"
    if place and place[-1] == "type":
        return no_schema(f"{reason}. {_TYPES.removesuffix('.')}", place)
    return no_schema(reason, place)


def no_schema(reason: str, place: Iterable[str | int] = ()) -> PromptRejected:
    """Return the error for an invalid JSON Schema, with the place of the fault."""
    param = ".".join(map(str, ("schema", *place)))
    return PromptRejected(f"'{param}' is not a JSON Schema: {reason}.", param=param)
