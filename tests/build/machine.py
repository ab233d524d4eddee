"""A machine with a fake docker, gcloud and make, and a Cloud Build that runs the configuration's steps on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BASE = f"docker.io/library/python:3.11-slim-bookworm@sha256:{'b' * 64}"
REPOSITORY = "europe-west1-docker.pkg.dev/acme/menagerie"
TRAIN, SERVE = f"{REPOSITORY}/train@sha256:{'1' * 64}", f"{REPOSITORY}/serve@sha256:{'2' * 64}"
DAGS = "gs://composer-bucket/dags"
PACKAGES = "apache-airflow-providers-cncf-kubernetes=>=10.8;apache-airflow-providers-google=>=18.0"
MISSING = "ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n-gs://composer-bucket/data\n"
COPIED = ["infra/build", "model_service", "plugins", "dags", "locks", ".dockerignore", "composer_requirements.txt"]

# Records its command line, and answers with the newest answer whose pattern is found in it.
FAKE = r"""#!/bin/bash
here=${0%/*} line="${0##*/} $*"
{ printf '%s\x1f' "${0##*/}" "$@"; printf '\x1e'; } >>"$here/calls"
[[ $line != *" --interactive "* ]] || cat >/dev/null
for answer in $(ls -r "$here/answers"); do
  answer=$here/answers/$answer
  [[ $line =~ $(<"$answer/pattern") ]] || continue
  cat "$answer/out"
  cat "$answer/err" >&2
  exit "$(<"$answer/status")"
done
"""


@dataclass(frozen=True)
class Outcome:
    """How a build went: the step that failed, if one did, and all that was printed."""

    failed: str | None
    printed: str


@dataclass
class Machine:
    """Answers are found by a regular expression (bash's) in the command line, the newest first; the default is silence."""

    root: Path
    answered: int = 0

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    def answer(self, pattern: str, out: str = "", *, err: str = "", status: int = 0) -> None:
        answer = self.root / f"bin/answers/{self.answered:03d}"
        answer.mkdir(parents=True)
        for name, text in {"pattern": pattern, "out": out, "err": err, "status": str(status)}.items():
            (answer / name).write_text(text)
        self.answered += 1

    def calls(self, *words: str) -> list[list[str]]:
        """The command lines so far that begin with these words."""
        log = self.root / "bin/calls"
        lines = log.read_text().split("\x1e")[:-1] if log.exists() else []
        calls = [line.split("\x1f")[:-1] for line in lines]
        return [call for call in calls if call[: len(words)] == list(words)]

    def build(self, config: str = "cloudbuild.yaml", **substitutions: str) -> Outcome:
        """Run a configuration's steps in order, each with every substitution as a variable; a failure ends it."""
        build = yaml.safe_load((ROOT / config).read_text())
        variables = {"PROJECT_ID": "acme", "BUILD_ID": "b-1", "LOCATION": "europe-west1"}
        variables |= build["substitutions"] | substitutions
        variables = {name: expand(value, variables) for name, value in variables.items()}
        printed = ""
        for step in build["steps"]:
            # Cloud Build's containers are fresh: what a step needs from an earlier one is in the workspace
            environment = variables | {
                "PATH": f"{self.root}/bin:{os.environ['PATH']}",
                "HOME": str(self.root),
                "PAUSE": "0",
                "LOOKS": "2",
            }
            run = subprocess.run(
                ["bash", "-c", step["script"]],
                cwd=self.checkout,
                env=environment,
                text=True,
                capture_output=True,
                timeout=60,
            )
            printed += run.stdout + run.stderr
            if run.returncode:
                return Outcome(step["id"], printed)
        return Outcome(None, printed)


def expand(text: str, variables: dict[str, str]) -> str:
    """Cloud Build's substitution, two levels deep; what is not known is empty, as ALLOW_LOOSE has it."""
    for _ in range(2):
        text = re.sub(r"\$\{?([A-Z_][A-Z0-9_]*)\}?", lambda m: variables.get(m[1], ""), text)
    return text


def details(dag: str, parsed: float, **more: Any) -> str:
    """What `airflow dags details` of Airflow 3.1 prints, shortened."""
    moment = datetime.fromtimestamp(parsed, UTC).isoformat(" ")
    return json.dumps([{"dag_id": dag, "is_stale": "False", "last_parsed_time": moment, **more}]) + "\n"


def make_machine(root: Path) -> Machine:
    """A machine where everything goes well: a Composer environment with our packages and without images."""
    (root / "bin").mkdir()
    for name in ("docker", "gcloud", "make"):
        (root / "bin" / name).write_text(FAKE)
        (root / "bin" / name).chmod(0o755)
    for path in COPIED:
        there = root / "checkout" / path
        there.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, there)
    machine = Machine(root)
    machine.answer(r"imagetools inspect", f"{BASE.partition('@')[2]}\n")
    machine.answer(r"inspect --format \{\{\.Size\}\}", "480000000\n")
    machine.answer(r"RepoDigests.*/train:", f"other/name@sha256:{'0' * 64}\n{TRAIN}\n")
    machine.answer(r"RepoDigests.*/serve:", f"{SERVE}\n")
    machine.answer(r"images scan ", "projects/acme/locations/us/scans/s-1\n")
    machine.answer(r"storage cat", err=MISSING, status=1)
    machine.answer(r"describe .*dagGcsPrefix", f"{DAGS}\n")
    machine.answer(r"describe .*pypiPackages", f"{PACKAGES}\n")
    machine.answer(r"list-import-errors", "[]\n")
    for dag in (ROOT / "dags").glob("*.py"):
        machine.answer(rf"dags details -- {dag.stem} ", details(dag.stem, time.time() + 3600))
    return machine
