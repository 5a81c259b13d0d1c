"""Format numbers and times for display."""

from decimal import Decimal

# Shown for a missing value.
NOTHING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


def duration(seconds: float | None) -> str:
    """Format seconds, such as 320 ms, 4.2 s, 3 min 20 s or 2 h 5 min."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def microseconds(seconds: float | None) -> float | None:
    """Round seconds to six decimal places, since more digits of a clock are noise."""
    return None if seconds is None else round(seconds, 6)


def count(value: float | None) -> str:
    """Format a number, such as 12,345, or 1.2 M from a million on."""
    if value is None:
        return NOTHING
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f} M"
    return f"{value:,.0f}"


def rate(per_second: float | None) -> str:
    """Format a rate per second, or per minute if it is below one per second."""
    if per_second is None:
        return NOTHING
    if per_second < 1:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


def times(factor: float | None) -> str:
    """Format a factor, such as a speed-up."""
    if factor is None:
        return NOTHING
    return f"{factor:,.0f}{TIMES}" if factor >= 10 else f"{factor:.1f}{TIMES}"


def share(part: float, whole: float) -> float:
    """Return a part as a percentage of the whole, at most 100."""
    return min(100.0, 100 * part / whole) if whole else 0.0


def dollars(amount: Decimal | None) -> str:
    """Format dollars, such as $1,234.50; amounts below one dollar have four decimals."""
    if amount is None:
        return NOTHING
    if amount == 0 or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= Decimal("0.0001") else "< $0.0001"


def size(count_of_bytes: int) -> str:
    """Format a number of bytes, such as 1.5 MB."""
    value = float(count_of_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.1f}".removesuffix(".0") + f" {unit}"
        value /= 1000
    return f"{value:.1f} GB"
