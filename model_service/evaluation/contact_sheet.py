"""Packed pictures one by one, from the middle of their shards, for the report's contact sheet."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import menagerie_contract as contract

from model_service.storage import NotFound, Store, name_in

THREADS = 16
LARGEST = 4_000_000  # bytes: a packed picture, 512 pixels wide, has about a tenth of it
_MOSTLY = 200_000  # are smaller, and come with their header in one request
log = logging.getLogger(__name__)


def pictures(models: Store, rows: Iterable[Mapping[str, Any]]) -> dict[str, bytes]:
    """Key → JPEG of the pictures that rows with key, batch, shard and offset name. One that is not where the manifest says
    (its shard is gone or damaged) is left out, and the log says so.
    """
    wanted = {row["key"]: row for row in rows}
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda row: _picture(models, row), wanted.values()))
    lost = [error for error in found if isinstance(error, str)]
    if lost:
        log.warning("the report cannot show %d of %d pictures; the first: %s", len(lost), len(found), lost[0])
    return {key: jpeg for key, jpeg in zip(wanted, found, strict=True) if isinstance(jpeg, bytes)}


def _picture(models: Store, row: Mapping[str, Any]) -> bytes | str:
    """The JPEG, or what is wrong."""
    uri = f"{contract.batch(models.uri, row['batch'])}/{row['shard']}"
    name, begin = name_in(models, uri), row["offset"] - tarfile.BLOCKSIZE
    try:
        data = models.read_range(name, begin, tarfile.BLOCKSIZE + _MOSTLY)
        header = tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        if header.name != f"{row['key']}.jpg" or not 0 < header.size <= LARGEST:
            raise tarfile.HeaderError(f"{header.name}, {header.size:,} bytes, is there")
        jpeg = data[tarfile.BLOCKSIZE :][: header.size]
        if len(jpeg) < header.size:
            jpeg += models.read_range(name, row["offset"] + len(jpeg), header.size - len(jpeg))
        if len(jpeg) < header.size:
            raise tarfile.HeaderError("the shard ends in it")
    except (NotFound, tarfile.TarError) as error:
        return f"{row['key']} is not at {begin:,} of {uri}: {error}"
    return jpeg
