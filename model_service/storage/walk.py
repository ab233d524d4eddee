"""Files below a folder in the byte order of their full names, as a bucket lists its objects. Memory: a folder's names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from model_service.storage.files import TEMPORARY


@dataclass(frozen=True)
class Span:
    """The names wanted: with the prefix, strictly after `after` and, unless it is empty, strictly before `until`."""

    prefix: bytes
    after: bytes
    until: bytes

    @property
    def top(self) -> bytes:
        """The folder that holds all of them, as its names begin: with a trailing slash, or empty."""
        return self.prefix[: self.prefix.rfind(b"/") + 1]

    def wants(self, name: bytes) -> bool:
        """Of a folder, whose name ends in a slash: may there be any in it?"""
        if self.until and name >= self.until:
            return False
        if name.endswith(b"/"):
            return (name.startswith(self.prefix) or self.prefix.startswith(name)) and (
                name > self.after or self.after.startswith(name)
            )
        return name.startswith(self.prefix) and name > self.after


def children(root: bytes, top: bytes, span: Span) -> list[bytes]:
    """What is wanted in a folder, in the reverse order of the full names; folders end in a slash. Raises OSError."""
    with os.scandir(os.path.join(root, top)) as entries:
        # A folder's key ends in "/", as the names in it go on: this makes the order that of the full names.
        keys = (entry.name + b"/" * entry.is_dir(follow_symlinks=False) for entry in entries)
        names = (top + key for key in keys if not key.startswith(TEMPORARY))
        return sorted(filter(span.wants, names), reverse=True)
