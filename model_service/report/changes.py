"""What changed since the evaluation before this one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Change(NamedTuple):
    """One number then and now. `better` is None where neither is: a number of pictures, or no difference."""

    name: str
    before: str
    now: str
    difference: str
    better: bool | None


class _Measure(NamedTuple):
    key: str
    name: str
    more_is_better: bool
    percent: bool


_MEASURES = (
    _Measure("accuracy", "accuracy", True, True),
    _Measure("top5", "right among the first five", True, True),
    _Measure("ece", "calibration error", False, True),
    _Measure("log_loss", "log loss", False, False),
    _Measure("brier", "Brier score", False, False),
)
_SURE = 1.96  # standard errors, for 95 %


def changes(metrics: dict[str, Any], previous: dict[str, Any]) -> list[Change]:
    """The measures that both evaluations have."""
    found = []
    for measure in _MEASURES:
        before, now = previous.get(measure.key), metrics.get(measure.key)
        if before is not None and now is not None:
            found.append(_change(measure, before, now))
    if previous.get("pictures") is not None:
        before, now = previous["pictures"], metrics["pictures"]
        found.append(Change("pictures", f"{before:,}", f"{now:,}", _signed(f"{now - before:+,}"), None))
    return found


def is_chance(metrics: dict[str, Any], previous: dict[str, Any]) -> bool | None:
    """Whether two equally good models would differ so much in accuracy one time in twenty. None: one has no accuracy."""
    before, now = previous.get("accuracy"), metrics.get("accuracy")
    then, new = previous.get("pictures"), metrics["pictures"]
    if before is None or now is None or not then or not new:
        return None
    both = (before * then + now * new) / (then + new)
    return bool(abs(now - before) <= _SURE * math.sqrt(both * (1 - both) * (1 / then + 1 / new)))


def _change(measure: _Measure, before: float, now: float) -> Change:
    show = "{:.1%}" if measure.percent else "{:.3f}"
    difference = f"{(now - before) * 100:+.1f} points" if measure.percent else f"{now - before:+.3f}"
    same = float(difference.split()[0]) == 0
    better = None if same else (now > before) == measure.more_is_better
    return Change(measure.name, show.format(before), show.format(now), "±0" if same else _signed(difference), better)


def _signed(text: str) -> str:
    return text.replace("-", "−").replace("+0", "±0") if text == "+0" else text.replace("-", "−")
