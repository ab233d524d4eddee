"""Files that an earlier attempt may have written: what is there is kept, unless it is nothing that evaluate writes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.evaluation import predictions_csv, shapes
from model_service.storage import Exists, Store, name_in, read_live, write_once

_PART = 8_000_000  # bytes compared at once
_PAGE = b"<!doctype html>"
_TABLE = ",".join(predictions_csv.COLUMNS[:4]).encode("utf-8-sig")
log = logging.getLogger(__name__)


def document(step: contract.Evaluate, predicted: Store) -> dict[str, Any] | None:
    """metrics.json of an earlier attempt. Raises StepError when it is of another model, or damaged."""
    uri = contract.metrics(step.predicted, step.run)
    data, _ = read_live(predicted, name_in(predicted, uri))
    if data is None:
        return None
    try:
        told: dict[str, Any] = json.loads(data)
        shapes.document(told)
    except (ValueError, RecursionError) as error:
        raise StepError(
            f"{uri} is damaged, or of an earlier release: {error}",
            remedy=f"remove {uri} (and report.html beside it), and evaluate again",
        ) from error
    if told["model"] != step.model:
        raise StepError(
            f"run {step.run} has an evaluation already, of {told['model']}",
            remedy="evaluate under another --run: nothing is overwritten",
        )
    listed: dict[str, Any] = {"errors": [], "uncertain": [], "quarantined": {}, "drift": None, "review": None}
    return told | {name: told.get(name) or empty for name, empty in listed.items()}


def page(predicted: Store, uri: str, html: bytes) -> None:
    """Write report.html. Another one is kept, since releases and lost pictures change it; raises StepError if it is no page."""
    there = write_once(predicted, name_in(predicted, uri), html)
    if there != html:
        _differs(uri, is_ours=there.lstrip()[: len(_PAGE)].lower() == _PAGE)


def table(predicted: Store, uri: str, path: Path) -> None:
    """Write predictions.csv. Another one is kept, since labels may be doubted meanwhile; raises StepError if it is none."""
    name = name_in(predicted, uri)
    try:
        predicted.write_if_absent(name, path)
    except Exists:
        if not _same(predicted, name, path):
            _differs(uri, is_ours=predicted.read_range(name, 0, len(_TABLE)) == _TABLE)


def _same(store: Store, name: str, path: Path) -> bool:
    """Part by part, since a table may be larger than memory."""
    if store.stat(name).size != path.stat().st_size:
        return False
    with path.open("rb") as file:
        for begin in range(0, path.stat().st_size, _PART):
            if file.read(_PART) != store.read_range(name, begin, _PART):
                return False
    return True


def _differs(uri: str, is_ours: bool) -> None:
    if not is_ours:
        raise StepError(f"{uri} is nothing that evaluate wrote", remedy=f"remove {uri}, and evaluate again")
    log.warning("%s differs from what would be written now, and is kept: remove it to have it written anew", uri)
