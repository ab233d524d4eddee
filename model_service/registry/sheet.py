"""registry show: all that is known of one version, its hashes verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.registry import pointer, shelf, tags, whole, words
from model_service.registry.overview import marks
from model_service.registry.tags import Tags
from model_service.registry.versions import BadModel, card, int8, removing
from model_service.verdicts import BadVerdict

DEEPEST = 100  # parents shown


def sheet(step: contract.Registry) -> None:
    """Raises BadModel, after all is shown, when a file is not what the card says; StepError when no tags are to be had."""
    if not step.version:
        raise StepError("no version is named", remedy="registry show VERSION; `registry list` shows them.")
    described = card(step.models, step.version)
    tagged = tags.ask(step.registry)
    print(words.columns([row for row in _facts(step, described, tagged) if row[1]]))
    print()
    rows = [("FILE", "BYTES", "SHA256", "")]
    try:
        whole.verify(step.models, described, lambda file, wrong: rows.append(_file(described, file, wrong)))
    finally:
        print(words.columns(rows))
    if tagged.failed:
        raise tagged.failed


def _facts(step: contract.Registry, described: dict[str, Any], tagged: Tags) -> Iterator[tuple[str, str]]:
    data, training, now = described.get("data") or {}, described.get("training") or {}, pointer.read(step.models)[0]
    classes = described.get("classes") or []
    yield "version", step.version
    yield "state", ", ".join(_state(step, now))
    yield "tag", tagged.note or tagged.shown(step.version, without="none")
    yield "created", _joined(described.get("created"), "commit", described.get("commit"))
    size = (described.get("preprocessing") or {}).get("size")
    yield "network", _joined(described.get("architecture"), "at", f"{size} px" if size else "")
    yield "classes", f"{len(classes)}: {', '.join(classes)}"
    yield "data", _joined(f"{data['pictures']} pictures" if "pictures" in data else "", "of", data.get("tag"))
    yield "start", _start(described.get("start"))
    yield "run", shelf.run_of(described)
    yield "training", ", ".join(f"{name}={value}" for name, value in training.items())
    yield "validation", words.share((described.get("metrics") or {}).get("accuracy"))
    try:
        verdict = shelf.verdict(step.models, described)
        yield "held out", _held_out(verdict)
        yield "verdict", "none" if verdict is None else verdict["reason"]
    except BadVerdict as error:
        yield "verdict", f"{error.message}. {error.remedy}"
    yield "int8", _int8(step)
    yield "parents", " ← ".join(lineage(step.models, described)) or "none"


def _state(step: contract.Registry, now: dict[str, Any] | None) -> Iterator[str]:
    for mark in marks(now, step.version):
        assert now is not None
        about = {"champion": f" since {now.get('promoted')}: {now.get('verdict')}"}
        if mark == "withdrawn":
            about["withdrawn"] = f" by {now['withdrawn']['run']}: {now['withdrawn']['why']}"
        yield mark + about.get(mark, "")
    if removing(step.models, step.version):
        yield "being removed: registry gc --yes finishes that"


def lineage(models: str, described: dict[str, Any]) -> Iterator[str]:
    """The versions whose weights it descends from, the nearest first; one that is gone is the last that is known."""
    seen = {described.get("version")}
    while (parent := described.get("parent")) and parent not in seen and len(seen) <= DEEPEST:
        seen.add(parent)
        try:
            described = card(models, parent)
        except BadModel:
            yield f"{parent} (removed)"
            return
        yield parent


def _file(described: dict[str, Any], file: str, wrong: str) -> tuple[str, str, str, str]:
    entry = described["files"][file]
    return file, f"{entry.get('bytes', 0):,}", entry["sha256"], wrong and f"NOT WHOLE: {wrong}"


def _start(start: Any) -> str:
    if not isinstance(start, dict):
        return ""
    return " ".join(str(start[key]) for key in ("kind", "name", "sha256") if start.get(key))


def _held_out(verdict: dict[str, Any] | None) -> str:
    """How many of the held-out pictures it got right, and by how much more than the champion of then."""
    if verdict is None or (right := shelf.held_out(verdict)) is None:
        return ""
    said = f"{words.share(right)} of {verdict['pictures']} pictures" if "pictures" in verdict else words.share(right)
    gap = verdict.get("difference")
    if not gap or any(gap.get(key) is None for key in ("value", "low", "high")):
        return said
    points = [f"{100 * gap[key]:+.1f}" for key in ("value", "low", "high")]
    return f"{said}; {points[0]} points beside {verdict['champion']} (95%: {points[1]} to {points[2]})"


def _int8(step: contract.Registry) -> str:
    try:
        judged = int8(step.models, step.version)
    except BadModel as error:
        return f"{error.message}. {error.remedy}"
    return "" if judged is None else f"{'accepted' if judged['accepted'] else 'refused'}: {judged['reason']}"


def _joined(first: object, word: str, second: object) -> str:
    return f"{first or ''} {word} {second}".strip() if second else str(first or "")
