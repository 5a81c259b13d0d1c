"""The compiled form of a JSON Schema, of bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass

import jsonschema_rs

from batches.engine.errors import PromptRejected
from batches.engine.schemas.keywords import LoadedSchema
from batches.engine.text.wording import supported

# What all patterns of a schema may take; one of a few letters takes megabytes: \p{L}{1,99}.
MAX_PATTERNS_BYTES = 16 * 1024 * 1024
# A matcher that finds no shortcut tries each part of a pattern at each character.
PATTERN_BYTES_PER_STEP = 640
# What each may take, tried in turn: from what is enough for most to the default of the library.
PATTERN_BYTES = tuple(kib * 1024 for kib in (32, 128, 512, 2048, 5120, 10_240))
# A pattern with look-around or back-references is matched by trying. After this many steps back a
# value does not match; each step may look through all the characters again.
MAX_STEPS_BACK = 1000
TRYING_STEPS_PER_CHAR = 300

_IS_NO_PATTERN = 'is not a "regex"'
_REFUSALS = (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError)
_TYPES = supported(("array", "boolean", "integer", "null", "number", "object", "string"))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A validator, and what each of its patterns costs at the most: steps a character, memory."""

    validator: jsonschema_rs.Draft202012Validator
    pattern_steps: int
    pattern_bytes: int


def compile_schema(
    schema: LoadedSchema, *, patterns: int = 1, registry: jsonschema_rs.Registry | None = None
) -> Compiled:
    """Return the validator of a schema with this many patterns.

    It knows no other documents than those of the registry. Raises PromptRejected.
    """
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
            except _REFUSALS as error:
                is_last = options_of is _trying and size == sizes[-1]
                if is_last or _IS_NO_PATTERN not in str(error):
                    raise _refusal(error, size) from error
    raise AssertionError


Options = jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions


def _linear(size: int) -> Options:
    # Matching remembers as much again as a pattern takes, in each thread.
    return jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=size)


def _trying(size: int) -> Options:
    """Return the options of the matcher that knows look-around and back-references."""
    return jsonschema_rs.FancyRegexOptions(
        backtrack_limit=MAX_STEPS_BACK, size_limit=size, dfa_size_limit=size
    )


def _validator(
    schema: LoadedSchema, options: Options, registry: jsonschema_rs.Registry | None
) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        schema, offline=True, pattern_options=options, registry=registry
    )


def _refusal(error: Exception, size: int) -> PromptRejected:
    place = tuple(getattr(error, "instance_path", ()))
    reason = str(error).partition("\n")[0].rstrip(".")
    if _IS_NO_PATTERN in reason:
        reason += f" that takes no more than {size // 1024} KiB"
    if place and place[-1] == "type":
        return no_schema(f"{reason}. {_TYPES.removesuffix('.')}", place)
    return no_schema(reason, place)


def no_schema(reason: str, place: Iterable[str | int] = ()) -> PromptRejected:
    """Return the refusal of what is no schema, with the place of the fault."""
    param = ".".join(map(str, ("schema", *place)))
    return PromptRejected(f"'{param}' is not a JSON Schema: {reason}.", param=param)
