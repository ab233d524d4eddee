"""promote: the pointer moves by compare-and-swap, once, and only by a verdict over the very champion that it replaces."""

from __future__ import annotations

import dataclasses
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import judging, registry
from model_service.__main__ import main
from model_service.errors import StepError
from model_service.promote import promote
from model_service.registry import BadModel, whole
from model_service.results import Outcome
from model_service.verdicts import BadVerdict
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, read_json
from tests.model_service.forked import Child, Forks
from tests.model_service.proofs import many
from tests.model_service.verdicts import DAMAGED

# Latency is left out: on a busy machine it is anything. One picture more is enough.
RULES = dataclasses.asdict(judging.Rules(min_pictures=6, max_latency_loss=1e9, max_ece_loss=1, tolerance=0.0))
# How much each version knows: v1 calls everything a cat, v2 knows no zebra, v3 knows all.
BIASES = {"v1": [999.0, 0.0, 0.0], "v2": [0.0, 0.0, -999.0], "v3": [0.0, 0.0, 0.0]}


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    for version in BIASES:
        buckets.save_model(version)
    return buckets


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Buckets:
    """Models that differ, and held-out pictures that tell them apart. Tests begin with a pointer of their own."""
    buckets = make_buckets(tmp_path_factory.mktemp("telling"))
    buckets.put_squares(8)
    buckets.sorted("r0", holdout=0.9)
    for version, bias in BIASES.items():
        buckets.save_model(version, CLASSES, bias)
    return buckets


def judged(
    buckets: Buckets, candidate: str, champion: str | None, promoted: bool = True, run: str = "r1", **more: Any
) -> None:
    verdict = {"promote": promoted, "reason": "because", "candidate": candidate, "champion": champion}
    path = local(contract.verdict(buckets.models, run))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(verdict | {"rules": RULES, "seed": 0} | more))


def step(buckets: Buckets, candidate: str, champion: str = "", run: str = "r1") -> contract.Promote:
    result = contract.result(buckets.models, run, "promote")
    return contract.Promote(run=run, models=buckets.models, result=result, candidate=candidate, champion=champion)


def run(buckets: Buckets, candidate: str, champion: str = "", run: str = "r1") -> Outcome:
    return promote(step(buckets, candidate, champion, run))


def pointer(buckets: Buckets) -> dict[str, Any]:
    found: dict[str, Any] = read_json(contract.champion(buckets.models))
    return found


def begin_with(buckets: Buckets, version: str) -> None:
    """As if it had just become champion, and no other run had promoted anything."""
    local(contract.champion(buckets.models)).unlink(missing_ok=True)
    for path in local(f"{buckets.models}/runs").glob("*/*.json"):
        path.unlink()
    card = registry.card(buckets.models, version)
    registry.install(buckets.models, registry.following(None, card, run="r1", verdict="the first"), 0)


def test_the_first_champion(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    outcome = run(buckets, "v1")
    verdict = contract.verdict(buckets.models, "r1")
    assert outcome.outputs == {"promoted": True, "version": "v1", "verdict": verdict}
    assert outcome.counts == {"promoted": True, "champion": "v1", "previous": None, "judged_anew": False}
    found = pointer(buckets)
    assert found.pop("promoted").endswith("+00:00")
    assert found == {
        "version": "v1",
        "previous": None,
        "earlier": [],
        "sha256": {n: entry["sha256"] for n, entry in registry.card(buckets.models, "v1")["files"].items()},
        "run": "r1",
        "verdict": "because",
    }


def test_a_better_candidate_follows_the_champion(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    judged(buckets, "v2", "v1", run="r2")
    run(buckets, "v2", "v1", "r2")
    assert (pointer(buckets)["version"], pointer(buckets)["previous"], pointer(buckets)["run"]) == ("v2", "v1", "r2")


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    first = run(buckets, "v1")
    before = pointer(buckets)
    assert run(buckets, "v1") == first
    assert pointer(buckets) == before


@pytest.mark.parametrize("known", ["", "v1"], ids=["there was none", "there was another"])
def test_a_champion_that_came_meanwhile_is_judged_against_and_beaten_or_kept(telling: Buckets, known: str) -> None:
    begin_with(telling, "v2")
    judged(telling, "v3", known or None, run="r3")
    outcome = run(telling, "v3", known, "r3")
    beside = f"{telling.models}/runs/r3/verdict-over-v2.json"
    assert outcome.outputs == {"promoted": True, "version": "v3", "verdict": beside}
    assert outcome.counts["judged_anew"]
    verdict = read_json(beside)
    assert (verdict["promote"], verdict["candidate"], verdict["champion"]) == (True, "v3", "v2")
    assert verdict["rules"] == RULES
    found = pointer(telling)
    assert (found["version"], found["previous"], found["verdict"]) == ("v3", "v2", verdict["reason"])
    assert read_json(contract.verdict(telling.models, "r3"))["champion"] == (known or None), "it stays as it was"

    begin_with(telling, "v3")
    judged(telling, "v2", known or None, run="r2")
    before = pointer(telling)
    outcome = run(telling, "v2", known, "r2")
    assert not outcome.counts["promoted"]
    assert outcome.outputs["version"] == "v3"
    assert outcome.message.startswith("v2 is not promoted, the champion is v3: the champion stays: ")
    assert pointer(telling) == before
    assert run(telling, "v2", known, "r2") == outcome


def test_a_verdict_over_the_new_champion_is_made_once(telling: Buckets) -> None:
    begin_with(telling, "v3")
    judged(telling, "v2", "v1", run="r2")
    beside = local(f"{telling.models}/runs/r2/verdict-over-v3.json")
    said = {"promote": True, "candidate": "v2", "champion": "v3", "reason": "so said the first attempt"}
    beside.write_text(json.dumps(said))
    assert run(telling, "v2", "v1", "r2").counts["promoted"]
    assert pointer(telling)["verdict"] == "so said the first attempt"


def test_a_champion_that_is_gone_leaves_the_place_to_who_beat_it(telling: Buckets) -> None:
    begin_with(telling, "v1")
    assert registry.withdraw(telling.models, "v1", "r1", "it crashes")
    judged(telling, "v2", "v1", run="r2")
    assert run(telling, "v2", "v1", "r2").outputs["verdict"].endswith("/runs/r2/verdict-over-none.json")
    assert (pointer(telling)["version"], pointer(telling)["previous"]) == ("v2", None)


@pytest.mark.parametrize("rules", [None, {"min_gain": 0.1}], ids=["of an earlier release", "of a later one"])
def test_a_verdict_of_another_release_does_not_say_how_to_judge_anew(
    buckets: Buckets, rules: dict[str, float] | None
) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, "v2", None, rules=rules)
    with pytest.raises(StepError, match="v2 was judged against none by another release, now it is v1") as failed:
        run(buckets, "v2")
    assert "new run" in failed.value.remedy
    assert pointer(buckets) == {"version": "v1"}


@pytest.mark.parametrize("number", range(20))
def test_of_two_at_once_one_wins_and_the_other_is_judged_anew(telling: Buckets, number: int) -> None:
    """v2 and v3 both beat v1. Whichever comes first, the better one is the champion in the end."""
    begin_with(telling, "v1")
    for version in ("v2", "v3"):
        judged(telling, version, "v1", run=version)
    together, order = Barrier(2), random.Random(number).sample(["v2", "v3"], 2)

    def attempt(version: str) -> Outcome:
        together.wait()
        return run(telling, version, "v1", version)

    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(order, pool.map(attempt, order), strict=True))
    found = pointer(telling)
    assert found["version"] == "v3"
    assert outcomes["v3"].counts["promoted"]
    if outcomes["v2"].counts["promoted"]:  # it was first
        assert outcomes["v3"].counts["judged_anew"]
        assert found["earlier"] == ["v2", "v1"]
    else:
        assert outcomes["v2"].counts["judged_anew"]
        assert outcomes["v2"].counts["champion"] == "v3"
        assert found["earlier"] == ["v1"]


def test_two_processes_at_once_killed_anywhere_and_run_again_the_better_one_wins(
    telling: Buckets, forks: Forks
) -> None:
    """Both at the same change of the bucket; a soak tries all of them."""
    steps = {version: step(telling, version, "v1", version) for version in ("v2", "v3")}
    points = 0

    def begin() -> None:
        begin_with(telling, "v1")
        for version in steps:
            judged(telling, version, "v1", run=version)

    def race(point: int = 0) -> list[int]:
        nonlocal points
        ended = forks.run(Child(steps["v2"].argv(), point), Child(steps["v3"].argv(), point))
        points = max(points, *ended.points)
        return ended.codes

    begin()
    assert race() == [0, 0]
    assert pointer(telling)["version"] == "v3"
    for point in random.Random(6).sample(range(1, points + 1), many(2, points)):
        begin()
        assert set(race(point)) <= {0, -9}
        assert race() == [0, 0], point
        assert pointer(telling)["version"] == "v3", point
        results = {version: read_json(steps[version].result)["outputs"] for version in steps}
        assert results["v3"]["promoted"], point
        assert results["v2"]["version"] in ("v2", "v3"), point


def test_without_a_verdict_nothing_moves(buckets: Buckets) -> None:
    with pytest.raises(StepError, match="v1 has no verdict") as failed:
        run(buckets, "v1")
    assert failed.value.remedy == "run judge first"
    assert registry.champion(buckets.models) == (None, 0)


@pytest.mark.parametrize(
    ("candidate", "promoted"), [("v2", False), ("v3", True)], ids=["against it", "of another candidate"]
)
def test_a_verdict_that_is_not_for_this_candidate_stops_it(buckets: Buckets, candidate: str, promoted: bool) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, candidate, "v1", promoted)
    with pytest.raises(StepError, match=f"the verdict of r1 does not promote v2; it says of {candidate}: because"):
        run(buckets, "v2", "v1")
    assert pointer(buckets) == {"version": "v1"}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_verdict_promotes_nobody_and_is_named(
    buckets: Buckets, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    judged(buckets, "v1", None)
    uri = contract.verdict(buckets.models, "r1")
    local(uri).write_text(text)
    assert main(step(buckets, "v1").argv()) == 1
    error = read_json(step(buckets, "v1").result)["error"]
    assert error["message"].startswith(f"{uri} is damaged, no verdict: ")
    assert "under another --run" in error["remedy"]
    assert (error["class"], error["retry"]) == ("BadVerdict", False)
    assert "Traceback" not in capfd.readouterr().err
    assert registry.champion(buckets.models) == (None, 0)


def test_also_one_that_was_made_over_another_champion(buckets: Buckets) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, "v2", None)
    local(f"{buckets.models}/runs/r1/verdict-over-v1.json").write_text("{")
    with pytest.raises(BadVerdict, match=r"runs/r1/verdict-over-v1\.json is damaged, no verdict"):
        run(buckets, "v2")


@pytest.mark.parametrize("known", ["v1", None], ids=["judged against it", "to be judged anew"])
@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_candidate_that_is_not_whole_never_becomes_champion(buckets: Buckets, harm: str, known: str | None) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, "v2", known)
    file = local(f"{buckets.models}/resnet34/v2/model.onnx")
    if harm == "damaged":
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    else:
        file.unlink()
    wrong = {"damaged": "is not the file its card describes: its sha256 differs", "missing": "is missing"}[harm]
    with pytest.raises(BadModel, match=rf"model\.onnx {wrong}") as failed:
        run(buckets, "v2", known or "")
    assert "Restore the file" in failed.value.remedy
    assert not failed.value.retry
    assert pointer(buckets) == {"version": "v1"}


def test_the_champion_is_not_read_once_more_by_a_retry(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    first = run(buckets, "v1")
    local(f"{buckets.models}/resnet34/v1/model.onnx").unlink()
    assert run(buckets, "v1") == first


def test_files_are_verified_in_blocks(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "BLOCK", 100)
    card = registry.card(buckets.models, "v1")
    assert any(entry["bytes"] > 1000 for entry in card["files"].values())
    registry.verify(buckets.models, card)
    with pytest.raises(BadModel, match="its sha256 differs"):
        registry.verify(buckets.models, card | {"files": {name: {"sha256": "0"} for name in card["files"]}})


def test_a_candidate_without_a_card_is_refused(buckets: Buckets) -> None:
    judged(buckets, "v9", None)
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9")


def test_a_candidate_that_gc_takes_away_is_refused(buckets: Buckets) -> None:
    local(f"{buckets.models}/resnet34/v1/removing.json").write_text("{}")
    judged(buckets, "v1", None)
    with pytest.raises(BadModel, match="model v1 is being removed by gc"):
        run(buckets, "v1")
    assert registry.champion(buckets.models) == (None, 0)


def test_a_withdrawn_version_is_promoted_again_when_its_promotion_is_cleared(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    judged(buckets, "v2", "v1", run="r2")
    run(buckets, "v2", "v1", "r2")
    promoted = {key: value for key, value in pointer(buckets).items() if key != "promoted"}
    assert registry.withdraw(buckets.models, "v2", "r2", "it crashes")
    assert contract.Promote.converges
    run(buckets, "v2", "v1", "r2")
    assert {key: value for key, value in pointer(buckets).items() if key != "promoted"} == promoted


def test_also_the_first_one(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    assert registry.withdraw(buckets.models, "v1", "r1", "it crashes")
    run(buckets, "v1")
    assert pointer(buckets)["version"] == "v1"
    assert registry.withdrawn(buckets.models) is None


def test_what_a_person_took_back_is_not_promoted_again_by_a_retry(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    judged(buckets, "v2", "v1", run="r2")
    run(buckets, "v2", "v1", "r2")
    assert main(["registry", "rollback", "--why=too many dogs", f"--models={buckets.models}"]) == 0
    outcome = run(buckets, "v2", "v1", "r2")
    assert not outcome.counts["promoted"]
    assert outcome.message == (
        "v2 is not promoted, the champion is v1: it was withdrawn (registry rollback): too many dogs"
    )
    assert pointer(buckets)["version"] == "v1"


def test_a_promotion_that_was_overtaken_is_not_repeated(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    judged(buckets, "v2", "v1", run="r2")
    run(buckets, "v2", "v1", "r2")
    outcome = run(buckets, "v1")
    assert outcome.message.endswith("the champion is v2: it was champion already, and another one came after it")
    assert pointer(buckets)["version"] == "v2"


def test_a_run_finds_the_champion_that_it_began_with_whatever_it_promoted(telling: Buckets) -> None:
    """As plugins/menagerie/decisions.champion_before does, when a task of the run is cleared."""
    begin_with(telling, "v2")
    judged(telling, "v3", "v1", run="r3")
    run(telling, "v3", "v1", "r3")
    found = pointer(telling)
    assert (found["previous"] if found["run"] == "r3" else found["version"]) == "v2"
    assert run(telling, "v3", "v2", "r3").counts["promoted"], "the run's verdict is over v1, the one beside it over v2"
