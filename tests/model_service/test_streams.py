"""Shards as they are streamed: in large ranges, ahead, and checked by their hash when they have come to their end."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_service import streams
from model_service.shards import BadShard, Sample, ShardWriter
from model_service.storage import open_store
from model_service.storage.folder import FolderStore
from model_service.streams import fetched, streamed

Shards = dict[str, str]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Three of 20 pictures each; the first range ends in a picture's middle."""
    folder = tmp_path / "made"
    folder.mkdir()
    writer = ShardWriter(folder, "train", limit=50_000)
    for n in range(60):
        writer.add(Sample(f"{n:020d}", bytes([n]) * 1000, {"label": "cat", "n": n}))
    writer.close()
    return {f"file://{path}": hashlib.sha256(path.read_bytes()).hexdigest() for path in writer.paths}


@pytest.fixture
def store(shards: Shards) -> FolderStore:
    store = open_store(next(iter(shards)).rpartition("/")[0])
    assert isinstance(store, FolderStore)
    return store


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """What is asked of the store: name, start and length. A range is 4,000 bytes."""
    asked: list[tuple[str, int, int]] = []
    real = FolderStore.read_range

    def read_range(self: FolderStore, name: str, start: int, length: int) -> bytes:
        asked.append((name, start, length))
        return real(self, name, start, length)

    monkeypatch.setattr(FolderStore, "read_range", read_range)
    monkeypatch.setattr(streams, "RANGE", 4000)
    return asked


def damage(uri: str, how: str) -> None:
    path = Path(uri.removeprefix("file://"))
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": data[:9000], "flipped": data[:700] + b"\xff" + data[701:], "longer": data + b"\0"}[how]
        )


def keys(samples: Iterator[Sample]) -> list[int]:
    return [int(sample.key) for sample in samples]


def test_all_pictures_of_all_shards_come_in_order(
    store: FolderStore, shards: Shards, ranges: list[tuple[str, int, int]]
) -> None:
    with streamed(store, shards) as reading:
        found = [(uri, keys(samples)) for uri, samples in reading]
    uris = list(shards)
    assert found == [(uri, list(range(20 * n, 20 * n + 20))) for n, uri in enumerate(uris)]
    starts = [start for name, start, _ in ranges if name == "train-00000.tar"]
    size = store.stat("train-00000.tar").size
    assert starts == list(range(0, size, 4000)), "in one go from beginning to end, nothing twice"


def test_it_reads_ahead_and_no_further(store: FolderStore, shards: Shards, ranges: list[tuple[str, int, int]]) -> None:
    with streamed(store, shards) as reading:
        deadline = time.monotonic() + 10
        while len(ranges) < streams.AHEAD:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.02)
        assert len(ranges) == streams.AHEAD, "before anybody asked"
        _, samples = next(reading)
        assert int(next(samples).key) == 0
        time.sleep(0.02)
        assert len(ranges) <= streams.AHEAD + 1
    assert "ahead" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "train-00001.tar is missing, though its manifest lists it"),
        ("cut", "train-00001.tar is not the shard its manifest describes: its sha256 differs"),
        ("flipped", "train-00001.tar is not the shard its manifest describes: its sha256 differs"),
        ("longer", "train-00001.tar is not the shard its manifest describes: its sha256 differs"),
    ],
)
def test_a_damaged_shard_is_known_at_its_end_and_the_next_comes_nevertheless(
    store: FolderStore, shards: Shards, ranges: list[tuple[str, int, int]], how: str, said: str
) -> None:
    uris = list(shards)
    damage(uris[1], how)
    with streamed(store, shards) as reading:
        _, first = next(reading)
        assert keys(first) == list(range(20))
        _, second = next(reading)
        with pytest.raises(BadShard, match=said) as bad:
            list(second)
        assert bad.value.remedy
        uri, third = next(reading)
        assert (uri, keys(third)) == (uris[2], list(range(40, 60)))
        assert next(reading, None) is None


def test_the_rest_of_a_shard_may_be_left(
    store: FolderStore, shards: Shards, ranges: list[tuple[str, int, int]]
) -> None:
    with streamed(store, shards) as reading:
        assert [int(next(samples).key) for _, samples in reading] == [0, 20, 40]


def test_a_fetched_shard_is_checked_before_it_is_given(
    store: FolderStore, shards: Shards, tmp_path: Path, ranges: list[tuple[str, int, int]]
) -> None:
    uris = list(shards)
    damage(uris[1], "flipped")
    given = fetched(store, shards, tmp_path)
    uri, path = next(given)
    assert (uri, path.read_bytes()) == (uris[0], Path(uri.removeprefix("file://")).read_bytes())
    with pytest.raises(BadShard, match="its sha256 differs"):
        next(given)
