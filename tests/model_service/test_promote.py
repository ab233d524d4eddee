"""promote: the pointer moves by compare-and-swap, once, and only as the verdict says."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import registry
from model_service.errors import StepError
from model_service.promote import promote
from model_service.registry import BadModel
from model_service.results import Outcome
from tests.model_service.buckets import Buckets, local, make_buckets, read_json


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    for version in ("v1", "v2", "v3"):
        buckets.save_model(version)
    return buckets


def judged(buckets: Buckets, candidate: str, champion: str | None, promoted: bool = True, run: str = "r1") -> None:
    verdict = {"promote": promoted, "reason": "because", "candidate": candidate, "champion": champion}
    path = local(contract.verdict(buckets.models, run))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(verdict))


def run(buckets: Buckets, candidate: str, champion: str = "", run: str = "r1") -> Outcome:
    return promote(contract.Promote(run=run, models=buckets.models, result="", candidate=candidate, champion=champion))


def pointer(buckets: Buckets) -> dict[str, Any]:
    found: dict[str, Any] = read_json(contract.champion(buckets.models))
    return found


def test_the_first_champion(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    outcome = run(buckets, "v1")
    assert outcome.outputs == {"version": "v1"}
    assert outcome.counts == {"champion": "v1", "previous": None}
    found = pointer(buckets)
    assert found.pop("promoted").endswith("+00:00")
    assert found == {
        "version": "v1",
        "previous": None,
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


@pytest.mark.parametrize(("champion", "was"), [("", "none"), ("v3", "v3")])
def test_a_champion_that_moved_meanwhile_is_left_alone(buckets: Buckets, champion: str, was: str) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, "v2", champion or None)
    with pytest.raises(StepError, match=f"v2 was judged against {was}, now it is v1") as failed:
        run(buckets, "v2", champion)
    assert "new run" in failed.value.remedy
    assert pointer(buckets) == {"version": "v1"}


def test_a_champion_that_is_gone_is_not_taken_for_the_one_that_was_judged(buckets: Buckets) -> None:
    judged(buckets, "v2", "v1")
    with pytest.raises(StepError, match="judged against v1"):
        run(buckets, "v2", "v1")
    assert registry.champion(buckets.models) == (None, 0)


def test_of_two_candidates_at_once_one_wins_and_the_other_is_told(buckets: Buckets) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    for version in ("v2", "v3"):
        judged(buckets, version, "v1", run=version)
    together = Barrier(2)

    def attempt(version: str) -> str:
        together.wait()
        try:
            run(buckets, version, "v1", version)
        except StepError as error:
            return error.message
        return version

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(attempt, ["v2", "v3"]))
    winner = pointer(buckets)["version"]
    loser = {"v2": "v3", "v3": "v2"}[winner]
    assert winner in answers
    assert f"the champion moved meanwhile: {loser} was judged against v1, now it is {winner}" in answers


def test_without_a_verdict_nothing_moves(buckets: Buckets) -> None:
    with pytest.raises(StepError, match="v1 has no verdict") as failed:
        run(buckets, "v1")
    assert failed.value.remedy == "run judge first"
    assert registry.champion(buckets.models) == (None, 0)


@pytest.mark.parametrize(
    ("candidate", "champion", "promoted"),
    [("v2", "v1", False), ("v3", "v1", True), ("v2", "v3", True), ("v2", None, True)],
    ids=["against it", "of another candidate", "against another champion", "against none"],
)
def test_a_verdict_that_is_not_for_this_move_stops_it(
    buckets: Buckets, candidate: str, champion: str | None, promoted: bool
) -> None:
    registry.move_champion(buckets.models, {"version": "v1"}, 0)
    judged(buckets, candidate, champion, promoted)
    with pytest.raises(StepError, match="does not promote v2 over v1: because"):
        run(buckets, "v2", "v1")
    assert pointer(buckets) == {"version": "v1"}


def test_a_candidate_without_a_card_is_refused(buckets: Buckets) -> None:
    judged(buckets, "v9", None)
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9")


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


def test_a_promotion_that_was_overtaken_is_not_repeated(buckets: Buckets) -> None:
    judged(buckets, "v1", None)
    run(buckets, "v1")
    judged(buckets, "v2", "v1", run="r2")
    run(buckets, "v2", "v1", "r2")
    with pytest.raises(StepError, match="v1 was judged against none, now it is v2"):
        run(buckets, "v1")
    assert pointer(buckets)["version"] == "v2"
