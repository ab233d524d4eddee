"""Models at rest: versions under their own prefix, trusted by hash, and the champion pointer that moves by compare-and-swap."""

from __future__ import annotations

import menagerie_contract as contract

from model_service.registry.pointer import champion, earlier, following, install, move_champion, withdraw, withdrawn
from model_service.registry.versions import (
    CARD,
    INT8,
    REMOVING,
    RESTORE,
    RETRAIN,
    BadModel,
    card,
    hashes,
    int8,
    load,
    removing,
    save,
    save_int8,
)

__all__ = [
    "CARD",
    "INT8",
    "REMOVING",
    "RESTORE",
    "RETRAIN",
    "BadModel",
    "card",
    "champion",
    "earlier",
    "following",
    "hashes",
    "install",
    "int8",
    "load",
    "move_champion",
    "registry",
    "removing",
    "save",
    "save_int8",
    "withdraw",
    "withdrawn",
]


def registry(step: contract.Registry) -> None:
    """What an operator asks of the models: docs/registry.md. Raises StepError."""
    from model_service.registry import by_hand, overview, removal, sheet  # which nobody else needs

    actions = {
        "list": overview.overview,
        "show": sheet.sheet,
        "promote": by_hand.promote,
        "rollback": by_hand.rollback,
        "gc": removal.collect,
    }
    actions[step.action](step)
