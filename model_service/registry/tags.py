"""Which models the data registry has a tag for, as far as it can be asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from model_service.errors import StepError

NONE = "none"  # --registry=none: there is no data registry


class Uncertain(StepError):
    """It is not known which models are tagged, so none may be removed."""


class Tags(NamedTuple):
    """Version → tag; None: not known. `note` says why that is so, or what is to be known of it; `failed` is what a command
    that has shown the rest ends with.
    """

    of: dict[str, str] | None
    note: str = ""
    failed: StepError | None = None

    def shown(self, version: str, without: str) -> str:
        return "?" if self.of is None else self.of.get(version, without)


def ask(url: str) -> Tags:
    """A registry in a folder is made by the first snapshot: until then, nothing is tagged. Raises nothing."""
    if not url:
        return Tags(None, "tags are not known: name the data registry with --registry")
    if url == NONE:
        return Tags({})
    from model_service import versioning
    from model_service.versioning import local

    if (folder := local.folder(url)) and not local.there(folder):
        return Tags({}, f"there is no data registry at {url} (the first snapshot makes it): so no model is tagged")
    try:
        return Tags(dict(versioning.tagged_models(url)))
    except StepError as error:
        return Tags(None, "tags are not known: the data registry did not tell them", error)


def sure(url: str, versions: Collection[str]) -> dict[str, str]:
    """The same, for who removes what has no tag: the registry must know some of the bucket's versions. Raises Uncertain, or
    StepError when it cannot be asked.

    An empty registry, another one's, or a mirror without tags answers, too, and would leave every model untagged.
    """
    tags = ask(url)
    if tags.failed:
        raise tags.failed
    if tags.of is None or tags.note:
        why = f"there is no data registry at {url}, and " if url else ""
        raise Uncertain(
            f"{why}which models are tagged is not known: nothing was removed",
            remedy="Name the data registry with --registry=…, or say that there is none: --registry=none.",
        )
    if url != NONE and versions and not any(version in tags.of for version in versions):
        raise Uncertain(
            "the data registry has no tag for any version in this bucket: it is empty, another bucket's, or has lost its "
            "tags; nothing was removed",
            remedy="Check --registry (git ls-remote --tags tells what it has). If no model was ever tagged, say so: "
            "--registry=none.",
        )
    return tags.of
