"""Broken files: what turns up in any folder of pictures and must be refused rather than trained on."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path

BOMB_SIDE = 30_000


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def bomb() -> bytes:
    """A small and valid PNG of one bit a pixel that declares 30000x30000 pixels; packed piece by piece, once."""
    packer = zlib.compressobj(6)
    rows = (b"\0" + bytes((BOMB_SIDE + 7) // 8)) * 100
    packed = b"".join(packer.compress(rows) for _ in range(BOMB_SIDE // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def write_broken(folder: Path, first: int, picture: bytes) -> list[Path]:
    """The broken files, numbered from `first`; `picture` is a good JPEG, to be cut short or left without a label."""
    names = [f"{kind}_{first + i}.jpg" for i, kind in enumerate(("cat", "dog", "horse", "panda"))]
    text, empty, cut, bomb_file = (folder / name for name in names)
    nameless, unknown = folder / f"{first + 4}.jpg", folder / f"notes_{first + 5}.xyz"
    text.write_text("This is no picture, whatever its name says.\n" * 20)
    empty.write_bytes(b"")
    cut.write_bytes(picture[: len(picture) * 2 // 5])
    bomb_file.write_bytes(bomb())
    nameless.write_bytes(picture)
    unknown.write_text("Notes that somebody left among the pictures.\n")
    return [text, empty, cut, bomb_file, nameless, unknown]
