"""What the ledger knows of the objects, contents and looks that a sort has in hand: one pass over it, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model_service.sorting import near
from model_service.sorting.item import Row


@dataclass(frozen=True)
class History:
    """`taken`: objects (name, generation) that are in the ledger; `packed`: key → labels under which a content was packed;
    `claims`: key → the objects that had the content, and their labels; `near`: perceptual hash → splits of the near-duplicates
    packed before.
    """

    taken: set[tuple[str, int]] = field(default_factory=set)
    packed: dict[str, set[str]] = field(default_factory=dict)
    claims: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)
    near: dict[int, set[str]] = field(default_factory=dict)


def look_up(names: Sequence[str], rows: Iterable[Row], tables: Iterable[pa.RecordBatch]) -> History:
    """`names` of the objects in hand and their `rows`, against the ledger's rows (see ledger.parts.SCHEMA)."""
    rows = list(rows)
    ours = pa.array(names, pa.string())
    keys = pa.array(sorted({row["key"] for row in rows if row.get("key")}), pa.string())
    hashes = np.array(sorted({row["phash"] for row in rows if row.get("phash") is not None}), np.uint64)
    found = History()
    for table in tables:
        same = table.filter(pc.is_in(table["name"], value_set=ours))
        found.taken.update(zip(same["name"].to_pylist(), same["generation"].to_pylist(), strict=True))
        for row in table.filter(
            pc.and_(pc.is_in(table["key"], value_set=keys), pc.is_valid(table["label"]))
        ).to_pylist():
            found.claims.setdefault(row["key"], {})[row["name"], row["generation"]] = row["label"]
            if row["split"]:
                found.packed.setdefault(row["key"], set()).add(row["label"])
        looks = table.filter(pc.and_(pc.is_valid(table["split"]), pc.is_valid(table["phash"])))
        ours_near, theirs = near.pairs(hashes, looks["phash"].to_numpy(zero_copy_only=False))
        splits = looks["split"].take(pa.array(theirs)).to_pylist()
        for phash, split in zip(hashes[ours_near].tolist(), splits, strict=True):
            found.near.setdefault(phash, set()).add(split)
    return found
