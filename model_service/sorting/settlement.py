"""What a sort does about the objects that turn out otherwise than they were read, before it commits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import menagerie_contract as contract

from model_service import batches
from model_service.ledger import Head, read_head
from model_service.sorting import accounts, copies, quarantine
from model_service.sorting.history import History
from model_service.sorting.item import Item, Row
from model_service.sorting.reading import leave
from model_service.storage import NotFound, Store, StoreError


class Settlement:
    """`begun`: the head when the sort began; `total`: how many objects it read. Copies are made while reading, before it is
    known what becomes of a picture, so that reading never waits; here those that should not be are taken back.
    """

    def __init__(self, step: contract.Sort, source: Store, to_predict: Store, begun: Head, total: int) -> None:
        self._step, self._total = step, total
        self._source, self._to_predict = source, to_predict
        self._before = {batch.name for batch in begun.batches}

    def live(self, history: History, items: Sequence[Item]) -> History:
        """The history without the claims of objects that people have removed or replaced, or that say what ours say."""
        ours: dict[str, set[str]] = {}
        for item in items:
            ours.setdefault(item.row.get("key", ""), set()).add(item.row.get("label", ""))
        claims = {
            key: {one: label for one, label in found.items() if {label} != ours.get(key) and self._is_live(*one)}
            for key, found in history.claims.items()
        }
        return replace(history, claims=claims)

    def decided(self, rows: Sequence[Row], items: Sequence[Item], history: History) -> None:
        """Put aside what turned out to be contested; refuse a range that is too bad. Changes rows that storage fails for."""
        for row, item in zip(rows, items, strict=True):
            if row["status"] == "quarantined" and item.row["status"] == "packed":
                try:
                    self._withdraw(item, history)
                    quarantine.follow(self._source, item.blob, row)
                except StoreError as error:
                    leave(row, error)
                row["copy"] = None
        if accounts.is_too_bad(rows, self._step.max_bad, self._total):
            self._forget(rows, items, history)
            raise accounts.too_many(self._step, rows, self._total)

    def taken(self, items: Sequence[Item], history: History, head: Head) -> None:
        """Other attempts have committed these objects: what they name must be there, and was perhaps withdrawn by us; a copy
        that none of them names was made for nothing.
        """
        named = self._named(head)
        for item in items:
            if (copy := item.row.get("copy")) is None:
                continue
            if copy in named:
                copies.restore(self._source, item.blob, self._to_predict, copy)
            else:
                self._withdraw(item, history)

    def _forget(self, rows: Sequence[Row], items: Sequence[Item], history: History) -> None:
        """Nothing will be committed, and the next run may read other labels: no copy that this one made may stay."""
        named = self._named(read_head(self._step.models))
        made = [item for row, item in zip(rows, items, strict=True) if row.get("copy") and item.row["made"]]
        with ThreadPoolExecutor(self._step.threads) as pool:
            list(pool.map(lambda item: self._withdraw(item, history), (i for i in made if i.row["copy"] not in named)))

    def _named(self, head: Head) -> set[str]:
        """The copies that batches name which were committed since this sort began."""
        since = [batch.name for batch in head.batches if batch.name not in self._before]
        return {name for batch in since for name in batches.manifest(self._step.models, batch)["copy"].to_pylist()}

    def _is_live(self, name: str, generation: int) -> bool:
        try:
            return self._source.stat(name).generation == generation
        except NotFound:
            return False

    def _withdraw(self, item: Item, history: History) -> None:
        """Unless it is also the copy of an object of the same name, content and label that was packed before."""
        if item.row["label"] not in history.packed.get(item.row["key"], ()):
            copies.withdraw(self._to_predict, item.row["copy"])
