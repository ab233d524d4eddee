"""Everything the pipeline needs, looked at from where a step runs: a table of what was found, with remedies."""

from __future__ import annotations

import functools
import logging
from collections import Counter

import menagerie_contract as contract
from menagerie_contract import Doctor

from model_service.doctor import buckets, champion, cluster, ledger, machine, versioned, website
from model_service.doctor.checks import Check, Finding, Row, run, table
from model_service.errors import StepError
from model_service.results import Outcome

log = logging.getLogger(__name__)


class Unwell(StepError):
    """Some check failed; `outputs` has every row."""


def doctor(step: Doctor) -> Outcome:
    """Outputs: rows, each {check, state, found, remedy}. Raises Unwell when one of them failed."""
    rows = run(checks_of(step))
    for line in table(rows):
        log.info("%s", line)
    outputs = {"rows": [row.document() for row in rows]}
    failed = [row for row in rows if row.state == "failed"]
    if failed:
        raise Unwell(_message(failed, len(rows)), remedy=_remedies(failed), outputs=outputs)
    counts: dict[str, int] = dict(Counter(row.state for row in rows))
    return Outcome(counts, outputs, f"nothing is in the way: {_words(counts)}")


def checks_of(step: Doctor) -> list[Check]:
    """The rows of the table, in order. A check of something new is a line in here and a function beside it."""
    uris = {name: getattr(step, name) for name in ("models", "source", "to_predict", "predicted")}
    return [
        Check("versions", machine.versions),
        Check("memory", machine.memory),
        Check("scratch space", machine.scratch, "Mount a writable volume (an emptyDir) at /tmp."),
        Check("graphics cards", machine.cards),
        Check("clock", functools.partial(website.clock, step.url, list(uris.values()))),
        *(_bucket(name, uri, sorts=bool(step.source)) for name, uri in uris.items()),
        Check("ledger", functools.partial(ledger.examine, step.models), limit=60),
        Check("champion", functools.partial(champion.examine, step.models), "Promote a model again.", limit=120),
        _asked(
            "registry", step.registry, Check("registry", functools.partial(versioned.registry, step.registry), limit=60)
        ),
        _asked(
            "registry",
            step.registry,
            Check("registry data", functools.partial(versioned.data, step.registry, step.models), limit=120),
        ),
        _asked("url", step.url, Check("website", functools.partial(website.examine, step.url, step.models))),
        _asked(
            "namespace",
            step.namespace,
            Check(
                "cluster",
                functools.partial(cluster.examine, step.namespace),
                "Run this in a pod of the service account menagerie-deploy, or point KUBECONFIG to the cluster.",
                limit=60,
            ),
        ),
    ]


def _bucket(name: str, uri: str, *, sorts: bool) -> Check:
    """What an account that sorts does in the bucket, or, in the bucket of models, one that deploys."""
    writes: tuple[str, ...] = ("",)
    excess: tuple[str, ...] = buckets.EXCESS
    if name == "source":  # originals are never changed
        writes = (f"{contract.QUARANTINE}/", f"{contract.HELD}/")
        excess = (*buckets.EXCESS, buckets.DELETE)
    elif name == "models":
        writes = ("runs/", "") if sorts else ("runs/",)  # results
    examine = functools.partial(buckets.examine, uri, writes, excess)
    return _asked(name.replace("_", "-"), uri, Check(f"bucket {name}", examine))


def _asked(argument: str, value: str, check: Check) -> Check:
    """The check, unless its argument was left out."""
    left_out = Finding("skipped", f"--{argument} is not given")
    return check if value else Check(check.name, lambda: left_out)


def _message(failed: list[Row], of: int) -> str:
    return f"{len(failed)} of {of} checks failed: " + "; ".join(f"{row.check}: {row.found}" for row in failed)


def _remedies(failed: list[Row]) -> str:
    return "\n".join(dict.fromkeys(row.remedy for row in failed if row.remedy))


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items())
