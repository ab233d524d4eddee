"""What is known of a candidate beside a champion, as numbers: all that the rules ask."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tally:
    """Of a class's `support` held-out pictures, how many each model got right."""

    support: int
    candidate: int
    champion: int


@dataclass(frozen=True)
class Evidence:
    """`compared` are the held-out pictures of the classes that both models know; `low` and `high` bound the difference of
    their accuracies, candidate less champion, with 95 % confidence (None of no pictures).

    `ece` (candidate, champion) is of the same pictures; `slower` by what share the candidate takes longer for one, 0.2 is 20 %.
    Classes are `shared`, `new` (the champion does not know them) and `removed` (the candidate does not).
    """

    compared: int = 0
    candidate: int = 0
    champion: int = 0
    only_candidate: int = 0
    only_champion: int = 0
    low: float | None = None
    high: float | None = None
    ece: tuple[float | None, float | None] = (None, None)
    slower: float | None = None
    shared: dict[str, Tally] = field(default_factory=dict)
    new: dict[str, Tally] = field(default_factory=dict)
    removed: dict[str, Tally] = field(default_factory=dict)

    @property
    def difference(self) -> float | None:
        return (self.candidate - self.champion) / self.compared if self.compared else None
