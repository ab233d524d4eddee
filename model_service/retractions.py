"""Which pictures neither train nor judge any more, since batches after theirs say otherwise of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

RELABELLED = "relabelled"  # reason of a picture that was packed once more, under another label


def doubts(manifests: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table, set[str]]]:
    """To each batch, THE LAST ONE FIRST, the keys of its pictures that those after it retract: they met them under another
    label (until the same label comes again after the other one was removed), or packed them under another one.

    So it depends on these batches alone: an older dataset has the same pictures for ever.
    """
    doubted, confirmed, replaced = set[str](), set[str](), set[str]()
    for name, manifest in manifests:
        table = manifest.select(["key", "status", "reason"])
        rows = table.filter(pc.is_valid(table["key"])).to_pylist()
        yield name, manifest, {row["key"] for row in rows if row["status"] == "packed"} & (doubted | replaced)
        replaced |= {row["key"] for row in rows if row["reason"] == RELABELLED}
        confirmed |= {row["key"] for row in rows if row["status"] == "duplicate"}
        doubted |= {row["key"] for row in rows if row["reason"] == "conflicting-label"} - confirmed
