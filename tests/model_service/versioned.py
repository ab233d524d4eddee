"""A data registry of a test's own, snapshots of it, and the plain git and DVC that people look at it with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract

from model_service.results import Outcome
from model_service.snapshot import snapshot
from tests.model_service.buckets import Buckets


@dataclass(frozen=True)
class Registry:
    """In a folder that is not there before the first snapshot."""

    buckets: Buckets

    @property
    def folder(self) -> Path:
        return self.buckets.root / "registry.git"

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def step(self, run: str = "r1", **arguments: Any) -> contract.Snapshot:
        models = arguments.pop("models", self.buckets.models)
        name = "snapshot-model" if arguments.get("model") else "snapshot"
        return contract.Snapshot(
            run=run,
            models=models,
            result=contract.result(models, run, name),
            **{"registry": self.url, **arguments},
        )

    def snapshot(self, run: str = "r1", **arguments: Any) -> Outcome:
        return snapshot(self.step(run, **arguments))

    def git(self, *words: str) -> str:
        return said("git", f"--git-dir={self.folder}", *words)

    def tags(self) -> list[str]:
        return self.git("tag", "--list").split()

    def by_hand(self, clone: Path, tag: str) -> None:
        """What a person does: commit what there is in a clone, tag it, push."""
        who = ("-c", "user.name=Person", "-c", "user.email=person@example.org")
        said("git", "add", "--all", folder=clone)
        said("git", *who, "commit", "--quiet", "--message", tag, folder=clone)
        said("git", "tag", tag, folder=clone)
        said("git", "push", "--quiet", "origin", "HEAD", tag, folder=clone)

    def clone(self, name: str = "clone") -> Path:
        folder = self.buckets.root / name
        said("git", "clone", "--quiet", self.url, str(folder))
        return folder


def said(*words: str, folder: Path | None = None) -> str:
    """What a program prints; an AssertionError with all that it said if it fails."""
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=_environment())
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def dvc(*words: str, folder: Path) -> str:
    return said(str(Path(sys.executable).parent / "dvc"), *words, folder=folder)


def _environment() -> dict[str, str]:
    return os.environ | {"DVC_NO_ANALYTICS": "1", "GIT_ADVICE": "0"}


def content(folder: Path) -> dict[str, bytes]:
    """Relative path → bytes of every file below."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
