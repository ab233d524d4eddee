"""Pictures read in processes beside the step's own: the same results, and no picture takes the step with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service.errors import StepError
from model_service.sorting import crew
from model_service.sorting.admission import Admission
from model_service.sorting.crew import Work, read_all
from model_service.sorting.reading import Reader, Reading
from model_service.sorting.room import Room
from model_service.sorting.spool import Slots
from model_service.storage import Blob, open_store
from model_service.storage.metered import Meter
from tests.model_service.buckets import Buckets, make_buckets, square

LETHAL = b"lethal"
COUNT = 60


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, and that few pictures are many."""
    monkeypatch.setattr(crew, "MANY", COUNT)
    monkeypatch.setattr(crew, "_cores", lambda: 2)


@pytest.fixture
def folders(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


@pytest.fixture
def work(folders: Buckets, tmp_path: Path) -> Work:
    for n in range(COUNT):
        folders.put(f"{('cat', 'dog')[n % 2]}_{n:02d}.jpg", square("cat", n))
    folders.put("cat_99.jpg", b"text")
    (tmp_path / "spools").mkdir()
    return Work(folders.sort_step("r1"), Admission("", "accept", set()), {}, tmp_path / "spools", threads=4)


def arrivals(work: Work) -> list[Blob]:
    """What is in the source, but for what was put aside."""
    return [blob for blob in open_store(work.step.source).list() if not blob.name.startswith("_")]


def readings(work: Work, meter: Meter | None = None) -> list[tuple[dict[str, Any], bytes | None]]:
    """Rows and packed pictures."""
    with Slots() as slots:
        found = read_all(work, arrivals(work), meter or Meter())
        return [(reading.row, reading.slot and slots.read(reading.slot)) for reading in found]


def alone(work: Work, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], bytes | None]]:
    """In this process."""
    (elsewhere := work.spools.parent / "alone").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(crew, "_cores", lambda: 1)
        return readings(replace(work, spools=elsewhere))


def test_the_same_as_in_this_process_in_the_same_order(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    together, expected = readings(work), alone(work, monkeypatch)
    for row, _ in (*together, *expected):
        row.pop("made", None)  # the first made the copies
    assert together == expected
    fates = [row.get("reason") or row["status"] for row, _ in together]
    assert sorted(set(fates)) == ["not-an-image", "packed"]
    assert fates.count("packed") == COUNT


def test_what_they_ask_of_storage_is_counted(work: Work) -> None:
    meter = Meter()
    readings(work, meter)
    assert meter.copied == COUNT + 1, "one of them to the quarantine"
    assert meter.read == COUNT + 1


@dataclass(frozen=True)
class Trial(Work):
    """With readers of another kind."""

    kind: type[Reader] = Reader

    @contextmanager
    def reader(self, *arguments: Any) -> Iterator[Reader]:
        with super().reader(*arguments) as reader:
            reader.__class__ = self.kind
            yield reader


class Fragile(Reader):
    """As a decoder with a bug."""

    def decode(self, reading: Reading) -> Reading:
        if reading.data == LETHAL:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().decode(reading)


class Unlucky(Reader):
    """Killed once, and not for the picture's fault."""

    def decode(self, reading: Reading) -> Reading:
        if b"menagerie-unlucky" in reading.data:
            with contextlib.suppress(FileNotFoundError):
                Path(reading.data.split(b"\0")[-1].decode()).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(reading)


class Faulty(Reader):
    def decode(self, reading: Reading) -> Reading:
        raise ZeroDivisionError


def test_a_picture_that_kills_its_decoder_is_unreadable_and_the_others_are_not(folders: Buckets, work: Work) -> None:
    lethal = {"cat_07_1.jpg", "dog_31_1.jpg", "dog_31_2.jpg"}
    for name in lethal:
        folders.put(name, LETHAL)
    found = [row for row, _ in readings(Trial(**vars(work), kind=Fragile))]
    fates = {row["uri"].rsplit("/", 1)[1]: row.get("reason") or row["status"] for row in found}
    assert list(fates.values()).count("packed") == COUNT
    assert {name for name, fate in fates.items() if fate == "unreadable"} == lethal
    texts = {row["text"] for row in found if row.get("reason") == "unreadable"}
    assert texts == {"the picture's data is damaged (it kills its decoder)"}
    for name in lethal:
        assert folders.tree(folders.source)[f"{contract.QUARANTINE}/unreadable/{name}"] == LETHAL


def test_a_process_that_is_killed_loses_no_picture(
    folders: Buckets, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.put("cat_20_1.jpg", square("cat", 100) + b"menagerie-unlucky\0" + str(tmp_path / "luck").encode())
    (tmp_path / "luck").touch()
    found = readings(Trial(**vars(work), kind=Unlucky))
    assert not (tmp_path / "luck").exists()
    assert [row["status"] for row, _ in found].count("packed") == COUNT + 1
    assert [jpeg for _, jpeg in found] == [jpeg for _, jpeg in alone(work, monkeypatch)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_as_in_this_process(work: Work) -> None:
    (work.spools / "1").symlink_to("/dev/full")
    with pytest.raises(StepError, match="no room in") as refused:
        readings(work)
    assert "TMPDIR" in refused.value.remedy


def test_an_error_of_ours_is_no_fault_of_a_picture(work: Work) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        readings(Trial(**vars(work), kind=Faulty))


def test_who_stops_taking_them_ends_the_processes(work: Work) -> None:
    found = read_all(work, arrivals(work), Meter())
    next(found)
    assert len(multiprocessing.active_children()) == 2
    found.close()
    assert multiprocessing.active_children() == []


TAKES_ONE = f"""
import multiprocessing, pickle, sys, time
from model_service.sorting import crew
from model_service.storage import Blob, open_store
from model_service.storage.metered import Meter
crew.MANY, crew._cores = {COUNT}, lambda: 2
if __name__ == "__main__":
    work = pickle.loads(sys.stdin.buffer.read())
    found = crew.read_all(work, list(open_store(work.step.source).list()), Meter())
    next(found)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def test_they_end_with_their_parent_however_it_ends(work: Work, tmp_path: Path) -> None:
    (script := tmp_path / "takes_one.py").write_text(TAKES_ONE)
    repository = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{repository}:{repository / 'plugins'}"}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, script], env=environment, **pipes) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(pickle.dumps(work))
        parent.stdin.close()
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.kill()
    until = time.monotonic() + 20
    while any(map(runs, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, children))


def runs(pid: int) -> bool:
    """A process that has ended may wait for somebody to notice."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_few_pictures_need_no_processes(work: Work) -> None:
    found = read_all(work, arrivals(work)[: COUNT - 1], Meter())
    next(found)
    assert multiprocessing.active_children() == []
    found.close()


def test_a_large_picture_is_decoded_while_no_other_is(tmp_path: Path) -> None:
    rooms, decoding, most = [Room(100, tmp_path / "turns") for _ in range(3)], list[int](), list[list[int]]()

    def decode(room: Room, size: int) -> None:
        with room(size):
            decoding.append(size)
            most.append(list(decoding))
            time.sleep(0.02)
            decoding.remove(size)

    with ThreadPoolExecutor(3) as pool:
        for n in range(24):
            pool.submit(decode, rooms[n % 3], 500 if n % 8 == 5 else 50)
    assert any(len(together) > 1 for together in most), "small ones go together"
    assert all(together == [500] for together in most if 500 in together)
