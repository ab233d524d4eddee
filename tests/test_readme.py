"""The README's commands do what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import menagerie_contract as contract
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MAKE_LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("make ")]


@pytest.mark.parametrize("line", MAKE_LINES)
def test_make_knows_every_command(line: str) -> None:
    dry = subprocess.run(["bash", "-c", line.replace("make ", "make -n ", 1)], cwd=ROOT, capture_output=True, text=True)

    assert dry.returncode == 0, dry.stderr


def test_steps_by_hand_end_in_a_champion() -> None:
    (block,) = [block for block in BLOCKS if "alias menagerie" in block]
    python = ".menagerie/venv/model/bin/python"
    assert python in block

    script = "set -eu\nshopt -s expand_aliases\n" + block.replace(python, sys.executable)
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    for made in ("metrics.json", "predictions", "report.html"):
        assert f"\n{made}\n" in done.stdout, "what evaluate and predict make is listed"
    assert "/sort-00000.json " in block, "where evaluate looks for it"
    pointer = json.loads(done.stdout[done.stdout.rindex('{\n  "') :])
    assert pointer["version"].startswith("first-")


def test_it_lists_every_setting_and_no_other() -> None:
    settings = (ROOT / "plugins" / "menagerie" / "settings.py").read_text()
    listed = set(re.findall(r"^\| `(MENAGERIE_\w+)`", README, re.MULTILINE))

    assert listed == set(re.findall(r"# (MENAGERIE_\w+):", settings))


def test_the_picture_of_the_road_names_every_step_of_a_run() -> None:
    road = README.split("```")[1]

    for step in contract.STEPS.values():
        of_a_run = issubclass(step, contract.Batch) and step is not contract.Doctor
        assert not of_a_run or f"│ {step.name} " in road
