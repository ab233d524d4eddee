"""Numbers and lists in sentences: one picture, two pictures, and of many names the first."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 20


def few(names: Sequence[str], most: int = NAMED) -> list[str]:
    """The first names, and how many more there are."""
    left = len(names) - most
    return [*names[:most], f"… and {left:,} more"] if left > 0 else list(names)


def counted(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
