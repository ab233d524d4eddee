"""How the registry's commands show things to people."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from datetime import UTC, datetime


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of the same length as lines, each column as wide as it must be."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def share(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, int | float) else "–"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def day(seconds: float) -> str:
    """`2026-11-21 19:30`, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def person() -> str:
    """Who runs this command, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        user = "someone"
    return f"{user}@{socket.gethostname()}"
