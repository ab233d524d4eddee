"""A check and what it finds. Checks run side by side, each with a time limit; one that breaks down is a row, no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from model_service.errors import StepError

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What a check saw, and what to do about it unless all is well."""

    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One question about the surroundings. `remedy` stands where an error brings none; `limit` is in seconds."""

    name: str
    examine: Callable[[], Finding]
    remedy: str = ""
    limit: float = 30.0


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    check: str
    state: State
    found: str
    remedy: str

    def document(self) -> dict[str, str]:
        return asdict(self)


def run(checks: Sequence[Check]) -> list[Row]:
    """All checks at once, their rows in the order of the checks. What takes longer than its limit is left behind."""
    findings: dict[int, Finding] = {}

    def examine(number: int, check: Check) -> None:
        findings[number] = _examine(check)

    begun = time.monotonic()
    # Daemons: a check that hangs in a system call must not keep the process.
    threads = [threading.Thread(target=examine, args=pair, daemon=True) for pair in enumerate(checks)]
    for thread in threads:
        thread.start()
    rows = []
    for number, (check, thread) in enumerate(zip(checks, threads, strict=True)):
        thread.join(max(0.0, begun + check.limit - time.monotonic()))
        late = Finding("failed", f"no answer within {check.limit:g} s", check.remedy or "Look at the network.")
        finding = findings.get(number, late)
        rows.append(Row(check.name, finding.state, finding.found, finding.remedy))
    return rows


def _examine(check: Check) -> Finding:
    try:
        return check.examine()
    except StepError as error:
        return Finding("failed", error.message, error.remedy or check.remedy)
    except Exception as error:  # whatever a check stumbles over is what it found
        return Finding("failed", f"{type(error).__name__}: {error}", check.remedy)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines for people: state, check, what was found, and below it the remedy."""
    width = max((len(row.check) for row in rows), default=0)
    for row in rows:
        yield f"{row.state:<8} {row.check:<{width}}  {row.found}"
        if row.remedy:
            yield f"{'':<8} {'':<{width}}  remedy: {row.remedy}"
