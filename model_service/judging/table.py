"""A verdict as aligned lines for a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_PASSED = {True: "ok", False: "FAILS", None: "told"}
_MOST = 40  # rules listed: with hundreds of new classes, the verdict has the others


def lines(verdict: dict[str, Any]) -> list[str]:
    """What each model has, and what each rule found. Pure."""
    rows = [
        ["", "candidate", "champion"],
        ["version", *_both(verdict, None, str)],
        [f"right of {verdict['compared']:,} compared", *_both(verdict, "accuracy", "{:.1%}".format)],
        [f"right of {verdict['pictures']:,} held out", *_both(verdict, "overall", "{:.1%}".format)],
        ["calibration error", *_both(verdict, "ece", "{:.3f}".format)],
        ["ms a picture", *_both(verdict, "milliseconds", "{:.2f}".format)],
        ["MB", *_both(verdict, "bytes", lambda size: f"{size / 1e6:.1f}")],
    ]
    found = [*aligned(rows), ""]
    left_out = {name: count for name, count in verdict["left_out"].items() if count}
    if left_out:
        words = {
            "retracted": "met under two labels",
            "same": "trained on",
            "alike": "nearly the same as one trained on",
        }
        found += ["left out: " + ", ".join(f"{count:,} {words[name]}" for name, count in left_out.items()), ""]
    if findings := verdict["findings"]:
        listed = sorted(findings, key=lambda finding: finding["passed"] is not False)[:_MOST]
        listed = [finding for finding in findings if finding in listed]
        rules = [[one["rule"], one["found"], one["limit"], _PASSED[one["passed"]]] for one in listed]
        found += [*aligned([["rule", "found", "needed", ""], *rules]), ""]
    return found


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _both(verdict: dict[str, Any], figure: str | None, shown: Any) -> list[str]:
    values = verdict if figure is None else verdict[figure]
    return ["–" if values[role] is None else shown(values[role]) for role in ("candidate", "champion")]
