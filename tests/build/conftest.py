from __future__ import annotations

from pathlib import Path

import pytest

from tests.build.machine import Machine, Outcome, make_machine

PUSH = {"BRANCH_NAME": "main", "COMMIT_SHA": "c0ffee" * 6, "SHORT_SHA": "c0ffee0", "REPO_FULL_NAME": "acme/menagerie"}


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Outcome]:
    """A machine after a push to the main branch that went well; for looking at only."""
    machine = make_machine(tmp_path_factory.mktemp("released"))
    return machine, machine.build(**PUSH, _COMPOSER="menagerie")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)
