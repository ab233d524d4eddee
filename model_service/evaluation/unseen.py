"""The training pictures that a model has never seen: they came after it was trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.compute as pc

from model_service import batches
from model_service.storage import Store


def unseen(models: Store, shards: Iterable[str], doubted: Mapping[str, set[str]]) -> int:
    """How many train pictures are in none of these shards (URIs, of a model's card). Those whose label is doubted (see
    batches.retracted) are not trained on, and so not counted.
    """
    seen: dict[str, list[str]] = {}
    for uri in shards:
        seen.setdefault(contract.batch_of(uri), []).append(uri.rsplit("/", 1)[1])
    count = 0
    for batch, table in batches.manifests(models.uri, store=models):
        train = table.filter(pc.and_(pc.equal(table["status"], "packed"), pc.equal(table["split"], "train")))
        known = pc.is_in(train["shard"], value_set=pa.array(seen.get(batch, []), pa.string()))
        unsure = pc.is_in(train["key"], value_set=pa.array(sorted(doubted.get(batch, ())), pa.string()))
        count += len(train.filter(pc.invert(pc.or_(known, unsure))))
    return count
