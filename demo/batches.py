"""The demo's pictures: drawn ones, or a person's own split in two batches as if the second came later."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from demo.config import Config, DemoError
from demo.pictures import write_batch

FIRST_SHARE = 0.65  # of a person's own pictures go into the first batch
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}


def label_rule(config: Config) -> str:
    """Where the labels of these pictures stand: `folder` or `filename`."""
    if config.images is None:
        return "filename"
    pictures = _own(config.images)
    nested = sum(path.parent != config.images for path in pictures)
    return "folder" if nested > len(pictures) / 2 else "filename"


def drop(config: Config, number: int) -> int:
    """Put batch 0 or 1 into animals_all; returns the number of files."""
    target = config.buckets / "animals_all"
    target.mkdir(parents=True, exist_ok=True)
    if config.images is None:
        return len(write_batch(target, per_kind=config.per_kind[number], seed=number + 1))
    chosen = [path for path in _own(config.images) if _batch(path, config.images) == number]
    for path in chosen:
        copy = target / path.relative_to(config.images)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return len(chosen)


def _own(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders below it, but for hidden ones such as `.thumbnails`."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if len(found) < 20:
        raise DemoError(f"DEMO_IMAGES={folder} holds {len(found)} pictures; the demo needs at least 20, better 200")
    return found


def _batch(path: Path, folder: Path) -> int:
    digest = hashlib.sha256(str(path.relative_to(folder)).encode(errors="surrogateescape")).digest()
    return int(digest[0] / 256 >= FIRST_SHARE)
