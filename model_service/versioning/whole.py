"""Is the registry whole, and this bucket's? What a snapshot builds on, and what gc trusts, is looked at before."""

from __future__ import annotations

import re
import time

import menagerie_contract as contract

from model_service.addresses import scrubbed
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.versioning import contents
from model_service.versioning.repository import Repository

_WAITS = (0.5, 2.0)  # seconds: a server may show a branch a moment before the tag that was pushed with it
_FILES = {contents.DATASETS: contents.BATCHES, contents.MODELS: contents.MODEL.partition("/")[0]}


def tags(repository: Repository, kind: str) -> None:
    """Raise StepError when the history tells of a dataset, or a model, whose tag is not there: tags are lost when a registry is
    copied without them, and the next one would get a number that named another.
    """
    for wait in _WAITS:
        if not (lost := _lost(repository, kind)):
            return
        time.sleep(wait)
        repository.fetch()
    if lost := _lost(repository, kind):
        url = scrubbed(repository.url)
        raise StepError(
            f"the data registry {url} has lost its tags: {lost}",
            remedy=f"push them from a clone that has them: git push {url} 'refs/tags/{kind}*'; or make them anew, in a clone "
            "of the registry: git log --oneline tells the commit of each, git tag TAG COMMIT, git push origin TAG",
        )


def begun(repository: Repository) -> None:
    """Raise StepError for a repository without any commit: it is no registry, or not the one that is meant."""
    if not repository.newest and not repository.tags("*"):
        raise StepError(
            f"the data registry {scrubbed(repository.url)} is empty: no snapshot was ever made in it",
            remedy="check the address (MENAGERIE_REGISTRY): a registry has commits from its first snapshot on",
        )


def ours(repository: Repository, models: str) -> None:
    """Raise StepError when the dataset has batches that are not in this bucket's ledger: nobody could train on it."""
    if not repository.newest:
        return
    there = contents.batches(repository, f"heads/{repository.branch}")
    # After the registry: a batch is in the ledger before a run of this pipeline can have put it there.
    foreign = there.keys() - {batch.name for batch in read_head(models).batches}
    if foreign:
        raise StepError(
            f"the registry is another bucket's: it has {len(foreign)} batches that the ledger of {contract.batches(models)} "
            f"does not have, such as {min(foreign)}",
            remedy="give each pipeline a registry of its own (MENAGERIE_REGISTRY, --registry)",
        )


def _lost(repository: Repository, kind: str) -> str:
    """What the history has and no tag names; "" when all is well."""
    newest = contents.newest(repository, kind)
    number = int(newest.removeprefix(kind) or 0)
    named = [re.match(rf"{kind}([0-9]+)\b", subject) for subject in repository.subjects()]
    highest = max((int(found[1]) for found in named if found), default=0)
    if highest > number:
        return f"its history has {kind}{highest}, but " + (
            f"the newest tag is {newest}" if newest else f"no tag {kind}*"
        )
    files = [] if newest else sorted(path for path in repository.ever(_FILES[kind]) if path.endswith(".dvc"))
    return f"its history has {files[0]}, but no tag {kind}*" if files else ""
