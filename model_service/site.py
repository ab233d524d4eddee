"""The site document: a small JSON that names the model a website serves, and the one before it.

Deploying is a compare-and-swap of this document; a website follows it. Locally it is a file, on GKE a
mounted ConfigMap.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from model_service.errors import StepError
from model_service.storage import Store, locate, read_live


class BadSite(StepError):
    """The site document is not one."""


@dataclass(frozen=True)
class Site:
    """The version to serve, and the one served before: where a failed deployment goes back to."""

    version: str
    previous: str | None = None


def read(uri: str) -> tuple[Site | None, int]:
    """The document and its generation; (None, 0) when nothing was deployed yet. Raises BadSite, StoreError."""
    store, name = _locate(uri)
    data, generation = read_live(store, name)
    return (None if data is None else parse(uri, data)), generation


def write(uri: str, site: Site, generation: int) -> int:
    """Replace the document if it still has that generation (0: there is none); its new one. Raises Exists, Conflict."""
    store, name = _locate(uri)
    data = (json.dumps(asdict(site), indent=2, ensure_ascii=False) + "\n").encode()
    if generation == 0:
        return store.write_if_absent(name, data).generation
    return store.compare_and_swap(name, data, generation).generation


def withdraw(uri: str, generation: int) -> None:
    """Remove the document if it still has that generation: as before the first deployment. Raises Conflict."""
    store, name = _locate(uri)
    store.delete_if_generation(name, generation)


def _locate(uri: str) -> tuple[Store, str]:
    # Kubernetes mounts a ConfigMap's files as links, and a link is no object of a folder: go to where it leads.
    if uri.startswith("file:///"):
        uri = "file://" + os.path.realpath(uri.removeprefix("file://"))
    return locate(uri)


def parse(uri: str, data: str | bytes) -> Site:
    """The document in some text; keys that a newer release may add are passed over. Raises BadSite."""
    try:
        document = json.loads(data)
        version, previous = document["version"], document.get("previous")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSite(f"{uri} does not name a model: {error!r}", remedy=_REMEDY) from error
    if not (isinstance(version, str) and version and isinstance(previous, str | None)):
        raise BadSite(f"{uri} does not name a model: {version!r}, {previous!r}", remedy=_REMEDY)
    return Site(version, previous)


_REMEDY = 'It must read {"version": "…", "previous": "…" or null}: delete it and deploy again.'
