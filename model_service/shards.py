"""Shards: tar files of pictures in the WebDataset convention (`<key>.jpg`, `<key>.json`), written once, read in sequence.

Convention: https://github.com/webdataset/webdataset#the-webdataset-format. Tars are byte for byte reproducible.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_service.errors import StepError


class BadShard(StepError):
    """A shard that is cut short or damaged."""


@dataclass(frozen=True)
class Sample:
    """A picture in a shard: its key (unique in the shard), its JPEG and what the manifest knows of it."""

    key: str
    jpeg: bytes
    meta: dict[str, Any]


class ShardWriter:
    """Fills `<split>-NNNNN.tar` files in a local folder, closing each at about `limit` bytes."""

    def __init__(self, folder: Path, split: str, limit: int) -> None:
        self._folder, self._split, self._limit = folder, split, limit
        self._tar: tarfile.TarFile | None = None
        self.paths: list[Path] = []

    def add(self, sample: Sample) -> tuple[int, int]:
        """Returns the shard's index and the byte offset of the JPEG in it."""
        if self._tar is None:
            self.paths.append(self._folder / f"{self._split}-{len(self.paths):05d}.tar")
            self._tar = tarfile.open(self.paths[-1], "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed in close)
        position = len(self.paths) - 1, self._tar.offset + tarfile.BLOCKSIZE
        meta = json.dumps(sample.meta, sort_keys=True, ensure_ascii=False).encode()
        for name, data in ((f"{sample.key}.jpg", sample.jpeg), (f"{sample.key}.json", meta)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))
        if self._tar.offset >= self._limit:
            self.close()
        return position

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def read_shard(path: Path) -> Iterator[Sample]:
    """The samples of a local shard, in order. Raises BadShard when it is cut short or not a shard."""
    try:
        with tarfile.open(path, "r:") as tar:
            members = iter(tar)
            for picture in members:
                meta = next(members, None)
                key = picture.name.removesuffix(".jpg")
                if meta is None or meta.name != f"{key}.json":
                    raise BadShard(f"{path.name}: picture {key} has no metadata beside it")
                yield Sample(key, _content(tar, picture), json.loads(_content(tar, meta)))
            _expect_end(tar, path)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadShard(f"{path.name} is not a whole shard: {error}") from error


def _expect_end(tar: tarfile.TarFile, path: Path) -> None:
    """tarfile takes a missing or damaged header for the end; a whole tar ends in two blocks of zeros."""
    with path.open("rb") as stream:
        stream.seek(tar.offset)
        if stream.read(2 * tarfile.BLOCKSIZE) != bytes(2 * tarfile.BLOCKSIZE):
            raise BadShard(f"{path.name} is not a whole shard: it has no end after {tar.offset:,} bytes")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    data = stream.read() if stream else b""
    if len(data) != member.size:
        raise BadShard(f"{member.name} is cut short: {len(data)} of {member.size} bytes")
    return data
