"""The evaluations of all runs: each is compared with the one before it, and latest.json points to the newest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service.evaluation import evaluations
from model_service.ledger import read_head
from model_service.storage import open_store
from tests.model_service.buckets import Buckets, local, make_buckets, square
from tests.model_service.evaluating import evaluated, latest, metrics_of, page_of, predicted
from tests.model_service.proofs import do_before


def three_runs(buckets: Buckets) -> Buckets:
    """z, m and a: sorted and predicted in this order, which is not that of their names."""
    for number, run in enumerate(("z", "m", "a")):
        buckets.put_squares(2, first=1 + 10 * number)
        if run == "m":
            buckets.put("dog_99.jpg", square("cat", 99))
        buckets.sorted(run)
        if number == 0:
            buckets.save_model("v1")
        predicted(buckets, run=run)
    return buckets


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return three_runs(make_buckets(tmp_path))


def test_the_first_evaluation_has_none_before_it(buckets: Buckets) -> None:
    evaluated(buckets, run="z")
    assert metrics_of(buckets, "z")["previous"] is None


def test_an_evaluation_is_compared_with_that_of_the_run_before(buckets: Buckets) -> None:
    for run in ("z", "m", "a"):
        evaluated(buckets, run=run)
    before = metrics_of(buckets, "m")
    previous = metrics_of(buckets, "a")["previous"]
    assert (previous["run"], previous["model"]) == ("m", "v1")
    assert previous["report"] == contract.report(buckets.predicted, "m")
    for name in ("pictures", "right", "accuracy", "interval", "top5", "log_loss", "brier", "ece", "by_class"):
        assert previous[name] == before["metrics"][name], name
    assert (previous["pictures"], previous["right"]) == (7, 6)
    assert previous["drifted"] is None, "the model keeps no reference"
    assert "previous" not in previous, "or each document would hold all those before"
    assert "85.7%" in page_of(buckets, "a").text


def test_runs_that_were_not_evaluated_are_passed_over(buckets: Buckets) -> None:
    evaluated(buckets, run="z")
    evaluated(buckets, run="a")
    assert metrics_of(buckets, "a")["previous"]["run"] == "z"


def test_a_newer_run_is_not_before_an_older_one(buckets: Buckets) -> None:
    evaluated(buckets, run="a")
    evaluated(buckets, run="m")
    assert metrics_of(buckets, "m")["previous"] is None


@pytest.mark.parametrize("content", ["", "{", "null", "[]", "{}", '{"metrics": 3, "model": "v1"}'])
def test_a_damaged_evaluation_is_passed_over_and_named(
    buckets: Buckets, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    evaluated(buckets, run="z")
    local(contract.metrics(buckets.predicted, "m")).write_text(content)
    evaluated(buckets, run="a")
    assert metrics_of(buckets, "a")["previous"]["run"] == "z"
    assert f"{contract.metrics(buckets.predicted, 'm')} is damaged" in caplog.text


def test_one_of_an_earlier_release_has_fewer_numbers(buckets: Buckets) -> None:
    old: dict[str, Any] = {"run": "m", "model": "v0", "metrics": {"pictures": 4, "right": 3, "accuracy": 0.75}}
    local(contract.metrics(buckets.predicted, "m")).write_text(json.dumps(old))
    evaluated(buckets, run="a")
    previous = metrics_of(buckets, "a")["previous"]
    assert (previous["model"], previous["accuracy"], previous["log_loss"]) == ("v0", 0.75, None)
    assert "75.0%" in page_of(buckets, "a").text


# The pointer to the newest.


def test_latest_points_to_the_newest_evaluation(stores: Buckets) -> None:
    three_runs(stores)
    for run in ("z", "m"):
        assert evaluated(stores, run=run).outputs["latest"] == run
        assert latest(stores) == {
            "run": run,
            "report": contract.report(stores.predicted, run),
            "metrics": contract.metrics(stores.predicted, run),
        }


def test_an_old_run_evaluated_again_does_not_move_it_back(buckets: Buckets) -> None:
    evaluated(buckets, run="a")
    assert evaluated(buckets, run="z").outputs["latest"] == "a"
    assert latest(buckets)["run"] == "a"


def test_the_same_run_again_writes_nothing(buckets: Buckets) -> None:
    evaluated(buckets, run="a")
    store = open_store(buckets.predicted)
    before = store.stat("latest.json")
    evaluated(buckets, run="a")
    assert store.stat("latest.json") == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": "r1 of another project"}'])
def test_a_pointer_to_nothing_that_is_known_is_replaced(buckets: Buckets, content: str) -> None:
    local(contract.latest(buckets.predicted)).write_text(content)
    evaluated(buckets, run="z")
    assert latest(buckets)["run"] == "z"


@pytest.mark.parametrize(("first", "second", "newest"), [("m", "a", "a"), ("a", "m", "a")])
def test_of_two_at_once_the_newer_wins(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch, first: str, second: str, newest: str
) -> None:
    """The second one publishes just before the first one's write, which is then refused."""
    predicted_, models = open_store(buckets.predicted), open_store(buckets.models)
    evaluated(buckets, run="z")
    done = do_before(
        buckets,
        monkeypatch,
        ("compare_and_swap", "latest.json"),
        lambda: evaluations.publish(predicted_, models, second),
    )
    assert evaluations.publish(predicted_, models, first) == newest
    assert done
    assert latest(buckets)["run"] == newest


def test_a_run_that_has_committed_meanwhile_is_known_for_newer(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pointer is read before the ledger's head, so a head never lacks the run that is pointed to."""
    evaluated(buckets, run="a")
    before = read_head(buckets.models)

    def sorted_and_published() -> None:
        buckets.put_squares(1, first=70)
        buckets.sorted("newest")
        evaluations.publish(open_store(buckets.predicted), open_store(buckets.models), "newest")

    done = do_before(buckets, monkeypatch, ("stat", "latest.json"), sorted_and_published)
    assert "newest" not in evaluations.order(before)
    assert evaluations.publish(open_store(buckets.predicted), open_store(buckets.models), "m") == "newest"
    assert done
    assert latest(buckets)["run"] == "newest"
