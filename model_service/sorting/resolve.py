"""What becomes of each picture, in the light of all others: duplicates, contested labels, and its split. Pure functions.

Rows come as they were read, in name order and with status "packed" where the picture is usable; they leave as the manifest has
them.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Sequence

import numpy as np

from model_service.retractions import RELABELLED
from model_service.sorting import near
from model_service.sorting.history import History
from model_service.sorting.item import Row
from model_service.sorting.labels import split_of

MANY = 20  # pictures that look alike, from which a tenth of all of them is worth a warning
MANY_ALIKE = (
    "%d of %d pictures look alike, each like another (frames of a film?): all go to one side, to train or to be held out, "
    "so that none is judged that looks like one trained on"
)
log = logging.getLogger(__name__)


def resolve(rows: Sequence[Row], history: History, holdout: float) -> list[Row]:
    """The rows, decided. Nothing of the arguments is changed, so it may be asked again of a later history."""
    rows = [dict(row) for row in rows]
    groups: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        if row["status"] == "packed":
            groups[row["key"]].append(row)
    for key, group in groups.items():
        _decide_content(group, history.packed.get(key, set()), set(history.claims.get(key, {}).values()))
    _decide_splits([row for row in rows if row["status"] == "packed"], history, holdout)
    return rows


def _decide_content(group: list[Row], packed: set[str], claims: set[str]) -> None:
    """The objects of one content: packed once, or not at all while there are several labels. `packed`: labels under which it
    was packed before; `claims`: those of other objects that still are there. When none of them is, the new label is right.
    """
    before = f"it was packed as {' and '.join(sorted(packed))} before" if packed else ""
    labels = {row["label"] for row in group} | claims
    if len(labels) > 1:
        said = " and ".join(sorted(labels))
        text = f"the same picture is labelled {said}: remove the wrong one, put the right one there again"
        for row in group:
            row |= {"status": "quarantined", "reason": "conflicting-label"}
            row["text"] = text + (f"; {before}, and is not used any more" if before else "")
        return
    if packed and packed != labels:
        group[0] |= {"reason": RELABELLED, "text": f"{before}, and is not there any more: this label counts"}
    for row in group if packed == labels else group[1:]:
        row["status"] = "duplicate"


def _decide_splits(packed: list[Row], history: History, holdout: float) -> None:
    """By content, but near-duplicates go together, so that no picture is judged that looks like one trained on."""
    for row in packed:
        row["split"] = split_of(row["sha256"], holdout)
    looks = [row for row in packed if row["phash"] is not None]
    cluster_of = near.clusters(np.array([row["phash"] for row in looks], np.uint64))
    if near.largest(cluster_of) > max(MANY, len(packed) / 10):
        log.warning(MANY_ALIKE, near.largest(cluster_of), len(packed))
    clusters: dict[int, list[Row]] = collections.defaultdict(list)
    for row, cluster in zip(looks, cluster_of.tolist(), strict=True):
        clusters[cluster].append(row)
    for cluster in clusters.values():
        before = set().union(*(history.near.get(row["phash"], set()) for row in cluster))
        if len(before) > 1:
            for row in cluster:
                row |= {
                    "status": "duplicate",
                    "split": None,
                    "text": "looks like pictures in both splits: packed in neither",
                }
            continue
        split = before.pop() if before else split_of(min(row["sha256"] for row in cluster), holdout)
        for row in cluster:
            row["split"] = split
