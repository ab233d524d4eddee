"""What a step holds on the disk for a while is gone after it, also when it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from model_service.scratch import scratch

HOLDER = """
import sys, time
from model_service.scratch import scratch
with scratch("test") as folder:
    (folder / "large").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_gone_at_the_end_also_after_an_error() -> None:
    folders = []

    def fails() -> None:
        with scratch("test") as folder:
            (folder / "file").touch()
            folders.append(folder)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fails()
    assert not folders[0].exists()


def test_what_a_killed_step_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    (tmp_path / "menagerie-airflow-home").mkdir()
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        folders = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout]
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait()
        assert folders[0].exists()
        with scratch("test") as mine, scratch("test") as another:
            assert {path.name for path in tmp_path.iterdir()} == {
                "menagerie-airflow-home",
                *(folder.name for folder in (folders[1], mine, another)),
            }
            assert (folders[1] / "large").exists()
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
