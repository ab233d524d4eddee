"""Models at rest: versions under their own prefix, trusted by hash, and the champion pointer that moves by compare-and-swap."""

from __future__ import annotations

from model_service.registry.command import registry
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
from model_service.registry.whole import verify

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
    "verify",
    "withdraw",
    "withdrawn",
]
