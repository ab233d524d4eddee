"""Which way a run goes. Pure functions of what the steps said and what the user asked for; each gives its reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Retrain = Literal["always", "when-needed", "never"]


class Way(NamedTuple):
    """The task to go on with, and why, in a sentence."""

    task: str
    why: str


class Ways(NamedTuple):
    """The tasks to go on with, side by side, and why."""

    tasks: list[str]
    why: str


def champion_before(pointer: dict[str, Any] | None, run: str) -> str | None:
    """The version in use when the run began; asked again after the run has promoted its own, the one before that.

    None: there is no champion, or the only one there was has been withdrawn because it could not be served.
    """
    if pointer is None:
        return None
    found: str | None = pointer["previous"] if pointer["run"] == run else pointer["version"]
    return found


def sort_totals(plan: dict[str, Any], sorts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What a run sorted, from the results of its plan and of its sorts in the order of their ranges; none: nothing is new.

    Counts are added up and lists joined; `batches`, all there are so far, is what the last of them saw. Seconds and rates
    are left out: sorts run side by side.
    """
    counts: dict[str, Any] = {"new": 0, "packed": 0}
    batches, shards = plan["counts"]["batches"], []
    for result in sorts:
        own = {key: value for key, value in result["counts"].items() if key not in _OF_ONE_TASK}
        counts = _added(counts, own)
        batches = max(batches, result["counts"]["batches"])
        shards += result["outputs"]["shards"]
    return {"counts": counts | {"batches": batches}, "outputs": {"shards": shards}}


_OF_ONE_TASK = ("batches", "seconds", "per_second")


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {
            key: _added(one[key], other[key]) if key in one and key in other else (one | other)[key]
            for key in one | other
        }
    return sorted({*one, *other}) if isinstance(one, list) else one + other


def after_sort(counts: dict[str, Any], champion: str | None, retrain: Retrain, tag: str = "") -> Way:
    """`counts`: of a run's sorts: usable pictures of this run (`packed`) and all batches so far (`batches`).

    `tag`: of the dataset that somebody asks to train on. Training begins with a snapshot, of whatever has none yet.
    """
    new, batches = counts.get("packed", 0), counts["batches"]
    if champion is None and (batches or tag):
        if retrain == "never":
            return Way("keep_champion", "there is no champion, and retrain=never forbids to train the first one")
        return Way("snapshot", "there is no champion yet: the first model is trained" + _on(tag))
    if new:
        return Way("plan_predict", f"{new} new pictures for {champion}")
    if tag:
        if retrain == "never":
            return Way("keep_champion", f"nothing new, and retrain=never forbids to train on {tag}")
        return Way("snapshot", f"nothing new, but a training on {tag} is asked for")
    if batches and retrain == "always":
        return Way("snapshot", "nothing new, but retrain=always")
    return Way("nothing_new", "nothing new arrived")


def after_evaluate(needed: bool, reasons: list[str], retrain: Retrain, tag: str = "") -> Way:
    """`needed` and `reasons`: what evaluate found."""
    if retrain == "always":
        return Way("snapshot", "retrain=always" + _on(tag))
    if retrain == "never":
        return Way("keep_champion", "retrain=never")
    if tag:
        return Way("snapshot", f"a training on {tag} is asked for")
    if needed:
        return Way("snapshot", "; ".join(reasons))
    return Way("keep_champion", "no threshold was crossed")


def _on(tag: str) -> str:
    return f", on {tag}" if tag else ""


def after_judge(promote: bool, reason: str, approval: bool = False) -> Way:
    """`approval`: whether a person has the last word on a candidate that won."""
    if not promote:
        return Way("keep_champion", reason)
    return Way("approve", f"{reason}; a person is asked") if approval else Way("promote", reason)


def after_promote(promoted: bool, message: str, deploy: bool) -> Ways:
    """`promoted`: whether the candidate is the champion now; another run may have promoted a better one meanwhile."""
    if not promoted:
        return Ways(["keep_champion"], message)
    return Ways(["snapshot_model", *(["deploy"] if deploy else [])], message if deploy else f"{message}; deploy is off")


def shard_groups(shards: list[str], most: int = 256) -> list[list[str]]:
    """Shards dealt out to at most `most` tasks, of nearly equal numbers. Neighbours stay together: they are in the same
    batches, whose manifests their task has to read.
    """
    tasks = min(most, len(shards))
    ends = [len(shards) * (i + 1) // tasks for i in range(tasks)]
    return [shards[start:end] for start, end in zip([0, *ends], ends, strict=False)]
