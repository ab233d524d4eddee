"""Drift: what is the same is left alone, what moved is found, of too little nothing is said."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from model_service.evaluation import drift, two_samples
from model_service.evaluation.drift import Arrived
from model_service.evaluation.reference import Reference

CLASSES = [f"animal {i}" for i in range(10)]
DIMENSIONS = 48
NAMES = ["class mix", "embedding", "brightness", "sharpness", "longer side", "aspect", "out of distribution"]


class World:
    """Pictures of ten classes: each class has its own colours, sizes, place in the network and difficulty."""

    def __init__(self, seed: int) -> None:
        fixed = np.random.default_rng(7)
        self._chance = np.random.default_rng(seed)
        self._places = fixed.normal(size=(len(CLASSES), DIMENSIONS)) * 2
        self._spread = fixed.normal(size=(20, DIMENSIONS))
        self._bright = fixed.uniform(0.3, 0.7, len(CLASSES))
        self._hard = fixed.uniform(2, 4, len(CLASSES))

    def arrive(self, n: int, classes: list[int] | None = None, *, moved: float = 0.0) -> Arrived:
        chance = self._chance
        true = chance.choice(classes or list(range(len(CLASSES))), n)
        logits = chance.normal(size=(n, len(CLASSES)))
        logits[np.arange(n), true] += chance.normal(self._hard[true] + 2)
        vectors = self._places[true] + (chance.normal(size=(n, 20)) + moved) @ self._spread
        return Arrived(
            labels=[CLASSES[i] for i in true],
            probabilities=(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32),
            embeddings=vectors.clip(0).astype(np.float16),
            brightness=chance.normal(self._bright[true], 0.1).astype(np.float32),
            sharpness=chance.lognormal(-4, 0.5, n).astype(np.float32),
            width=chance.choice([512, 512, 512, 480, 384], n).astype(np.int32),
            height=chance.choice([512, 384, 384, 341], n).astype(np.int32),
        )

    def reference(self, n: int, watched: int) -> Reference:
        kept = self.arrive(n)
        assert kept.embeddings is not None
        return Reference(
            {label: kept.labels.count(label) for label in CLASSES},
            kept.labels,
            kept.probabilities[:watched],
            kept.embeddings[:watched],
            *(kept.brightness, kept.sharpness, kept.width, kept.height),
        )


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    json.dumps(found, allow_nan=False)
    assert [check["name"] for check in found["checks"]] == NAMES
    assert all(
        set(check) == {"name", "what", "value", "p", "threshold", "verdict", "text"} for check in found["checks"]
    )
    assert all(check["text"] for check in found["checks"])
    assert found["drifted"] == any(check["verdict"] == "drift" for check in found["checks"])
    return {check["name"]: check["verdict"] for check in found["checks"]}


def drifted(found: dict[str, Any]) -> set[str]:
    return {name for name, verdict in verdicts(found).items() if verdict == "drift"}


@pytest.mark.parametrize(("kept", "watched", "new"), [(195, 39, 60), (400, 100, 1500)])
def test_where_nothing_changed_nothing_is_said_to_have_drifted(kept: int, watched: int, new: int) -> None:
    alarms = 0
    for seed in range(100):
        world = World(seed)
        alarms += bool(drifted(drift.measure(world.reference(kept, watched), world.arrive(new))))
    assert alarms <= 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("brightness", lambda a: {"brightness": a.brightness - 0.15}),
        ("sharpness", lambda a: {"sharpness": a.sharpness / 3}),
        ("longer side", lambda a: {"width": a.width // 2, "height": a.height // 2}),
        ("out of distribution", lambda a: {"probabilities": 0.5 * a.probabilities + 0.05}),
    ],
)
def test_what_changed_is_found_and_nothing_else(seed: int, name: str, change: Any) -> None:
    world = World(seed)
    before, new = world.reference(600, 200), world.arrive(500)
    assert drifted(drift.measure(before, dataclasses.replace(new, **change(new)))) == {name}


def test_pictures_turned_on_their_side_have_another_aspect() -> None:
    world = World(0)
    before, new = world.reference(600, 200), world.arrive(500)
    turned = dataclasses.replace(new, width=new.height, height=new.width)
    assert drifted(drift.measure(before, turned)) == {"aspect"}


@pytest.mark.parametrize(("kept", "watched", "new"), [(195, 39, 60), (600, 200, 500)])
def test_what_looks_different_to_the_network_alone_is_found(kept: int, watched: int, new: int) -> None:
    world = World(1)
    assert drifted(drift.measure(world.reference(kept, watched), world.arrive(new, moved=1.0))) == {"embedding"}


def test_a_day_of_few_classes_is_another_mix_and_nothing_else() -> None:
    """Though their mean brightness and their place in the network are others than of all classes together."""
    world = World(2)
    found = drift.measure(world.reference(600, 250), world.arrive(500, [0, 1, 2]))
    assert drifted(found) == {"class mix"}


def test_a_difference_that_is_significant_but_small_is_no_drift() -> None:
    world = World(3)
    before, new = world.reference(4000, 1000), world.arrive(20_000)
    found = drift.measure(before, dataclasses.replace(new, brightness=new.brightness + np.float32(0.02)))
    brightness = found["checks"][NAMES.index("brightness")]
    assert brightness["p"] < 1e-6
    assert brightness["verdict"] == "ok"
    assert not found["drifted"]


def test_of_too_few_pictures_nothing_is_said() -> None:
    world = World(4)
    found = drift.measure(world.reference(200, 40), world.arrive(20, [0], moved=9.0))
    assert set(verdicts(found).values()) == {"too few"}
    assert not found["drifted"]
    assert {check["value"] for check in found["checks"]} == {check["p"] for check in found["checks"]} == {None}


def test_too_small_a_validation_part_says_nothing_of_the_network_but_looks_are_compared() -> None:
    world = World(5)
    found = verdicts(drift.measure(world.reference(200, 20), world.arrive(300)))
    assert {name for name, verdict in found.items() if verdict == "too few"} == {"embedding", "out of distribution"}


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one_picture(n: int) -> None:
    world = World(6)
    assert set(verdicts(drift.measure(world.reference(200, 40), world.arrive(n))).values()) == {"too few"}


def test_a_class_never_seen_is_new_and_no_crash() -> None:
    world = World(7)
    before, new = world.reference(600, 200), world.arrive(300)
    strange = dataclasses.replace(new, labels=["yak" if i % 2 else label for i, label in enumerate(new.labels)])
    found = drift.measure(before, strange)
    assert found["new_classes"] == ["yak"]
    assert drifted(found) == set(), "the others are as they were"
    only = drift.measure(before, dataclasses.replace(new, labels=["yak"] * 300))
    assert {verdicts(only)[name] for name in NAMES[:-1]} == {"too few"}
    assert verdicts(only)["out of distribution"] == "ok"


def test_a_class_of_the_model_that_does_not_arrive_is_no_crash() -> None:
    world = World(8)
    found = drift.measure(world.reference(600, 200), world.arrive(400, list(range(9))))
    assert "animal 9, 0% of the new pictures" in found["checks"][0]["text"]


def test_a_model_without_embeddings_is_compared_in_all_else() -> None:
    world = World(9)
    before = dataclasses.replace(world.reference(400, 100), embeddings=None)
    found = verdicts(drift.measure(before, world.arrive(300)))
    assert found.pop("embedding") == "too few"
    assert set(found.values()) == {"ok"}


def test_embeddings_may_be_of_some_pictures_in_any_order() -> None:
    world = World(10)
    before, new = world.reference(400, 100), world.arrive(600)
    rows = np.random.default_rng(0).permutation(600)[:200]
    assert new.embeddings is not None
    some = dataclasses.replace(new, embeddings=new.embeddings[rows], sampled=rows)
    assert drifted(drift.measure(before, some)) == set()


def test_the_same_input_gives_the_same_document() -> None:
    world = World(11)
    before, new = world.reference(400, 100), world.arrive(300)
    assert drift.measure(before, new) == drift.measure(before, new)


def test_embeddings_that_are_all_the_same_or_no_numbers_are_no_crash() -> None:
    world = World(12)
    before, new = world.reference(400, 100), world.arrive(300)
    assert before.embeddings is not None
    assert new.embeddings is not None
    for filler in (0.0, np.inf, np.nan):
        dead = dataclasses.replace(before, embeddings=np.full_like(before.embeddings, filler))
        found = drift.measure(dead, dataclasses.replace(new, embeddings=np.full_like(new.embeddings, filler)))
        assert found["checks"][1]["value"] == 0.5


def test_the_stability_index_by_hand() -> None:
    # 3 + ½ and 1 + ½ of 5; 1 + ½ and 3 + ½ of 5: (0.3 - 0.7) ln(0.3 / 0.7) + (0.7 - 0.3) ln(0.7 / 0.3)
    assert two_samples.stability_index(np.array([3, 1]), np.array([1, 3])) == pytest.approx(0.8 * np.log(7 / 3))
    assert two_samples.stability_index(np.array([5, 5, 0]), np.array([5, 5, 0])) == 0


@pytest.mark.parametrize(("old", "new"), [((400, 300, 300), (50, 30, 45)), ((900, 800, 700), (60, 75, 74))])
def test_the_chance_of_a_mix_is_that_of_the_chi2_test(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    found = two_samples.mix(np.array(old), np.array(new), np.random.default_rng(0))
    assert found == pytest.approx(chi2_contingency([old, new], correction=False).pvalue, abs=0.02)


def test_the_chance_of_so_many_unlike_holds_for_any_distribution_and_a_small_reference() -> None:
    chance = np.random.default_rng(0)
    found = [
        two_samples.unlike(*(chance.beta(9, 1, n).astype(np.float32) for n in (39, 200)), 0.05, 1.0)[2]
        for _ in range(2000)
    ]
    assert np.mean(np.array(found) < 0.01) == pytest.approx(0.01, abs=0.007)
