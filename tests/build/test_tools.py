"""The commands that the build gives, held against the tools themselves, where this machine has them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.build.machine import ROOT, Machine, Outcome


@pytest.fixture(scope="module")
def gcloud() -> dict[str, Any]:
    """The gcloud commands and flags that exist, as its own completion knows them."""
    program = shutil.which("gcloud")
    if program is None:
        pytest.skip("there is no gcloud on this machine")
    table = Path(program).resolve().parents[1] / "data/cli/gcloud_completions.py"
    if not table.exists():
        pytest.skip(f"this gcloud comes without {table.name}")
    spec = importlib.util.spec_from_file_location("gcloud_completions", table)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tree: dict[str, Any] = module.STATIC_COMPLETION_CLI_TREE
    return tree


def test_every_gcloud_command_and_flag_exists(gcloud: dict[str, Any], released: tuple[Machine, Outcome]) -> None:
    machine, _ = released
    commands = machine.calls("gcloud")

    for command in commands:
        node, words = gcloud, iter(command[1:])
        flags = set(gcloud["flags"])
        for word in words:
            if word not in node["commands"]:
                break
            node = node["commands"][word]
            flags |= set(node["flags"])
        assert not node["commands"], f"{command} is no command"
        ours = command[: command.index("--")] if "--" in command else command  # the rest is for Airflow
        given = {word.partition("=")[0] for word in ours if word.startswith("--")}
        assert given <= flags, command
    assert {" ".join(command[1:4]) for command in commands} >= {
        "artifacts docker images",
        "artifacts sbom export",
        "composer environments describe",
        "composer environments run",
        "composer environments update",
    }


@pytest.mark.parametrize(
    "command", ["run", "exec", "volume create", "volume rm", "rm", "tag", "push", "image inspect", "logs"]
)
def test_every_docker_flag_exists(command: str, released: tuple[Machine, Outcome]) -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker on this machine")
    shown = subprocess.run(["docker", *command.split(), "--help"], text=True, capture_output=True, timeout=30)
    if shown.returncode:
        pytest.skip(f"this docker has no help for {command}: {shown.stderr.strip()}")
    known = set(re.findall(r"--[a-z-]+", shown.stdout))
    machine, _ = released

    for call in machine.calls("docker", *command.split()):
        # what follows the image's name is for the program in it
        image = next((i for i, word in enumerate(call) if word.endswith(":b-1") and i > 1), len(call))
        assert {word for word in call[:image] if word.startswith("--")} <= known, call


@pytest.mark.parametrize(
    ("folder", "there", "copied", "removed"),
    [
        (
            "plugins",
            ["menagerie_old.py", "menagerie/gone.py", "theirs.py", "theirs/menagerie_x.py"],
            [".airflowignore", "menagerie_contract/steps.py", "menagerie_plugin.py", "menagerie/settings.py"],
            ["menagerie_old.py", "menagerie/gone.py"],
        ),
        (
            "dags",
            ["animals_old.py", "theirs.py", "airflow_monitoring.py", "sub/animals_x.py"],
            ["animals_pipeline.py"],
            ["animals_old.py"],
        ),
    ],
)
def test_gcloud_itself_syncs_what_is_ours_and_leaves_the_rest(
    folder: str,
    there: list[str],
    copied: list[str],
    removed: list[str],
    released: tuple[Machine, Outcome],
    tmp_path: Path,
) -> None:
    """The recorded command, on a folder instead of the bucket, as a dry run."""
    if shutil.which("gcloud") is None:
        pytest.skip("there is no gcloud on this machine")
    bucket, source = tmp_path / "bucket", tmp_path / "source"
    shutil.copytree(ROOT / folder, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "__pycache__").mkdir()
    (source / "__pycache__/animals_pipeline.cpython-311.pyc").write_text("")
    for name in there:
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_text("")
    machine, _ = released
    [command] = [call for call in machine.calls("gcloud", "storage", "rsync") if call[3] == folder]

    run = subprocess.run(
        [*command[:3], str(source), str(bucket), *command[5:], "--dry-run"],
        text=True,
        capture_output=True,
        timeout=60,
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": str(tmp_path),
            "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        },
    )

    assert run.returncode == 0, run.stderr
    assert set(re.findall(rf"Would copy file://{source}/(\S+) to", run.stderr)) >= set(copied)
    assert "__pycache__" not in run.stderr
    assert set(re.findall(rf"Would remove file://{bucket}/(\S+)", run.stderr)) == set(removed)
