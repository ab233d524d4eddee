"""What reproduce found, for people to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_service.reproducing.distance import Answers, Weights

# Parts of model.json that may explain a difference, as people call them.
_REASONS = {
    "commit": "commit of the code",
    "numbers": "numbers it computed with",
    "start": "starting weights",
    "preprocessing": "preprocessing",
    "classes": "classes",
}


def verdict(weights: Weights, test: Answers, held: Answers) -> str:
    """One sentence."""
    if weights.same:
        return "identical: every weight is the same, bit for bit"
    same = test.agreed + held.agreed == test.pictures + held.pictures
    return "not identical, but it answers the same to every picture" if same else "different: some answers are others"


def rows(weights: Weights, test: Answers, held: Answers) -> Iterator[tuple[str, str]]:
    """What was compared, and what was found."""
    yield "weights' sha256", "the same" if weights.same else "others"
    if weights.largest is None or weights.mean is None:
        yield "weights", "cannot be compared: the networks have other shapes"
    else:
        yield "weights, difference", f"largest {weights.largest:.3g}, mean {weights.mean:.3g}"
    for name, some in (("self test", test), ("held-out pictures", held)):
        if not some.pictures:
            yield name, "there are none"
            continue
        yield f"{name}, {some.pictures}", f"the same answer to {some.agreed} ({some.agreed / some.pictures:.1%})"
        yield f"{name}, softmax", f"difference at most {some.largest:.3g}, mean {some.mean:.3g}"
    if held.pictures:
        original, rebuilt = (f"{right / held.pictures:.1%}" for right in held.right)
        yield "held-out accuracy", f"original {original}, rebuilt {rebuilt}"


def reasons(original: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is not as it was, by the cards of both, and so may explain a difference: (what, "was …, is …")."""
    found: list[tuple[str, str]] = []
    for part in ("libraries", "machine"):
        was, now = (card.get(part) or {} for card in (original, rebuilt))
        found += ((name, f"was {was.get(name)}, is {now.get(name)}") for name in now if was.get(name) != now[name])
    for name, words in _REASONS.items():
        if original.get(name) != rebuilt.get(name):
            found.append((words, f"was {original.get(name)}, is {rebuilt.get(name)}"))
    if not (original.get("training") or {}).get("deterministic"):
        found.append(("deterministic", "it was not trained with --deterministic: threads may add up in another order"))
    return found


def lines(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """In two columns."""
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"  {name:{width}}  {text}" for name, text in pairs]
