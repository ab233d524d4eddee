"""Data on their way to the DVC remote, a folder at a time: DVC adds it and pushes it, and its disk is free again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from model_service.addresses import scrubbed
from model_service.errors import StepError
from model_service.storage import open_store
from model_service.versioning.contents import CONFIG, beginning
from model_service.versioning.programs import dvc
from model_service.versioning.repository import Repository

REMOTE = "storage"
# Without git, so that several snapshots never meet on this machine; data are linked into DVC's cache instead of copied.
LOCAL = "[core]\n    no_scm = true\n[cache]\n    type = reflink,hardlink,copy\n"


class Transfer:
    """A DVC project without git, in a folder of this machine. `config` is the registry's own, and so its remote is."""

    def __init__(self, folder: Path, config: bytes) -> None:
        self._folder = folder
        self.doing = ""  # just now, for people who wait
        (folder / ".dvc").mkdir()
        (folder / CONFIG).write_bytes(config)
        (folder / ".dvc/config.local").write_text(LOCAL)

    def push(self, path: str, fill: Callable[[Path], None]) -> bytes:
        """Have a folder filled that is to stand at `path` in the registry, and push it; returns its .dvc file."""
        place = self._folder / path
        place.mkdir(parents=True)
        self.doing = f"fetching {path}"
        fill(place)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        self.doing = f"pushing {path}, {size / 1e6:.1f} MB"
        dvc("add", path, folder=self._folder)
        dvc("push", "--remote", REMOTE, f"{path}.dvc", folder=self._folder, remedy=_PUSH)
        shutil.rmtree(place)
        shutil.rmtree(self._folder / ".dvc/cache", ignore_errors=True)
        pointer = self._folder / f"{path}.dvc"
        data = pointer.read_bytes()
        pointer.unlink()
        return data

    def remote(self) -> str:
        return address(self._folder)


def address(project: Path) -> str:
    """Of a project's remote. Raises StepError when its DVC knows no such remote."""
    try:
        said = dvc("config", f"remote.{REMOTE}.url", folder=project)
    except StepError as error:
        raise StepError(
            f"the registry's .dvc/config names no remote `{REMOTE}`",
            remedy=f"in a clone of it: dvc remote add -d {REMOTE} gs://…; then commit and push",
        ) from error
    return said.decode().strip()


def place(models: str, remote: str) -> str:
    """What .dvc/config says of the remote: a gs:// URL or a folder. Raises StoreError, StepError for anything else."""
    uri = remote or f"{models}/dvc"
    if uri.startswith("file:///"):
        return uri.removeprefix("file://")
    bucket = "/".join(uri.split("/", 3)[:3])
    if uri.startswith("gs://") and open_store(bucket):
        return uri
    raise StepError(
        f"{scrubbed(f'--remote={uri}')} is no place for data",
        remedy="give gs://bucket/folder or file:///absolute/folder",
    )


def of(repository: Repository, models: str, remote: str, folder: Path) -> Transfer:
    """To where the registry, which is begun, says that its data are; in a folder that is empty.

    Raises StepError when --remote is another place: earlier data would not be found there.
    """
    ours, config = beginning(place(models, remote))[CONFIG], committed(repository)
    project = Transfer(folder, config)
    if config == ours:
        return project
    there = project.remote()
    if "://" not in there and not there.startswith("/"):
        raise StepError(
            f"the registry's .dvc/config says that its data are in {there}, a path that means another folder on each machine",
            remedy="give its remote `storage` a gs:// address or an absolute path, commit and push",
        )
    if remote and there != place(models, remote):
        raise StepError(
            f"--remote is {scrubbed(remote)}, but the registry's data are in {scrubbed(there)}",
            remedy="leave --remote empty; or copy the data there and change its .dvc/config",
        )
    return project


def committed(repository: Repository) -> bytes:
    """The registry's .dvc/config, b"" if it has none."""
    (config,) = repository.read([(repository.newest, CONFIG)])
    return config or b""


_PUSH = (
    "let this account create and read objects where the registry's .dvc/config says that its remote `storage` is, and check "
    "that it exists"
)
