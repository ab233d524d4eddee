"""The rules by which a candidate becomes champion, each alone and all together."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import menagerie_contract as contract
import pytest

from model_service.judging.evidence import Evidence, Tally
from model_service.judging.rules import BY_DEFAULT, Decision, Rules, decide

# A candidate that is better in everything: 85 % against 80 % of 200.
BETTER = Evidence(
    compared=200,
    candidate=170,
    champion=160,
    only_candidate=12,
    only_champion=2,
    low=0.01,
    high=0.09,
    ece=(0.03, 0.05),
    slower=-0.1,
    shared={"cat": Tally(100, 90, 80), "dog": Tally(100, 80, 80)},
)


def decided(rules: Rules | None = None, **evidence: Any) -> Decision:
    return decide(dataclasses.replace(BETTER, **evidence), rules or Rules())


def failed(decision: Decision) -> set[str]:
    return {finding.rule for finding in decision.findings if finding.passed is False}


def test_the_rules_are_what_the_step_is_told() -> None:
    step = contract.Judge(run="r", models="m", result="x", candidate="v", tolerance=0.1, min_new_recall=0.7)
    assert Rules.of(step) == Rules(tolerance=0.1, min_new_recall=0.7)
    assert Rules.of(contract.Judge(run="r", models="m", result="x", candidate="v")) == Rules(), "the same defaults"


def test_without_a_champion_the_candidate_wins_by_default() -> None:
    assert decide(None, Rules()) == Decision(True, BY_DEFAULT, [BY_DEFAULT], [])


def test_one_that_is_better_in_everything_wins_and_the_reasons_say_in_what() -> None:
    decision = decided()
    assert decision.promote
    assert decision.reason == (
        "the candidate wins: 85.0% right against the champion's 80.0% on 200 held-out pictures (difference +5.0 points, with "
        "95% confidence +1.0 to +9.0; right alone: candidate 12, champion 2)"
    )
    assert decision.reasons == [
        "200 held-out pictures of classes that both know",
        decision.reason.removeprefix("the candidate wins: "),
        "no class loses more than 5 points of recall; worst is dog 80.0% against 80.0% of 100",
        "calibration error 0.030 against 0.050",
        "a picture takes 10% less time",
    ]
    assert all(finding.passed for finding in decision.findings)


@pytest.mark.parametrize(
    ("low", "tolerance", "promoted"),
    [
        (0.0, 0.0, True),
        (0.005, 0.0, True),
        (-0.005, 0.0, False),
        (-0.005, 0.005, True),
        (-0.01, 0.01, True),
        (-0.07, 0.07, True),
        (-0.015, 0.01, False),
        (-1.0, 1.0, True),
    ],
)
def test_the_lower_end_of_the_interval_decides(low: float, tolerance: float, promoted: bool) -> None:
    decision = decided(Rules(tolerance=tolerance), low=low)
    assert decision.promote is promoted
    assert failed(decision) == (set() if promoted else {"accuracy"})


@pytest.mark.parametrize("lost", range(1, 30))
def test_a_loss_of_exactly_what_is_allowed_is_not_lost_to_rounding(lost: int) -> None:
    assert decided(Rules(tolerance=lost / 100), low=-lost / 100).promote
    rules = Rules(max_recall_loss=lost / 100)
    assert decided(rules, shared={"cat": Tally(100, 60, 60 + lost)}).promote
    assert failed(decided(rules, shared={"cat": Tally(100, 60, 61 + lost)})) == {"recall"}


def test_on_too_few_pictures_the_champion_stays_whatever_else_is_found() -> None:
    decision = decided(compared=99, candidate=99, champion=0, low=0.9)
    assert not decision.promote
    assert decision.reason == (
        "not enough evidence: 99 held-out pictures of classes that both know, needed are 100, the champion stays"
    )
    assert decided(Rules(min_pictures=99), compared=99, candidate=99, champion=0, low=0.9).promote
    nothing = decide(Evidence(), Rules())
    assert (nothing.promote, failed(nothing)) == (False, {"evidence"})
    assert "0 held-out pictures" in nothing.reason


TIE: dict[str, Any] = {
    "candidate": 160,
    "champion": 160,
    "only_candidate": 0,
    "only_champion": 0,
    "low": 0.0,
    "high": 0.0,
}
SAME: dict[str, Any] = {"shared": {"cat": Tally(200, 160, 160)}}


def test_a_tie_is_no_gain() -> None:
    decision = decided(**TIE, **SAME)
    assert (decision.promote, failed(decision)) == (False, {"accuracy"})
    assert decision.reason.startswith("the champion stays: nothing is gained: 80.0% right")


def test_a_tie_is_enough_when_something_may_be_lost_or_a_class_is_gained() -> None:
    assert decided(Rules(tolerance=0.001), **TIE, **SAME).promote
    assert decided(**TIE, **SAME, new={"zebra": Tally(30, 25, 0)}).promote


def test_a_class_that_loses_recall_keeps_the_champion_if_it_has_support() -> None:
    decision = decided(shared={"cat": Tally(20, 15, 17), "dog": Tally(180, 155, 143)})
    assert failed(decision) == {"recall"}
    assert decision.reasons == ["recall lost by more than 5 points: cat 75.0% against 85.0% of 20"]
    assert decided(shared={"cat": Tally(19, 0, 17), "dog": Tally(181, 170, 143)}).promote
    assert decided(shared={"cat": Tally(20, 16, 17), "dog": Tally(180, 154, 143)}).promote, "exactly five points"


def test_of_many_classes_that_lose_the_worst_are_named() -> None:
    shared = {f"class {i}": Tally(40, 30 - i, 34) for i in range(8)}
    (reason,) = decided(shared=shared).reasons
    assert reason.startswith("recall lost by more than 5 points: class 7 57.5% against 85.0% of 40, class 6")
    assert reason.endswith("… and 3 more")


def test_without_a_class_that_has_support_recall_does_not_decide_and_this_is_told() -> None:
    decision = decided(shared={"cat": Tally(10, 0, 10)})
    assert decision.promote
    assert "no class has the 20 held-out pictures from which its recall counts" in decision.reasons


@pytest.mark.parametrize(
    ("support", "right", "passed", "told"),
    [
        (40, 20, True, "zebra is new: 20 of 40 held-out pictures recognised"),
        (40, 19, False, "zebra is new: 19 of 40 held-out pictures recognised, needed are 50%"),
        (20, 9, False, "needed are 50%"),
        # Too few pictures to tell: what is beyond doubt counts, by Wilson's interval of the recall.
        (4, 0, False, "0 of 4 held-out pictures recognised, with 95% confidence at most 49%, needed are 50%"),
        (3, 0, None, "zebra is new: 0 of 3 held-out pictures recognised"),
        (1, 0, None, "zebra is new: 0 of 1 held-out picture recognised"),
        (1, 1, True, "1 of 1 held-out picture recognised"),
        (0, 0, None, "zebra is new, and no picture of it is held out: its recall is not known"),
    ],
)
def test_a_new_class_has_to_be_recognised(support: int, right: int, passed: bool | None, told: str) -> None:
    decision = decided(new={"zebra": Tally(support, right, 0)})
    (finding,) = (finding for finding in decision.findings if finding.rule == "new zebra")
    assert finding.passed is passed
    assert told in finding.text
    assert decision.promote is (passed is not False)
    assert finding.text in decision.reasons
    assert finding.text in decision.reason


@pytest.mark.parametrize(
    ("tally", "promoted"),
    [(Tally(20, 0, 18), False), (Tally(19, 0, 18), True), (Tally(20, 0, 1), True), (Tally(0, 0, 0), True)],
)
def test_a_class_that_is_removed_has_lost_its_recall(tally: Tally, promoted: bool) -> None:
    decision = decided(removed={"yak": tally})
    assert decision.promote is promoted
    assert any("yak is removed" in reason for reason in decision.reasons)
    assert decided(Rules(max_recall_loss=1), removed={"yak": tally}).promote, "as it is when it was meant"


def test_calibration_and_latency_may_be_only_so_much_worse() -> None:
    assert decided(ece=(0.0625, 0.03125), slower=0.125).reasons == [
        "calibration error 0.062 against 0.031: worse by more than 0.02"
    ]
    assert decided(Rules(max_ece_loss=0.03125), ece=(0.0625, 0.03125)).promote
    assert decided(slower=0.2).promote
    assert decided(slower=0.21).reasons == ["a picture takes 21% longer, allowed are 20%"]
    assert decided(slower=None).promote


def test_everything_that_speaks_against_it_is_told() -> None:
    decision = decided(
        low=-0.03, ece=(0.3, 0.1), slower=0.5, shared={"cat": Tally(50, 10, 40)}, removed={"yak": Tally(30, 0, 30)}
    )
    assert failed(decision) == {"accuracy", "recall", "removed yak", "calibration", "latency"}
    assert len(decision.reasons) == 5
    assert decision.reason == f"the champion stays: {'; '.join(decision.reasons)}"


def test_of_hundreds_of_new_classes_the_first_are_told_and_all_are_findings() -> None:
    new = {f"class {i:03d}": Tally(30, 0, 0) for i in range(300)}
    decision = decided(new=new)
    assert len(decision.findings) == 305
    assert decision.reasons[-1] == "… and 280 more"
    assert decision.reason.endswith(
        "class 004 is new: 0 of 30 held-out pictures recognised, needed are 50%; … and 295 more"
    )


def drawn(chance: random.Random) -> tuple[Evidence, Rules]:
    def tally() -> Tally:
        support = chance.choice([0, 1, 19, 20, 60])
        return Tally(support, chance.randint(0, support), chance.randint(0, support))

    compared = chance.choice([0, 5, 99, 100, 500])
    only_candidate = chance.randint(0, compared // 4)
    only_champion = chance.randint(0, compared // 4)
    neither = chance.randint(0, compared // 2)
    both = compared - only_candidate - only_champion - neither
    difference = (only_candidate - only_champion) / compared if compared else 0.0
    evidence = Evidence(
        compared=compared,
        candidate=both + only_candidate,
        champion=both + only_champion,
        only_candidate=only_candidate,
        only_champion=only_champion,
        low=difference - chance.choice([0, 0.01, 0.2]) if compared else None,
        high=difference + 0.01 if compared else None,
        ece=(chance.random() / 5, chance.random() / 5) if compared else (None, None),
        slower=chance.choice([None, -0.5, 0.1, 0.3]),
        shared={f"shared {i}": tally() for i in range(chance.randint(0, 3))},
        new={f"new {i}": tally() for i in range(chance.randint(0, 2))},
        removed={f"removed {i}": tally() for i in range(chance.randint(0, 2))},
    )
    rules = Rules(
        tolerance=chance.choice([0.0, 0.02, 1.0]),
        min_pictures=chance.choice([1, 100]),
        max_recall_loss=chance.choice([0.0, 0.05, 1.0]),
        max_latency_loss=chance.choice([0.0, 0.2, 9.0]),
    )
    return evidence, rules


def test_whatever_is_found_a_candidate_is_promoted_exactly_when_no_rule_speaks_against_it() -> None:
    chance, promoted = random.Random(0), 0
    for _ in range(3000):
        evidence, rules = drawn(chance)
        decision = decide(evidence, rules)
        promoted += decision.promote
        assert decision.promote is not bool(failed(decision))
        if decision.promote:
            assert evidence.low is not None
            assert evidence.low >= -rules.tolerance
            assert evidence.compared >= rules.min_pictures
        assert decision.reason
        assert decision.reasons
        assert all(finding.text in decision.reasons for finding in decision.findings if finding.passed is False)
    assert 100 < promoted < 2900


def test_what_is_better_for_the_candidate_never_turns_a_promotion_down() -> None:
    chance, seen = random.Random(1), 0
    for _ in range(3000):
        evidence, rules = drawn(chance)
        if not decide(evidence, rules).promote:
            continue
        seen += 1
        assert evidence.low is not None
        improved = dataclasses.replace(
            evidence,
            low=evidence.low + 0.01,
            ece=(0.0, evidence.ece[1]),
            slower=-0.9,
            shared={label: dataclasses.replace(t, candidate=t.support) for label, t in evidence.shared.items()},
            new={label: dataclasses.replace(t, candidate=t.support) for label, t in evidence.new.items()},
        )
        assert decide(improved, rules).promote
        looser = dataclasses.replace(rules, tolerance=1.0, max_recall_loss=1.0, max_latency_loss=9.0, min_pictures=1)
        assert decide(evidence, looser).promote
    assert seen > 100
