"""A registry in a folder of this machine: a bare repository, made when it is not there yet, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from model_service.errors import StepError
from model_service.versioning.credentials import environment
from model_service.versioning.programs import git


def folder(url: str) -> Path | None:
    """Where it is, if its address is a folder's: file:///… or an absolute path."""
    if url.startswith("file:///"):
        return Path(url.removeprefix("file://"))
    return Path(url) if url.startswith("/") else None


def there(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def make(folder: Path) -> None:
    """Beside its place, then renamed, while the folder around is locked (flock, which ends with its process)."""
    if not folder.parent.is_dir():
        raise StepError(
            f"the data registry would be {folder}, in a folder that does not exist",
            remedy=f"check MENAGERIE_REGISTRY, or create the folder: mkdir -p {folder.parent}",
        )
    new = folder.parent / f".{folder.name}.new"
    lock = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if there(folder):
            return  # another one made it meanwhile
        if new.exists():  # left by one that was killed
            shutil.rmtree(new)
        words = ("init", "--quiet", "--bare", "--initial-branch=main", str(new))
        git(*words, environment=environment(str(folder)), held=(lock,))
        new.rename(folder)
    finally:
        os.close(lock)
