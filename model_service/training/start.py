"""Where a training's weights are from: the champion, ImageNet, a file, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Start:
    """`name` is the champion's version, the weights' own name or the file's URI; `sha256` that of the file they stand in.

    `fresh` are the classes whose rows of the head begin by chance.
    """

    kind: Literal["imagenet", "champion", "file", "none"]
    name: str = ""
    sha256: str = ""
    fresh: tuple[str, ...] = ()

    @staticmethod
    def of(card: Mapping[str, Any]) -> Start:
        """What `card` gave, maybe read back from JSON."""
        return Start(**{**card, "fresh": tuple(card["fresh"])})

    def card(self) -> dict[str, Any]:
        return asdict(self) | {"fresh": list(self.fresh)}

    @property
    def parent(self) -> str | None:
        """The version whose child this is."""
        return self.name if self.kind == "champion" else None

    @property
    def learned(self) -> bool:
        """Whether the body knows something already: it is then moved less than a new head."""
        return self.kind != "none"

    @property
    def freezes(self) -> bool:
        """Whether the head first learns alone, since it, or a part of it, is new to a body that is not."""
        return self.learned and bool(self.fresh)

    def __str__(self) -> str:
        return self.name or self.kind
