"""Shards streamed from their bucket: by large ranged reads, ahead of who uses them, and hashed on the way."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from model_service.ahead import Ahead
from model_service.errors import StepError
from model_service.shards import BadShard, Sample, unpacked
from model_service.storage import NotFound, Store, name_in

RANGE = 8 << 20  # bytes asked for at once
AHEAD = 2  # ranges in memory that nobody has asked for yet: hundreds of pictures


@contextlib.contextmanager
def streamed(store: Store, shards: Mapping[str, str]) -> Iterator[Iterator[tuple[str, Iterator[Sample]]]]:
    """The shards (URI → sha256), in order, each with its pictures in order; begun to be read at once.

    Pictures come before the whole shard is known. Whether it is what it should be shows when they have come to their end: then
    BadShard is raised for one that is missing or of other bytes, StoreError if storage does not give it. After that, or if
    not all pictures were asked for, the next shard may be asked for nevertheless.
    """
    with contextlib.closing(Ahead(_parts(store, shards), AHEAD)) as parts:
        yield _shards(parts, shards)


def ranges(store: Store, uri: str) -> Iterator[bytes]:
    """The bytes of an object, in large blocks. Raises BadShard when it is missing."""
    name, start = name_in(store, uri), 0
    try:
        while block := store.read_range(name, start, RANGE):
            yield block
            start += len(block)
            if len(block) < RANGE:
                return
    except NotFound as error:
        raise BadShard(
            f"{uri} is missing, though its manifest lists it",
            remedy="bring it back: an older generation of it (gcloud storage ls --all-versions), or a copy",
        ) from error


def fetched(store: Store, shards: Mapping[str, str], folder: Path) -> Generator[tuple[str, Path]]:
    """Each of the shards (URI → sha256) as a file in the folder, checked. Raises BadShard, as `streamed` does."""
    for number, (uri, sha256) in enumerate(shards.items()):
        path, digest = folder / f"{number}-{uri.rsplit('/', 1)[1]}", hashlib.sha256()
        with path.open("wb") as file:
            for block in ranges(store, uri):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != sha256:
            raise _other_bytes(uri)
        yield uri, path


def _other_bytes(uri: str) -> BadShard:
    return BadShard(
        f"{uri} is not the shard its manifest describes: its sha256 differs",
        remedy="bring the shard back as it was: an older generation of it (gcloud storage ls --all-versions), or a copy",
    )


def _parts(store: Store, uris: Mapping[str, str]) -> Generator[bytes | str | StepError]:
    """Of each shard its bytes, in blocks, and then their sha256, or what is wrong."""
    for uri in uris:
        digest = hashlib.sha256()
        try:
            for block in ranges(store, uri):
                digest.update(block)
                yield block
        except StepError as error:
            yield error
        else:
            yield digest.hexdigest()


class _Blocks(Iterator[bytes]):
    """The next shard's bytes; after its last block, `end` is their sha256, or what is wrong."""

    def __init__(self, parts: Iterator[bytes | str | StepError]) -> None:
        self._parts = parts
        self.end: str | StepError | None = None

    def __next__(self) -> bytes:
        if self.end is None:
            part = next(self._parts)
            if isinstance(part, bytes):
                return part
            self.end = part
        raise StopIteration

    def skip(self) -> None:
        for _ in self:
            pass


def _shards(
    parts: Iterator[bytes | str | StepError], uris: Mapping[str, str]
) -> Iterator[tuple[str, Iterator[Sample]]]:
    for uri, sha256 in uris.items():
        blocks = _Blocks(parts)
        yield uri, _samples(uri, sha256, blocks)
        blocks.skip()


def _samples(uri: str, sha256: str, blocks: _Blocks) -> Iterator[Sample]:
    damage: BadShard | None = None
    try:
        yield from unpacked(uri, blocks)
    except BadShard as bad:
        damage = bad
    blocks.skip()
    if isinstance(blocks.end, StepError):
        raise blocks.end
    if blocks.end != sha256:
        raise _other_bytes(uri) from damage
    if damage:
        raise damage
