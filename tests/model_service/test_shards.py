"""Shards: what goes in comes out, the same bytes every time, and damage is noticed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from model_service.shards import BadShard, Sample, ShardWriter, read_shard, unpacked

SAMPLES = [
    Sample("a" * 20, b"first", {"label": "cat", "generation": 1}),
    Sample("b" * 20, bytes(range(256)) * 6, {"label": "дом 🐈", "generation": 2**62}),
    Sample("c" * 20, b"", {"label": "dog", "uri": "gs://b/" + "long/" * 60}),
    Sample("d" * 20, b"x" * 511, {}),
]


def write(
    folder: Path, samples: list[Sample] = SAMPLES, limit: int = 1 << 20
) -> tuple[list[Path], list[tuple[int, int]]]:
    folder.mkdir(exist_ok=True)
    writer = ShardWriter(folder, "train", limit)
    places = [writer.add(sample) for sample in samples]
    writer.close()
    return writer.paths, places


def test_what_goes_in_comes_out_in_order(tmp_path: Path) -> None:
    (path,), _ = write(tmp_path)
    assert list(read_shard(path)) == SAMPLES


def test_any_tar_reads_them_as_webdataset_has_it(tmp_path: Path) -> None:
    (path,), _ = write(tmp_path)
    with tarfile.open(path) as tar:
        assert tar.getnames()[:4] == ["a" * 20 + ".jpg", "a" * 20 + ".json", "b" * 20 + ".jpg", "b" * 20 + ".json"]
        meta = tar.extractfile("b" * 20 + ".json")
        assert meta is not None
        assert json.load(meta) == SAMPLES[1].meta


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    (one,), _ = write(tmp_path / "one")
    (two,), _ = write(tmp_path / "two", [Sample(s.key, s.jpeg, dict(reversed(s.meta.items()))) for s in SAMPLES])
    assert one.read_bytes() == two.read_bytes()


def test_the_offset_is_where_the_jpeg_starts(tmp_path: Path) -> None:
    paths, places = write(tmp_path, limit=3000)
    for sample, (index, offset) in zip(SAMPLES, places, strict=True):
        assert paths[index].read_bytes()[offset : offset + len(sample.jpeg)] == sample.jpeg


def test_a_shard_is_closed_at_its_limit_and_the_next_is_numbered(tmp_path: Path) -> None:
    samples = [Sample(f"{n:020d}", b"j" * 1000, {}) for n in range(9)]  # 2,560 bytes each in a tar
    paths, places = write(tmp_path, samples, limit=6000)
    assert [path.name for path in paths] == ["train-00000.tar", "train-00001.tar", "train-00002.tar"]
    assert [index for index, _ in places] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [sample for path in paths for sample in read_shard(path)] == samples


def test_no_samples_make_no_shard(tmp_path: Path) -> None:
    assert write(tmp_path, []) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_a_shard_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    (path,), _ = write(tmp_path)
    whole = path.read_bytes()
    content = len(whole.rstrip(b"\0"))
    for length in [*range(0, content, 128), content // 512 * 512 + 512]:
        path.write_bytes(whole[:length])
        with pytest.raises(BadShard):
            list(read_shard(path))


def test_a_shard_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    (path,), ((_, first), (_, second), *_) = write(tmp_path)
    whole = path.read_bytes()
    for header in (first - 512, second - 512):
        path.write_bytes(whole[:header] + b"\xff" * 512 + whole[header + 512 :])
        with pytest.raises(BadShard):
            list(read_shard(path))


def test_it_may_come_in_blocks_of_any_length(tmp_path: Path) -> None:
    (path,), _ = write(tmp_path)
    whole = path.read_bytes()
    for length in (1, 7, 511, 512, 513, 1000, len(whole)):
        blocks = (whole[start : start + length] for start in range(0, len(whole), length))
        assert list(unpacked("a shard", blocks)) == SAMPLES


def test_what_does_not_end_at_its_end_is_refused(tmp_path: Path) -> None:
    """Its first block of zeros is, in a whole shard, followed by another."""
    (path,), _ = write(tmp_path)
    content = path.read_bytes().rstrip(b"\0")
    end = -(-len(content) // 512) * 512 + 512  # that of the last file, and a block of zeros
    path.write_bytes(content.ljust(end, b"\0") + b"more".ljust(512, b"\0"))
    with pytest.raises(BadShard, match="it goes on after its end"):
        list(read_shard(path))


def test_only_files_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.tar"
    link = tarfile.TarInfo("picture.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(link)
    with pytest.raises(BadShard, match=r"'picture\.jpg' is no file"):
        list(read_shard(path))


@pytest.mark.parametrize("data", [b"", b"no tar at all", bytes(10_240)[:100]])
def test_what_is_no_shard_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "train-00000.tar"
    path.write_bytes(data)
    with pytest.raises(BadShard, match=r"train-00000\.tar"):
        list(read_shard(path))


def test_a_picture_without_its_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.tar"
    for name in ("picture.jpg", "other.json"):
        (tmp_path / name).write_bytes(b"{}")
    for names in (["picture.jpg"], ["picture.jpg", "other.json"]):
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name in names:
                tar.add(tmp_path / name, name)
        with pytest.raises(BadShard, match="picture has no metadata"):
            list(read_shard(path))
