"""Addresses as logs and results may show them: without what stands before an @, which may be a secret."""

from __future__ import annotations

import re


def scrubbed(text: str) -> str:
    """https://user:token@host/… as https://***@host/…, wherever it stands in the text."""
    return re.sub(r"://[^/\s'\"]*@", "://***@", text)
