"""JSON documents at rest: one that is damaged is an error, and never taken for one that says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from model_service.errors import StepError


def parsed(data: bytes, complaint: Callable[[Any], str], bad: Callable[[str], StepError]) -> Any:
    """What the document says. Raises `bad`, of what is wrong in a few words, for half a file and for what `complaint`, ""
    for nothing, has against it.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise bad(str(error)) from error
    if wrong := complaint(document):
        raise bad(wrong)
    return document
