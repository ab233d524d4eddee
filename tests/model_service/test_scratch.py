"""What a step holds on the disk for a while is gone after it, also when it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_service.errors import StepError
from model_service.scratch import scratch
from model_service.sorting.spool import Spool

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


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
DISK = r"no room in {place} .*No space left on device"


@full
def test_that_the_disk_is_full_is_told_with_what_to_do(tmp_path: Path) -> None:
    def writes(place: Path) -> None:
        place.symlink_to("/dev/full")
        place.write_bytes(b"picture")

    with pytest.raises(StepError, match=DISK.format(place=tmp_path)) as failed, scratch("test") as folder:
        writes(folder / "shard")
    assert f"free some space in {tmp_path}, give the step more ephemeral storage" in failed.value.remedy
    assert failed.value.retry
    assert list(tmp_path.iterdir()) == []


@full
def test_so_it_is_when_a_table_is_written(tmp_path: Path) -> None:
    rows = pa.table({"name": [str(n) for n in range(100_000)]})

    def writes(place: Path) -> None:
        place.symlink_to("/dev/full")
        pq.write_table(rows, place)

    with pytest.raises(StepError, match=DISK.format(place=tmp_path)), scratch("test") as folder:
        writes(folder / "part")


@full
def test_a_spool_on_a_full_disk_says_so_too(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=DISK.format(place=tmp_path)), Spool(Path("/dev/full")) as spool:
        spool.add(b"a picture")


def test_a_temporary_folder_that_is_gone_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StepError, match=f"no room in {tmp_path}/gone .*No such file") as failed, scratch("test"):
        pass
    assert "set TMPDIR" in failed.value.remedy
    assert failed.value.retry


def test_errors_that_are_not_the_disks_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), scratch("test") as folder:
        (folder / "nothing").read_bytes()


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
