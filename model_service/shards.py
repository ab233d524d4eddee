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

_BLOCK = 1 << 20  # bytes of a local shard read at once


class BadShard(StepError):
    """A shard that is missing, cut short, damaged or another one than its manifest describes."""


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
    with path.open("rb") as file:
        yield from unpacked(path.name, iter(lambda: file.read(_BLOCK), b""))


def unpacked(name: str, blocks: Iterator[bytes]) -> Iterator[Sample]:
    """The samples of the shard of that name whose bytes come in blocks, in order. Raises BadShard, as `read_shard` does.

    Some blocks may be left over at the end. (tarfile's own streams remember every member, and take a damaged header for the
    end; a whole tar ends in two blocks of zeros.)
    """
    stream = _Stream(blocks)
    try:
        while (picture := _member(stream)) is not None:
            meta = _member(stream)
            key = picture[0].removesuffix(".jpg")
            if meta is None or meta[0] != f"{key}.json":
                raise BadShard(f"{name}: picture {key} has no metadata beside it")
            yield Sample(key, picture[1], json.loads(meta[1]))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadShard(f"{name} is not a whole shard: {error}") from error


def _member(stream: _Stream) -> tuple[str, bytes] | None:
    """Name and content of the next file; None at the end."""
    header = stream.read(tarfile.BLOCKSIZE)
    if not any(header):
        if any(stream.read(tarfile.BLOCKSIZE)):
            raise ValueError(f"it goes on after its end, at {stream.offset:,} bytes")
        return None
    info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    if not info.isreg() or info.size < 0:
        raise ValueError(f"{info.name!r} is no file")
    content = stream.read(info.size)
    stream.read(-info.size % tarfile.BLOCKSIZE)
    return info.name, content


class _Stream:
    """Bytes that come in blocks, taken in any length; `offset` is how many were."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._block, self.offset = blocks, memoryview(b""), 0

    def read(self, size: int) -> bytes:
        """Exactly so many. Raises EOFError."""
        parts, missing = [], size
        while missing:
            if not self._block:
                self._block = memoryview(next(self._blocks, b""))
                if not self._block:
                    raise EOFError(f"it ends after {self.offset:,} bytes, before its end")
            part = self._block[:missing]
            self._block = self._block[missing:]
            self.offset += len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)
