"""Bounds on what a compressed table may unpack to, and the error of a damaged file."""

from batches.inputs.text_lines import MOST_TIMES_UNPACKED, SMALL_BYTES, UnreadableFile

# The room that a cell takes beside its text.
CELL_BYTES = 8


class UnpackedBytes:
    """Counts what a file unpacks to, and refuses more than 500 times its size."""

    def __init__(self, what: str, packed: int) -> None:
        self._what = what
        self._packed = packed
        self._left = max(SMALL_BYTES, packed * MOST_TIMES_UNPACKED)

    def count(self, size: int) -> None:
        """Count some more bytes. Raise UnreadableFile if they are too many together."""
        self._left -= size
        if self._left < 0:
            raise UnreadableFile(
                f"The {self._what} unpacks to more than {MOST_TIMES_UNPACKED} times its "
                f"{self._packed} bytes, which no table of prompts does: save the table as CSV and "
                "give that."
            )


def too_large(what: str, size: int, most: int, remedy: str) -> UnreadableFile:
    """Return the error of a part that unpacks to too much."""
    return UnreadableFile(f"{what} {size:,} bytes. The most is {most:,}: {remedy}.")


def damaged(what: str, reason: object, remedy: str) -> UnreadableFile:
    """Return the error of a file that cannot be read as what it is."""
    text = " ".join(str(reason).split()).rstrip(".")
    return UnreadableFile(f"The {what} is damaged or truncated ({text[:300]}): {remedy}.")


def row_too_long(most: int) -> str:
    """Return the error of a row with too much text."""
    return f"The row is longer than {most} bytes (MAX_LINE_BYTES)."
