"""The rules by which a candidate becomes the champion, each with its finding in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import menagerie_contract as contract

from model_service.evaluation import metrics
from model_service.judging.evidence import Evidence, Tally
from model_service.words import counted, few

NAMED = 5  # classes, or what speaks against a candidate, told one by one in a sentence
BY_DEFAULT = "there is no champion: the candidate wins by default"


@dataclass(frozen=True)
class Rules:
    """What is demanded; the fields of contract.Judge, where each is explained."""

    tolerance: float = 0.0
    min_pictures: int = 100
    max_recall_loss: float = 0.05
    min_support: int = 20
    max_ece_loss: float = 0.02
    max_latency_loss: float = 0.2
    min_new_recall: float = 0.5

    @classmethod
    def of(cls, step: contract.Judge) -> Rules:
        return cls(**{f.name: getattr(step, f.name) for f in fields(cls)})


class Finding(NamedTuple):
    """What one rule found. `passed` None: it does not decide, and is only told."""

    rule: str
    passed: bool | None
    found: str
    limit: str
    text: str


class Decision(NamedTuple):
    promote: bool
    reason: str  # one sentence
    reasons: list[str]  # each in plain words: what speaks against the candidate, or for it; the first twenty
    findings: list[Finding]  # of every rule


def decide(evidence: Evidence | None, rules: Rules) -> Decision:
    """Whether the candidate is promoted. None: there is no champion to compare it with."""
    if evidence is None:
        return Decision(True, BY_DEFAULT, [BY_DEFAULT], [])
    findings = list(_findings(evidence, rules))
    against = [finding.text for finding in findings if finding.passed is False]
    told = [finding.text for finding in findings if finding.passed is None]
    if not findings[0].passed:
        return Decision(False, f"not enough evidence: {against[0]}, the champion stays", few(against + told), findings)
    if against:
        return Decision(False, f"the champion stays: {'; '.join(few(against, NAMED))}", few(against + told), findings)
    gained = [finding.text for finding in findings if finding.rule.startswith("new ")]
    reason = f"the candidate wins: {'; '.join([findings[1].text, *few(gained, NAMED)])}"
    return Decision(True, reason, few([finding.text for finding in findings if finding.passed] + told), findings)


def _findings(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    yield _pictures(evidence, rules)
    if evidence.compared:
        yield _accuracy(evidence, rules)
        yield _recall(evidence, rules)
    yield from _removed(evidence, rules)
    yield from (_new(label, tally, rules) for label, tally in evidence.new.items())
    yield from _calibration(evidence, rules)
    yield from _latency(evidence, rules)


def _pictures(evidence: Evidence, rules: Rules) -> Finding:
    text = f"{counted(evidence.compared, 'held-out picture')} of classes that both know"
    enough = evidence.compared >= rules.min_pictures
    return Finding(
        "evidence",
        enough,
        f"{evidence.compared:,}",
        f"≥ {rules.min_pictures:,}",
        text if enough else f"{text}, needed are {rules.min_pictures:,}",
    )


def _accuracy(evidence: Evidence, rules: Rules) -> Finding:
    """The lower end of the difference's interval decides. Where nothing may be lost, something has to be gained: by a
    picture, or by a new class.
    """
    assert evidence.low is not None
    assert evidence.high is not None
    assert evidence.difference is not None
    facts = (
        f"{evidence.candidate / evidence.compared:.1%} right against the champion's "
        f"{evidence.champion / evidence.compared:.1%} on {counted(evidence.compared, 'held-out picture')} (difference "
        f"{_points(evidence.difference)} points, with 95% confidence {_points(evidence.low)} to {_points(evidence.high)}; "
        f"right alone: candidate {evidence.only_candidate}, champion {evidence.only_champion})"
    )
    found, limit = f"{_points(evidence.low)} points", f"≥ {_points(-rules.tolerance)} points"
    if evidence.low < -rules.tolerance:
        return Finding(
            "accuracy", False, found, limit, f"{facts}; that has to begin at {_points(-rules.tolerance)} or above"
        )
    if not (evidence.only_candidate or evidence.new or rules.tolerance):
        return Finding("accuracy", False, found, limit, f"nothing is gained: {facts}")
    return Finding("accuracy", True, found, limit, facts)


def _recall(evidence: Evidence, rules: Rules) -> Finding:
    counting = {label: tally for label, tally in evidence.shared.items() if tally.support >= rules.min_support}
    limit = f"≥ {_points(-rules.max_recall_loss)} points"
    if not counting:
        text = f"no class has the {rules.min_support} held-out pictures from which its recall counts"
        return Finding("recall", None, "–", limit, text)
    losses = dict(sorted(((label, _loss(tally)) for label, tally in counting.items()), key=lambda item: -item[1]))
    worst = next(iter(losses))
    found = f"{_points(-losses[worst])} points ({worst})"
    lost = [_told(label, counting[label]) for label, loss in losses.items() if loss > rules.max_recall_loss]
    if lost:
        text = f"recall lost by more than {rules.max_recall_loss * 100:g} points: {', '.join(few(lost, NAMED))}"
        return Finding("recall", False, found, limit, text)
    text = f"no class loses more than {rules.max_recall_loss * 100:g} points of recall"
    return Finding("recall", True, found, limit, f"{text}; worst is {_told(worst, counting[worst])}")


def _removed(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    """A class that is gone has lost all recall, which counts as any class's."""
    for label, tally in evidence.removed.items():
        lost = tally.support >= rules.min_support and _loss(tally) > rules.max_recall_loss
        facts = f"{label} is removed: {counted(tally.support, 'held-out picture')}"
        text = facts + (f", of which the champion knows {tally.champion}" if tally.support else "")
        found = f"{_points(-_loss(tally))} points" if tally.support else "–"
        limit = f"≥ {_points(-rules.max_recall_loss)} points"
        yield Finding(f"removed {label}", False if lost else None, found, limit, text)


def _new(label: str, tally: Tally, rules: Rules) -> Finding:
    """With few pictures only what is beyond doubt counts against it: the upper end of the recall's 95 % interval."""
    rule, limit = f"new {label}", f"≥ {rules.min_new_recall:.1%}"
    if not tally.support:
        return Finding(
            rule, None, "–", limit, f"{label} is new, and no picture of it is held out: its recall is not known"
        )
    recall = tally.candidate / tally.support
    found = f"{recall:.1%} of {tally.support}"
    facts = f"{label} is new: {tally.candidate} of {counted(tally.support, 'held-out picture')} recognised"
    if tally.support >= rules.min_support:
        short = recall < rules.min_new_recall
        return Finding(
            rule, not short, found, limit, f"{facts}, needed are {rules.min_new_recall:.0%}" if short else facts
        )
    between = metrics.interval(tally.candidate, tally.support)
    assert between is not None
    if between[1] < rules.min_new_recall:
        text = f"{facts}, with 95% confidence at most {between[1]:.0%}, needed are {rules.min_new_recall:.0%}"
        return Finding(rule, False, found, limit, text)
    return Finding(rule, None if recall < rules.min_new_recall else True, found, limit, facts)


def _calibration(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    candidate, champion = evidence.ece
    if candidate is None or champion is None:
        return
    worse = candidate - champion > rules.max_ece_loss
    text = f"calibration error {candidate:.3f} against {champion:.3f}"
    if worse:
        text += f": worse by more than {rules.max_ece_loss:g}"
    yield Finding("calibration", not worse, f"{candidate - champion:+.3f}", f"≤ {rules.max_ece_loss:+g}", text)


def _latency(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    if evidence.slower is None:
        return
    worse = evidence.slower > rules.max_latency_loss
    text = f"a picture takes {abs(evidence.slower):.0%} {'longer' if evidence.slower > 0 else 'less time'}"
    if worse:
        text += f", allowed are {rules.max_latency_loss:.0%}"
    yield Finding("latency", not worse, f"{evidence.slower:+.1%}", f"≤ {rules.max_latency_loss:+.1%}", text)


def _loss(tally: Tally) -> float:
    """Of recall. One division of whole numbers: a loss of exactly what is allowed is not lost to rounding."""
    return (tally.champion - tally.candidate) / tally.support if tally.support else 0.0


def _told(label: str, tally: Tally) -> str:
    return (
        f"{label} {tally.candidate / tally.support:.1%} against {tally.champion / tally.support:.1%} of {tally.support}"
    )


def _points(share: float) -> str:
    """Percentage points, with their sign: +1.2."""
    return f"{100 * share + 0.0:+.1f}"
