"""The compiled form of a JSON Schema, of bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass

import jsonschema_rs

from batches.engine.errors import PromptRejected
from batches.engine.keywords import LoadedSchema

# What all patterns of a schema may take; one of a few letters takes megabytes: \p{L}{1,99}.
MAX_PATTERNS_BYTES = 16 * 1024 * 1024
# What each may take, tried in turn: from what is enough for most to the default of the library.
PATTERN_BYTES = tuple(kib * 1024 for kib in (32, 128, 512, 2048, 5120, 10_240))
_IS_NO_PATTERN = 'is not a "regex"'


@dataclass(frozen=True, slots=True)
class Compiled:
    """Who validates by a schema, and what each of the patterns takes at the most."""

    validator: jsonschema_rs.Draft202012Validator
    pattern_bytes: int


def compile_schema(
    schema: LoadedSchema, *, patterns: int = 1, registry: jsonschema_rs.Registry | None = None
) -> Compiled:
    """The validator of a schema with so many patterns, which knows no other documents than those
    of the registry.

    Raises PromptRejected.
    """
    sizes = [size for size in PATTERN_BYTES if size * patterns <= MAX_PATTERNS_BYTES]
    if not sizes:
        most = MAX_PATTERNS_BYTES // PATTERN_BYTES[0]
        raise no_schema(f"it has {patterns} patterns; the most is {most}")
    for size in sizes:
        try:
            return Compiled(_validator(schema, size, registry), size)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            if _IS_NO_PATTERN in reason and size != sizes[-1]:
                continue
            if _IS_NO_PATTERN in reason:
                reason += f" that runs in linear time and takes no more than {size // 1024} KiB"
            raise no_schema(reason, getattr(error, "instance_path", ())) from error
    raise AssertionError


def _validator(
    schema: LoadedSchema, size: int, registry: jsonschema_rs.Registry | None
) -> jsonschema_rs.Draft202012Validator:
    # Matching remembers as much again as a pattern takes, in each thread.
    options = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=size)
    return jsonschema_rs.Draft202012Validator(
        schema, offline=True, pattern_options=options, registry=registry
    )


def no_schema(reason: str, place: Iterable[str | int] = ()) -> PromptRejected:
    """The refusal of what is no schema, with the place of the fault."""
    param = ".".join(map(str, ("schema", *place)))
    return PromptRejected(f"not a JSON Schema: {reason}", param=param)
