"""Addresses as logs and results may show them: without what stands before an @ or after a ?, which may be a secret."""

from __future__ import annotations

import re


_LOGIN = re.compile(r"://[^/\s'\"]*@")
_SSH_LOGIN = re.compile(r"(?<![^\s'\"=])[^\s'\"=:/@]+:[^\s'\"/@]+@(?=[^\s'\"/@:]+:)")  # user:secret@host:path
_QUERY = re.compile(r"(://[^\s'\"?]*)\?[^\s'\"]*")


def scrubbed(text: str) -> str:
    """https://user:token@host/…?token=… as https://***@host/…?***, wherever it stands in the text."""
    return _QUERY.sub(r"\1?***", _SSH_LOGIN.sub("***@", _LOGIN.sub("://***@", text)))
