"""The ledger's head: one document that names the batches and the ledger's parts. To swap it is to commit.

Whatever it does not name does not count, and all that it names is written once, under names that hold their content's hash;
so readers need no lock, and of two writers the second is refused and resolves anew (optimistic concurrency, as in table formats
such as https://iceberg.apache.org/spec/#optimistic-concurrency).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import menagerie_contract as contract

from model_service.errors import StepError
from model_service.storage import Conflict, Exists, Store, name_in, open_store, read_live


@dataclass(frozen=True)
class Batch:
    """A committed batch: its name, its run, the sha256 of its manifest, how many pictures it packed, how many of its rows say
    something of pictures packed before (see batches.retracted), and those packed of each class.
    """

    name: str
    run: str
    manifest: str
    packed: int
    contested: int
    classes: dict[str, int]


@dataclass(frozen=True)
class Part:
    """A file of the ledger: the sha256 of it, which also names it, and its rows."""

    digest: str
    rows: int


@dataclass(frozen=True)
class Head:
    """`batches` in the order of their commits. `generation` is the document's own: 0 when there is none yet."""

    batches: tuple[Batch, ...] = ()
    parts: tuple[Part, ...] = ()
    generation: int = field(default=0, compare=False)

    @property
    def classes(self) -> set[str]:
        """Every class packed so far."""
        return {label for batch in self.batches for label in batch.classes}

    def of_range(self, run: str, index: int) -> Batch | None:
        """The batch that a run has committed for one of its ranges."""
        return next((batch for batch in self.batches if batch.name.startswith(f"{run}/{index:05d}-")), None)


def read_head(models: str, store: Store | None = None) -> Head:
    """The head of now. Raises StepError when it is damaged."""
    store = store or open_store(models)
    data, generation = read_live(store, name_in(store, contract.ledger_head(models)))
    if data is None:
        return Head()
    try:
        document = json.loads(data)
        batches = tuple(Batch(**batch) for batch in document["batches"])
        return Head(batches, tuple(Part(**part) for part in document["parts"]), generation)
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"{contract.ledger_head(models)} is damaged: {error!r}",
            remedy="restore an earlier version of it: without it nothing says which pictures have been sorted",
        ) from error


def swap_head(models: str, store: Store, before: Head, after: Head) -> None:
    """Put `after` in the place of `before`. Raises Conflict if another head has taken its place meanwhile."""
    document = {name: [dataclasses.asdict(one) for one in getattr(after, name)] for name in ("batches", "parts")}
    data = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode()
    name = name_in(store, contract.ledger_head(models))
    if before.generation:
        store.compare_and_swap(name, data, before.generation)
        return
    try:
        store.write_if_absent(name, data)
    except Exists as error:
        raise Conflict(str(error)) from error
