"""Is the ledger's head readable, and is all there that it names?"""

from __future__ import annotations

import menagerie_contract as contract

from model_service.doctor.checks import Finding
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.storage import name_in, open_store


class Lost(StepError):
    """Something that is committed is not there."""


def examine(models: str) -> Finding:
    """Reads the head and lists; that the files hold what was committed is for those to check who read them. Raises Lost."""
    store, head = open_store(models), read_head(models)
    if not head.batches:
        return Finding("ok", "nothing has been sorted yet")
    named = [contract.manifest(models, batch.name) for batch in head.batches]
    named += [contract.ledger(models, part.digest) for part in head.parts]
    folders = (contract.batches(models), contract.ledger_head(models).rpartition("/")[0])
    there = {blob.name for folder in folders for blob in store.list(name_in(store, folder) + "/")}
    lost = [uri for uri in named if name_in(store, uri) not in there]
    if lost:
        raise Lost(
            f"{len(lost)} of {len(named)} files that are committed are gone: {lost[0]}",
            remedy="Restore them from the bucket's soft-deleted or earlier versions: without them no batch can be read.",
        )
    pictures = sum(batch.packed for batch in head.batches)
    return Finding(
        "ok", f"batches: {len(head.batches)}, pictures: {pictures:,}, files: {len(head.parts)}; all are there"
    )
