"""The data registry: does it answer, may this account push to it, and are its data where a snapshot would find and put them?"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from model_service.addresses import scrubbed
from model_service.doctor import buckets
from model_service.doctor.checks import Finding
from model_service.storage import open_store
from model_service.versioning import contents, local, transfer, whole
from model_service.versioning.repository import opened


def registry(url: str) -> Finding:
    """Reads it, and tries a push without making it. Raises StepError."""
    folder = local.folder(url)
    if folder is not None and not local.there(folder):
        if os.access(folder.parent, os.W_OK):
            return Finding("ok", f"{folder} is not there yet: the first snapshot makes it")
        remedy = f"mkdir -p {folder.parent}, and let the user of the steps write there."
        return Finding("failed", f"{folder} is not there, and cannot be made", remedy)
    if folder is not None and not os.access(folder / "refs", os.W_OK):
        return Finding("failed", f"{folder} cannot be written", "Let the user of the steps write there (chown, chmod).")
    with opened(url) as repository:
        repository.may_push()
        for kind in (contents.DATASETS, contents.MODELS):
            whole.tags(repository, kind)
        newest = [contents.newest(repository, kind) for kind in (contents.DATASETS, contents.MODELS)]
    tags = ", ".join(filter(None, newest)) or "nothing yet"
    return Finding("ok", f"{scrubbed(url)}: read, and may be pushed to; newest: {tags}")


def data(url: str, models: str) -> Finding:
    """Where its remote `storage` is, or would be. Raises StepError, StoreError."""
    with opened(url) as repository, tempfile.TemporaryDirectory() as folder:
        place = transfer.place(models, "")
        if repository.newest and transfer.committed(repository):
            place = transfer.of(repository, models, "", Path(folder)).remote()
    if place.startswith("gs://"):
        bucket, _, prefix = place.removeprefix("gs://").partition("/")
        store = open_store(f"gs://{bucket}")
        store.check()
        buckets.probe(store, f"{prefix}/{buckets.PROBES}/{secrets.token_hex(8)}".lstrip("/"))
        return Finding("ok", f"{place}: written, read and deleted")
    if not place.startswith("/"):
        return Finding(
            "skipped", f"{scrubbed(place)} is no place that is checked here", "Try `dvc pull` in a clone of it."
        )
    there = next(parent for parent in (Path(place), *Path(place).parents) if parent.exists())
    if not os.access(there, os.W_OK) or not there.is_dir():
        return Finding("failed", f"{place} cannot be written", "Let the user of the steps write there (chown, chmod).")
    return Finding("ok", f"{place}: may be written" if there == Path(place) else f"{place}: made by the first snapshot")
