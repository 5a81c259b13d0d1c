"""Where the embedded broker listens."""

from pathlib import Path
from typing import Any


def broker_url(data_dir: Path) -> str:
    return f"redis+socket://{data_dir / 'broker.sock'}"


def broker_transport_options(data_dir: Path) -> dict[str, Any]:
    return {}
