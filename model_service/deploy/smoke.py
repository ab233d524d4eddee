"""The self test, asked over HTTP: are these the model's own answers, from that model, and quick enough?"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Sequence

from menagerie_contract import Deploy

from model_service.deploy.website import Answer, Website
from model_service.errors import StepError
from model_service.selftest import Question

PASSES = 3  # times each question is asked
PER_POD = 5  # requests a pod: each is a connection of its own, so that every pod is likely among those asked
SETTLE = 30.0  # seconds in which the model before may still answer, or nobody
POLL = 0.5

log = logging.getLogger(__name__)


class Refused(StepError):
    """The website has shown that it cannot serve the model."""


class Unreached(Refused):
    """Where the website should answer, none does."""


def wrong(answer: Answer, question: Question, tolerance: float) -> str:
    """What is wrong with an answer's probabilities; empty when they are the expected ones. Pure."""
    got = {c["label"]: c["probability"] for c in answer.body.get("classes", [])}
    if got.keys() != question.probabilities.keys():
        return f"it answers with the classes {sorted(got)}, expected are {sorted(question.probabilities)}"
    off = {label: abs(got[label] - expected) for label, expected in question.probabilities.items()}
    worst = max(off, key=lambda label: off[label])
    if off[worst] <= tolerance:
        return ""
    expected = question.probabilities[worst]
    return (
        f"it gives a picture of {question.label} the probability {got[worst]:.3f} of being {worst}, "
        f"expected is {expected:.3f} ± {tolerance:g}"
    )


def p95(seconds: Sequence[float]) -> float:
    """The time within which 95 % of the answers came."""
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]


def prove(website: Website, step: Deploy, questions: Sequence[Question], pods: int = 1) -> float:
    """Return the answers' 95th percentile in seconds after a pass without a complaint. Raises Refused.

    A wrong answer of the model is refused at once; other complaints are, when they outlast SETTLE.
    """
    until = time.monotonic() + SETTLE
    said = ""
    while True:
        complaint, slowest = _pass(website, step, questions, max(PASSES * len(questions), PER_POD * pods))
        if not complaint:
            log.info("the self test is passed: %d questions, 95 %% within %.3f s", len(questions), slowest)
            return slowest
        if time.monotonic() > until:
            if not website.ready().body:  # neither then
                remedy = f"See that {website.url} leads to the website from here, or name another --url."
                raise Unreached(f"the self test cannot be asked: {complaint}", remedy=remedy, retry=True)
            raise Refused(f"the website fails the self test of model {step.model}: {complaint}", remedy=_REMEDY)
        if complaint != said:
            log.info("not yet: %s", said := complaint)
        time.sleep(POLL)


def _pass(website: Website, step: Deploy, questions: Sequence[Question], requests: int) -> tuple[str, float]:
    """Ask that many times; the first complaint, or the 95th percentile in seconds."""
    times = []
    for question in itertools.islice(itertools.cycle(questions), requests):
        begun = time.monotonic()
        answer = website.predict(question.jpeg)
        while answer.body.get("reason") == "busy" and time.monotonic() < begun + SETTLE:  # others ask too
            time.sleep(POLL)
            answer = website.predict(question.jpeg)
        if answer.status != 200:
            return answer.why, math.inf
        if answer.body.get("model") != step.model:
            return f"model {answer.body.get('model')} answers", math.inf
        if problem := wrong(answer, question, step.tolerance):
            raise Refused(f"the website fails the self test of model {step.model}: {problem}", remedy=_REMEDY)
        times.append(time.monotonic() - begun)
    slowest = p95(times)
    return (f"95 % of its answers take up to {slowest:.2f} s" if slowest > step.max_p95 else ""), slowest


_REMEDY = "The former model stays. Look at the model and at the website's log; then train or promote again."
