"""An object in a sort's hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_service.sorting.spool import Slot
from model_service.storage import Blob

Row = dict[str, Any]  # by column of batches.MANIFEST, as far as it is known


@dataclass(frozen=True)
class Item:
    """An object, its row as it was read, and where its packed picture is if it has one."""

    blob: Blob
    row: Row
    slot: Slot | None

    @property
    def id(self) -> tuple[str, int]:
        """Name and generation, as the ledger has it."""
        return self.blob.name, self.blob.generation
