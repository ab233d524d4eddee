"""What the data registry has of a batch or a model, brought to this machine by plain DVC where the bucket has it no more."""

from __future__ import annotations

from pathlib import Path

from model_service.addresses import scrubbed
from model_service.errors import StepError
from model_service.scratch import scratch
from model_service.versioning import contents, transfer
from model_service.versioning.programs import Failed, dvc
from model_service.versioning.repository import opened


def pull(url: str, tag: str, path: str, folder: Path) -> None:
    """Move what stands at `path` (a folder) at the tag into the folder, which is there already.

    Raises StepError when the registry has no such thing, or its DVC remote does not give it.
    """
    with opened(url) as repository:
        config, pointer = repository.read([(tag, contents.CONFIG), (tag, f"{path}.dvc")])
    if config is None or pointer is None:
        raise StepError(
            f"the registry {scrubbed(url)} has no {path} at {tag}",
            remedy="name another tag: what was never versioned cannot be brought back",
        )
    with scratch("pull") as room:
        project = room / "project"
        (project / ".dvc").mkdir(parents=True)
        (project / contents.CONFIG).write_bytes(config)
        (project / ".dvc/config.local").write_text(transfer.LOCAL)
        place = project / f"{path}.dvc"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pointer)
        try:
            dvc("pull", "--remote", transfer.REMOTE, f"{path}.dvc", folder=project)
        except Failed as error:
            error.remedy = error.remedy or _remedy(project)
            raise
        for found in sorted((project / path).rglob("*")):
            if found.is_file():
                target = folder / found.relative_to(project / path)
                target.parent.mkdir(parents=True, exist_ok=True)
                found.rename(target)


def _remedy(project: Path) -> str:
    """Says where the data are to be."""
    return (
        f"check that {scrubbed(transfer.address(project))} is there and has the data, and let this account read it: there the "
        "registry's .dvc/config says that they are"
    )
