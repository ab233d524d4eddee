"""A canary: some pods of the new model behind the website's Service for a while, asked and compared with the champion's.

Only what the checks ask themselves is judged: the self test's pictures, and some held-out pictures of the run's batches. An
answer says which model gave it; a request without an answer could be either's, and counts against the canary.
"""

from __future__ import annotations

import io
import itertools
import logging
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import menagerie_contract as contract
from PIL import Image

from model_service import batches, images
from model_service.deploy import manifests, rollout, smoke
from model_service.deploy.cluster import Cluster
from model_service.deploy.evidence import evidence
from model_service.deploy.revisions import Release
from model_service.deploy.smoke import Refused
from model_service.deploy.website import Answer, Website
from model_service.selftest import Question

PACE = 0.2  # seconds between two questions
LOOK = 5.0  # seconds between two looks at its pods
ENOUGH = 20  # answers after which too many errors end the watch early, and before which it does not end well
MOST = 300  # questions after which the watch ends with the time, however few the canary was given
HELD_OUT = 24  # pictures

Object = dict[str, Any]
log = logging.getLogger(__name__)


class Aborted(Refused):
    """The canary does not do as well as it must."""


class Stuck(Aborted, rollout.Failed):
    """The canary's pods do not come up."""


class Unasked(Aborted):
    """Nothing was learned of the canary."""


@dataclass
class Tally:
    """What was answered so far; `canary` and `champion` are the first choices for each picture."""

    answers: int = 0
    errors: list[str] = field(default_factory=list)
    canary: dict[bytes, str] = field(default_factory=dict)
    champion: dict[bytes, str] = field(default_factory=dict)

    def count(self, answer: Answer, jpeg: bytes, question: Question | None, step: contract.Deploy) -> None:
        if answer.body.get("reason") == "busy":
            return
        if question is None and 400 <= answer.status < 500:
            return  # a picture that the website takes from nobody
        if answer.status != 200:
            self.errors.append(answer.why)
            return
        first = answer.body["classes"][0]["label"]
        if answer.body.get("model") != step.model:
            self.champion[jpeg] = first
            return
        self.answers += 1
        self.canary[jpeg] = first
        if question and (problem := smoke.wrong(answer, question, step.tolerance)):
            self.errors.append(problem)

    @property
    def told(self) -> bool:
        """Whether they say anything of the canary: errors alone do not, when the champion does not answer either."""
        return bool(self.answers or (self.errors and self.champion))

    @property
    def agreement(self) -> float:
        """The share of the pictures answered by both on which they agree; 0 when there is none."""
        both = self.canary.keys() & self.champion.keys()
        return sum(self.canary[p] == self.champion[p] for p in both) / len(both) if both else 0.0


def verdict(tally: Tally, step: contract.Deploy, *, final: bool) -> str:
    """Why the canary is not to be promoted; empty when it may be. Before the end only errors are judged. Pure."""
    asked = tally.answers + len(tally.errors)
    if (final or asked >= ENOUGH) and asked and len(tally.errors) / asked > step.canary_errors:
        return f"{len(tally.errors)} of its {asked} answers failed: {tally.errors[-1]}"
    if final and not tally.answers:
        return "it was never asked: the Service did not lead there once"
    if final and tally.agreement < step.canary_agreement:
        return f"it agrees with the champion on {tally.agreement:.0%} of the pictures, wanted are {step.canary_agreement:.0%}"
    return ""


@contextmanager
def beside(cluster: Cluster, step: contract.Deploy, deployment: Object, live: Object) -> Iterator[None]:
    """The canary's Deployment beside the website's, of its size times the share; removed at the end, however it comes."""
    pods = max(1, math.ceil(live["spec"].get("replicas", 1) * step.canary_percent / 100))
    cluster.apply(manifests.canary(deployment, pods))
    log.info("canary: %d pods for %g minutes", pods, step.canary_minutes)
    try:
        yield
    finally:
        remove(cluster)


def remove(cluster: Cluster) -> None:
    if cluster.delete("Deployment", manifests.CANARY):
        log.info("the canary is removed")


def watch(
    cluster: Cluster, step: contract.Deploy, website: Website, ours: Release, questions: Sequence[Question]
) -> None:
    """Return when the time is over and the canary did well. Raises Aborted."""
    try:
        rollout.wait(cluster, manifests.CANARY, ours, cluster.until)
    except rollout.Failed as error:
        raise Stuck(_taken_back(cluster, str(error))) from error
    until = time.monotonic() + step.canary_minutes * 60
    cluster.until = until + step.timeout
    tally, look = Tally(), time.monotonic() + LOOK
    pictures: list[tuple[bytes, Question | None]] = [(q.jpeg, q) for q in questions]
    pictures += [(jpeg, None) for jpeg in held_out(step.models, step.run)]
    for asked, (jpeg, question) in enumerate(_shuffled(pictures), 1):
        tally.count(website.predict(jpeg), jpeg, question, step)
        now = time.monotonic()
        final = now >= until and (tally.answers + len(tally.errors) >= ENOUGH or asked >= MOST)
        if problem := verdict(tally, step, final=final):
            text = _taken_back(cluster, problem)
            raise (
                Aborted(text)
                if tally.told
                else Unasked(text, remedy=f"See that {website.url} leads to its pods.", retry=True)
            )
        if final:
            break
        if now >= look:
            look = now + LOOK
            log.info("canary: %d answers, %d failed, agreement %.0f %%", *_numbers(tally))
            if problem := rollout.see(cluster, manifests.CANARY, ours).failed:
                raise Stuck(_taken_back(cluster, problem))
        time.sleep(PACE)
    log.info("the canary did well: %d answers, %d failed, agreement %.0f %%", *_numbers(tally))


def _shuffled(pictures: list[tuple[bytes, Question | None]]) -> Iterator[tuple[bytes, Question | None]]:
    """All of them again and again, each time in another order: a Service that deals in turn would ask in step."""
    while True:
        yield from random.sample(pictures, len(pictures))


def held_out(models: str, run: str) -> list[bytes]:
    """Some held-out pictures of the run's own batches, as packed and large enough for the website; none when it has none."""
    shards: dict[str, str] = {}
    for batch in batches.of_run(models, run):
        shards |= batches.shards(models, batch, "holdout")
    jpegs = (sample.jpeg for sample in batches.samples(models, shards))  # fetched as they are asked for
    return list(itertools.islice(filter(_askable, jpegs), HELD_OUT))


def _askable(jpeg: bytes) -> bool:
    """A long, thin picture is packed thinner than it arrived: as selftest.choose, which asks the same website."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return min(picture.size) >= images.Limits().min_side


def _numbers(tally: Tally) -> tuple[int, int, float]:
    return tally.answers, len(tally.errors), 100 * tally.agreement


def _taken_back(cluster: Cluster, why: str) -> str:
    pods = rollout.pods_of(cluster, rollout.look(cluster, manifests.CANARY).current)
    return "\n".join(filter(None, [f"the canary is taken back: {why}", evidence(cluster, pods)]))
