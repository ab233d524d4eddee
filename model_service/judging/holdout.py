"""The held-out pictures that may judge two models: all so far, without those that resemble what either was trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model_service import batches, registry
from model_service.registry import BadModel
from model_service.sorting import near
from model_service.words import few

log = logging.getLogger(__name__)
_BLOCK = 1 << 15  # held-out pictures compared at once: bounds the memory


@dataclass(frozen=True)
class Holdout:
    """`shards` (URI → sha256) hold the pictures; those in `left_out` (batch → keys) are no evidence, `pictures` are.

    Left out are: `retracted`, met under another label later on; `same`, in the training data itself; `alike`,
    near-duplicates of something in it. `unknown` are batches trained on that are not in this bucket: nothing like theirs can be
    left out.
    """

    shards: dict[str, str]
    left_out: dict[str, set[str]]
    pictures: int
    retracted: int
    same: int
    alike: int
    unknown: list[str]


def held_out(models: str, versions: Iterable[str]) -> Holdout:
    """Of every batch so far, for these models. Of the manifests, read one by one, 30 bytes a picture are kept."""
    trained_on = _trained_on(models, versions)
    doubted = batches.retracted(models)
    shards: dict[str, str] = {}
    names: list[str] = []
    held: list[pa.Table] = []
    trained: list[pa.Table] = []
    doubts: list[NDArray[np.bool_]] = []
    for batch, manifest in batches.manifests(models):
        shards |= batches.shards_in(models, batch, manifest, "holdout")
        names.append(batch)
        packed = manifest.filter(pc.equal(manifest["status"], "packed"))
        held.append(_split(packed, "holdout", len(names) - 1))
        doubts.append(_among(held[-1], pa.array(sorted(doubted.get(batch, ())), pa.string())))
        if batch in trained_on:
            trained.append(_split(packed, "train", len(names) - 1))
    unknown = sorted(trained_on - set(names))
    if unknown:
        log.warning(
            "WARNING: batches that these models were trained on are not in %s, so pictures like theirs cannot be left out: %s",
            *(models, ", ".join(few(unknown))),
        )
    pictures = pa.concat_tables([_NONE, *held])
    batch_of = pictures["batch"].to_numpy()
    retracted = np.concatenate([np.zeros(0, bool), *doubts])
    same, alike = _resembling(pictures, pa.concat_tables([_NONE, *trained]))
    same &= ~retracted  # each is counted once
    alike &= ~(retracted | same)
    out = np.flatnonzero(retracted | same | alike)
    left_out: dict[str, set[str]] = {}
    for key, place in zip(pictures["key"].take(pa.array(out)).to_pylist(), batch_of[out].tolist(), strict=True):
        left_out.setdefault(names[place], set()).add(key)
    return Holdout(
        shards,
        left_out,
        pictures=len(pictures) - len(out),
        retracted=int(retracted.sum()),
        same=int(same.sum()),
        alike=int(alike.sum()),
        unknown=unknown,
    )


_NONE = pa.table(
    {"key": pa.array([], pa.string()), "phash": pa.array([], pa.uint64()), "batch": pa.array([], pa.int32())}
)


def _split(packed: pa.Table, split: str, place: int) -> pa.Table:
    rows = packed.filter(pc.equal(packed["split"], split)).select(["key", "phash"])
    return rows.append_column("batch", pa.array(np.full(len(rows), place, np.int32))).cast(_NONE.schema)


def _among(pictures: pa.Table, keys: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(pictures["key"], value_set=keys).to_numpy()
    return found


def _resembling(pictures: pa.Table, trained: pa.Table) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the pictures [n] are in the training data, and which are near-duplicates of one there.

    A million against a hundred thousand: docs/judging.md has what it takes.
    """
    same = _among(pictures, trained["key"].combine_chunks())
    known = np.unique(trained["phash"].drop_null().to_numpy())
    hashed = np.flatnonzero(pictures["phash"].is_valid().to_numpy())
    hashes, place = np.unique(pictures["phash"].drop_null().to_numpy(), return_inverse=True)
    close = np.zeros(len(hashes), bool)
    for begin in range(0, len(hashes), _BLOCK):
        close[begin + near.pairs(known, hashes[begin : begin + _BLOCK])[1]] = True
    alike = np.zeros(len(pictures), bool)
    alike[hashed] = close[place]
    return same, alike


def _trained_on(models: str, versions: Iterable[str]) -> set[str]:
    """The batches of the models' training data, and of those whose weights theirs began with (`parent`), back to the first."""
    found, seen, todo = set[str](), set[str](), list(versions)
    asked = set(todo)
    while todo:
        version = todo.pop()
        if version in seen:
            continue
        seen.add(version)
        try:
            card = registry.card(models, version)
        except BadModel as error:
            if version in asked:
                raise
            log.info("what %s was trained on, from which a model began, is not known: %s", version, error)
            continue
        data = card.get("data", {"shards": {}})
        found |= {contract.batch_of(uri) for uri in data["shards"]}
        found |= {batch["name"] for batch in data.get("batches", [])}
        if card.get("parent"):
            todo.append(card["parent"])
    return found
