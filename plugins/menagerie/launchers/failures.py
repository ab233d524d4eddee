"""A step's own account of its failure as the error of its task."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

LINE = 500  # characters quoted of one line of a log, or of one event
MESSAGE = 4000  # characters quoted of what a step or the cluster says of a failure


def told(step: str, result: dict[str, Any]) -> AirflowException:
    """What a failed step said in its result document; a failure that a retry cannot cure fails the task at once."""
    error = result["error"]
    remedy = f"\nRemedy: {short(error['remedy'], MESSAGE)}" if error["remedy"] else ""
    text = f"{step} failed: {short(error['message'], MESSAGE)}{remedy}"
    return AirflowException(text) if error["retry"] else AirflowFailException(text)


def last_words(lines: list[str]) -> str:
    return "Its last words:\n" + ("\n".join(short(line) for line in lines) or "(it said nothing)")


def short(text: object, most: int = LINE) -> str:
    """The beginning of a text that is too long to be quoted in an error, which Airflow stores and shows."""
    text = str(text)
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more)"
