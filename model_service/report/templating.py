"""The templates of pages for people: everything in them is escaped, and what is not there is an error."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model_service.words import counted, few

_HERE = Path(__file__).parent / "templates"


@functools.cache
def environment(*folders: Path) -> Environment:
    """That of this package's templates, and before them of those in `folders`."""
    templates = Environment(
        loader=FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": lambda value: "–" if value is None else f"{value:.1%}",
        "few": few,
        "counted": counted,
        "number": lambda value: "–" if value is None else f"{value:,}",
        "rounded": lambda value: "–" if value is None else f"{value:,.1f}",
        "decimals": lambda value: "–" if value is None else f"{value:.3g}",
        "chance": lambda p: "–" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001",
        "megabytes": lambda value: "–" if value is None else f"{value / 1e6:,.1f} MB",
        "dollars": lambda value: "–" if value is None else f"US$ {value:,.4f}",
    }
    return templates
