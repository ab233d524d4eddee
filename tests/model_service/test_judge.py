"""judge: who is better on pictures neither was trained on; and when the champion stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from infra.build import tiny
from model_service import registry
from model_service.inference import INT8, ONNX, chosen
from model_service.judge import Int8Score, Score, decide, decide_int8, judge
from model_service.registry import BadModel
from model_service.results import Outcome
from model_service.shards import BadShard
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, read_json, square


@pytest.mark.parametrize(
    ("pictures", "candidate", "champion", "has_champion", "min_gain", "promoted", "reason"),
    [
        (0, 0, 0, False, 0.0, True, "there is no champion"),
        (100, 1, 0, False, 0.5, True, "there is no champion"),
        (0, 0, 0, True, 0.0, False, "not enough evidence"),
        (100, 80, 80, True, 0.0, False, "needed is more than the champion has"),
        (100, 81, 80, True, 0.0, True, "81.0% right against the champion's 80.0% on 100 held-out pictures"),
        (100, 79, 80, True, 0.0, False, "the champion stays: 79.0% right"),
        (100, 0, 100, True, 0.0, False, "the champion stays"),
        (100, 84, 80, True, 0.05, False, "needed is a gain of at least 5.0%"),
        (100, 86, 80, True, 0.05, True, "the candidate wins"),
        (100, 80, 80, True, -1.0, True, "the candidate wins"),
        (100, 70, 80, True, -0.1, True, "the candidate wins"),
        (100, 69, 80, True, -0.1, False, "needed is a gain of at least -10.0%"),
    ],
)
def test_the_decision(
    pictures: int, candidate: int, champion: int, has_champion: bool, min_gain: float, promoted: bool, reason: str
) -> None:
    score = Score(pictures, candidate, champion, 0, 0)
    decided, why = decide(score, has_champion=has_champion, min_gain=min_gain)
    assert decided is promoted
    assert reason in why


def test_exactly_the_gain_asked_for_is_enough() -> None:
    assert decide(Score(64, 40, 32, 8, 0), has_champion=True, min_gain=0.125)[0]


@pytest.mark.parametrize("gain", [1, 2, 3, 5, 6, 7])
def test_a_gain_of_whole_percents_is_not_lost_to_rounding(gain: int) -> None:
    assert decide(Score(100, 80 + gain, 80, gain, 0), has_champion=True, min_gain=gain / 100)[0]


def test_how_often_each_was_right_alone_is_told() -> None:
    _, reason = decide(Score(10, 7, 5, 3, 1), has_champion=True, min_gain=0.0)
    assert "right alone: candidate 3, champion 1" in reason


@pytest.mark.parametrize(
    ("pictures", "f32", "int8", "agreed", "accepted", "reason"),
    [
        (0, 0, 0, 0, False, "not enough evidence: 0 held-out pictures, needed are 100"),
        (99, 99, 99, 99, False, "not enough evidence: 99 held-out pictures, needed are 100"),
        (100, 99, 99, 100, True, "it is as good: 99.0% right in int8 and 99.0% in f32 on 100 held-out pictures"),
        (1000, 950, 947, 990, True, "of which both say the same in 99.0%"),
        (1000, 950, 946, 995, False, "it loses too much: 94.6% right in int8 and 95.0% in f32"),
        (1000, 950, 946, 995, False, "allowed is a loss of 0.3%"),
        (1000, 950, 950, 989, False, "it is another model: 95.0% right"),
        (1000, 950, 980, 970, False, "of which both say the same in 97.0%; needed is 99%"),
        (1000, 950, 955, 995, True, "it is as good"),
        (300, 290, 290, 297, True, "it is as good"),
    ],
)
def test_whether_int8_may_be_used(pictures: int, f32: int, int8: int, agreed: int, accepted: bool, reason: str) -> None:
    decided, why = decide_int8(Int8Score(pictures, f32, int8, agreed))
    assert decided is accepted
    assert reason in why


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("good")
    buckets.save_model("poor", bias=[9.0, 0.0, 0.0])  # everything is a cat
    return buckets


def run(buckets: Buckets, candidate: str, champion: str = "", **arguments: Any) -> Outcome:
    return judge(
        contract.Judge(run="r1", models=buckets.models, result="", candidate=candidate, champion=champion, **arguments)
    )


def held_out(buckets: Buckets, run: str = "r1") -> list[str]:
    return [row["label"] for row in buckets.manifest(run) if row["split"] == "holdout"]


def test_a_better_candidate_wins_on_the_holdout_alone(buckets: Buckets) -> None:
    train, _ = buckets.shards()
    local(train).write_bytes(b"never opened")
    outcome = run(buckets, "good", "poor")
    held = held_out(buckets)
    cats = held.count("cat")
    assert 0 < len(held) < 12
    assert outcome.outputs == {"verdict": contract.verdict(buckets.models, "r1"), "promote": True}
    verdict = read_json(contract.verdict(buckets.models, "r1"))
    assert verdict == outcome.counts
    assert verdict == {
        "promote": True,
        "reason": outcome.message,
        "candidate": "good",
        "champion": "poor",
        "pictures": len(held),
        "accuracy": {"candidate": 1.0, "champion": cats / len(held)},
        "right_alone": {"candidate": len(held) - cats, "champion": 0},
        "int8": None,
    }


@pytest.mark.parametrize(("candidate", "champion"), [("poor", "good"), ("good", "good")])
def test_a_candidate_that_is_no_better_does_not_win(buckets: Buckets, candidate: str, champion: str) -> None:
    outcome = run(buckets, candidate, champion)
    assert outcome.outputs["promote"] is False
    assert "the champion stays" in outcome.message


def test_without_a_champion_the_candidate_wins_by_default_and_the_verdict_says_so(buckets: Buckets) -> None:
    outcome = run(buckets, "poor")
    verdict = read_json(contract.verdict(buckets.models, "r1"))
    assert verdict["promote"] is True
    assert verdict["reason"] == outcome.message == "there is no champion: the candidate wins by default"
    assert (verdict["champion"], verdict["accuracy"]["champion"], verdict["right_alone"]) == (None, None, None)


def test_the_holdout_of_every_batch_counts(buckets: Buckets) -> None:
    buckets.put_squares(3, first=10)
    buckets.sorted("r2", holdout=0.5)
    assert run(buckets, "good", "poor").counts["pictures"] == len(held_out(buckets)) + len(held_out(buckets, "r2"))


def test_the_holdout_of_every_range_of_a_run_counts(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put_squares(4)
    counts = buckets.sorted_in_ranges(5, holdout=0.5)
    buckets.save_model("good")
    assert (
        run(buckets, "good").counts["pictures"] == sum(c["splits"]["holdout"] for c in counts) == len(held_out(buckets))
    )


def test_a_picture_that_was_met_under_another_label_later_on_is_no_evidence(buckets: Buckets) -> None:
    row = next(row for row in buckets.manifest() if row["split"] == "holdout")
    wrong = next(label for label in CLASSES if label != row["label"])
    buckets.put(f"{wrong}_99.jpg", local(row["uri"]).read_bytes())
    buckets.sorted("r2", max_bad=1.0)
    assert run(buckets, "good", "poor").counts["pictures"] == len(held_out(buckets)) - 1


def test_a_class_only_the_candidate_knows_is_a_miss_of_the_champion(buckets: Buckets) -> None:
    buckets.save_model("old", ["cat", "dog"])
    held = held_out(buckets)
    outcome = run(buckets, "good", "old")
    assert outcome.counts["accuracy"]["champion"] == (len(held) - held.count("zebra")) / len(held)


def test_with_nothing_held_out_the_champion_stays(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put("cat_1.jpg", square("cat"))
    buckets.sorted(holdout=0.0)
    buckets.save_model("good")
    buckets.save_model("poor")
    outcome = run(buckets, "good", "poor")
    assert outcome.outputs["promote"] is False
    assert outcome.counts["accuracy"] == {"candidate": None, "champion": None}
    assert "not enough evidence" in outcome.message


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    first = run(buckets, "good", "poor")
    before = buckets.tree(buckets.models)
    assert run(buckets, "good", "poor") == first
    assert buckets.tree(buckets.models) == before


def test_a_damaged_holdout_is_named_and_no_verdict_is_given(buckets: Buckets) -> None:
    _, holdout = buckets.shards()
    local(holdout).write_bytes(local(holdout).read_bytes()[:-1])
    with pytest.raises(BadShard, match=holdout):
        run(buckets, "good", "poor")
    assert not local(contract.verdict(buckets.models, "r1")).exists()


def test_a_candidate_that_is_not_there_is_an_error(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9", "good")


# The int8 variant


def save_with_int8(buckets: Buckets, version: str, int8_bias: list[float]) -> None:
    """A good model, and a variant that differs as the bias says."""
    buckets.save_model(f"{version}-plain")
    card = registry.card(buckets.models, f"{version}-plain")
    registry.save(buckets.models, version, {ONNX: tiny.model(3), INT8: tiny.model(3, int8_bias)}, card)


@pytest.fixture
def many(tmp_path: Path) -> Buckets:
    """More than 100 pictures held out, as few as do."""
    (tmp_path / "many").mkdir()
    buckets = make_buckets(tmp_path / "many")
    buckets.put_squares(42)
    buckets.sorted(holdout=0.9)
    buckets.save_model("poor", bias=[9.0, 0.0, 0.0])
    assert len(held_out(buckets)) >= 100
    return buckets


def test_a_variant_that_says_the_same_is_accepted_for_predict_to_use(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [0.01, 0.0, 0.0])
    outcome = run(buckets, "v1", "poor")
    held = len(held_out(buckets))
    judged = registry.int8(buckets.models, "v1")
    assert judged == outcome.counts["int8"] == read_json(contract.verdict(buckets.models, "r1"))["int8"]
    assert judged == {
        "accepted": True,
        "reason": f"it is as good: 100.0% right in int8 and 100.0% in f32 on {held} held-out pictures, of which both say "
        "the same in 100.0%",
        "accuracy": {"f32": 1.0, "int8": 1.0},
        "agreement": 1.0,
        "pictures": held,
    }
    assert chosen(buckets.models, "v1", "int8")[0] == "int8"
    assert registry.int8(buckets.models, "poor") is None, "the champion was judged when it was a candidate"


def test_a_variant_that_says_something_else_is_refused_and_the_candidate_may_win_all_the_same(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [9.0, 0.0, 0.0])  # everything is a cat
    held = held_out(buckets)
    outcome = run(buckets, "v1", "poor")
    assert outcome.outputs["promote"] is True
    judged = registry.int8(buckets.models, "v1")
    assert judged is not None
    assert (judged["accepted"], judged["agreement"]) == (False, held.count("cat") / len(held))
    assert judged["accuracy"] == {"f32": 1.0, "int8": held.count("cat") / len(held)}
    assert "it loses too much" in judged["reason"]
    assert chosen(buckets.models, "v1", "int8")[0] != "int8"


def test_the_first_word_on_a_variant_stands(many: Buckets) -> None:
    buckets = many
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    first = run(buckets, "v1").counts["int8"]
    before = buckets.tree(buckets.models)
    assert run(buckets, "v1").counts["int8"] == first
    assert buckets.tree(buckets.models) == before
    buckets.put_squares(3, first=100)
    buckets.sorted("r2", holdout=0.5)
    again = judge(contract.Judge(run="r2", models=buckets.models, result="", candidate="v1", champion=""))
    assert again.counts["pictures"] > first["pictures"]
    assert again.counts["int8"] == first


@pytest.mark.parametrize("holdout", [0.0, 0.9])
def test_on_too_few_pictures_nothing_is_said_for_good(tmp_path: Path, holdout: float) -> None:
    (tmp_path / "new").mkdir()
    buckets = make_buckets(tmp_path / "new")
    buckets.put_squares(2)
    buckets.sorted(holdout=holdout)
    held = len(held_out(buckets))
    assert bool(held) == bool(holdout)
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    judged = run(buckets, "v1").counts["int8"]
    assert (judged["accepted"], judged["reason"]) == (
        False,
        f"not enough evidence: {held} held-out pictures, needed are 100",
    )
    assert judged == read_json(contract.verdict(buckets.models, "r1"))["int8"], "the verdict says so"
    assert judged["accuracy"] == ({"f32": 1.0, "int8": 1.0} if held else {"f32": None, "int8": None})
    assert registry.int8(buckets.models, "v1") is None
    buckets.put_squares(42, first=10)
    buckets.sorted("r2", holdout=0.9)
    later = judge(contract.Judge(run="r2", models=buckets.models, result="", candidate="v1", champion=""))
    assert later.counts["int8"]["accepted"] is True
    assert registry.int8(buckets.models, "v1") == later.counts["int8"]


def test_a_damaged_variant_is_named(buckets: Buckets) -> None:
    save_with_int8(buckets, "v1", [0.0, 0.0, 0.0])
    path = local(f"{contract.model(buckets.models, 'v1')}/{INT8}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadModel, match=r"model\.int8\.onnx is not the file its card describes"):
        run(buckets, "v1")
