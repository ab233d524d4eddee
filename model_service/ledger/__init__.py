"""The ledger: what has been sorted, and the one pointer by which a batch is committed."""

from __future__ import annotations

from model_service.ledger.head import Batch, Head, Part, read_head, swap_head
from model_service.ledger.join import unsorted
from model_service.ledger.parts import Entry, Parts

__all__ = ["Batch", "Entry", "Head", "Part", "Parts", "read_head", "swap_head", "unsorted"]
