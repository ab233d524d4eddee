"""What the registry says: which batches make a dataset, which model a tag names. Raises StepError when it cannot be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from model_service.addresses import scrubbed
from model_service.errors import StepError
from model_service.versioning import contents, local, whole
from model_service.versioning.repository import Repository, opened


@dataclass(frozen=True)
class Model:
    """A tagged model: its version in the bucket, the tag of the dataset it was trained on ("" if there was none), and the whole
    of params.yaml and metrics.json (see `snapshot`).
    """

    tag: str
    version: str
    dataset: str
    params: dict[str, Any]
    metrics: dict[str, Any]


def dataset(url: str, tag: str) -> dict[str, str]:
    """Batch → sha256 of its manifest, in the order in which they were sorted. Raises StepError when there is no such tag."""
    with opened(url) as repository:
        _must_have(repository, tag, contents.DATASETS)
        return {name: str(facts["manifest"]) for name, facts in contents.batches(repository, tag).items()}


def latest(url: str) -> str:
    """The newest dataset's tag; "" when there is none yet."""
    with opened(url) as repository:
        return contents.newest(repository, contents.DATASETS)


def model(url: str, tag: str) -> Model:
    """Raises StepError when there is no such tag, or it is no model's."""
    with opened(url) as repository:
        _must_have(repository, tag, contents.MODELS)
        params = contents.parameters(repository, tag)
        if not params.get("version"):
            raise StepError(f"{tag} is no model's tag: its params.yaml names no version", remedy="name another tag")
        made_on = str(params.get("dataset") or "")
        return Model(tag, str(params["version"]), made_on, params, contents.metrics(repository, tag))


def tagged_models(url: str) -> dict[str, str]:
    """Version → tag of every model that has one.

    Raises StepError when tags are lost, or nothing was ever committed; a folder that is not there yet counts as no model.
    """
    with opened(url) as repository:
        if (folder := local.folder(url)) is None or local.there(folder):
            whole.begun(repository)
        whole.tags(repository, contents.MODELS)
        return contents.models(repository)


def _must_have(repository: Repository, tag: str, kind: str) -> None:
    if re.fullmatch(rf"{kind}[0-9]+", tag) and repository.commit_of(tag):
        return
    there = contents.newest(repository, kind)
    raise StepError(
        f"the registry {scrubbed(repository.url)} has no tag {tag or '(none was given)'}"
        + (f"; its newest is {there}" if there else ""),
        remedy=f"name a tag that is there: git ls-remote --tags {scrubbed(repository.url)} '{kind}*'",
    )
