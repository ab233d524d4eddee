"""Where a training's first weights are from, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Start(NamedTuple):
    """`words` goes on from "It began with"; sha256 is of the file, "" for none."""

    words: str
    name: str
    sha256: str

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Start:
        """As model.json has it under `start`: kind, name, sha256."""
        start = card["start"]
        kind, name = start["kind"], start.get("name") or ""
        words = {
            "imagenet": "weights that know ImageNet",
            "champion": "the weights of the champion before it",
            "file": "weights from a file",
            "none": "no weights, from scratch",
        }
        return cls(words.get(kind, kind), name, start.get("sha256") or "")
