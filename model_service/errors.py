"""How a step says no: one exception with the message, the remedy and whether a retry can help."""

from __future__ import annotations

from typing import Any


class StepError(Exception):
    """A step cannot go on. `remedy` says what a person should change; `retry` whether running again may help.

    `outputs` is what a failed step has to show nevertheless; it stands in its result.
    """

    def __init__(
        self, message: str, *, remedy: str = "", retry: bool = False, outputs: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.retry = retry
        self.outputs = outputs or {}
