"""Addresses as logs and results may show them: without what stands before an @ or after a ?, which may be a secret.

A secret has any characters, also such as belong to an address: so everything from :// to the last @ is taken for one. But
not in gs:// and file:///, whose names may have an @ and which nobody logs in to by.
"""

from __future__ import annotations

import re

_SCHEME = r"(?!(?:gs://|file:///))[a-zA-Z][a-zA-Z0-9+.-]*://"
_ARGUMENT = re.compile(rf"(?:--[\w-]+=)?(?={_SCHEME})|--registry=")
_LOGIN = re.compile(rf"(?<![\w+.-])({_SCHEME})(.*)@(\S*)")  # of a line
_QUERY = re.compile(rf"(?<![\w+.-])({_SCHEME}[^\s'\"?]*)\?\S*")
_SSH_LOGIN = re.compile(r"(?<![^\s'\"=])[^\s'\"=:/@]+:(?!//)[^\s'\"@]+@(?=[^\s'\"/@:]+:)")  # user:secret@host:path
_SSH_WORD = re.compile(r"\A[^:/@]*:.*@(?=[^/@:]+:)", re.DOTALL)  # the same of a whole word
_USER_ALONE = re.compile(r"[^:/?@]+@[^@?]*")


def scrubbed(text: str) -> str:
    """https://user:token@host/…?token=… as https://***@host/…?***, wherever it stands in the text.

    A text that begins with an address, or with an option whose value is one, is taken for one word, whatever is in it.
    """
    if found := _ARGUMENT.match(text):
        return found[0] + _word(text[found.end() :])
    return _QUERY.sub(r"\1?***", _SSH_LOGIN.sub("***@", _LOGIN.sub(_without_login, text)))


def may_have_a_secret(address: str) -> bool:
    """Of http(s) any with an @ or a query; of ssh a user's name alone is none."""
    scheme, rest = _parts(address)
    if scheme.lower() in ("http", "https"):
        return "@" in rest or "?" in rest
    return _word(address) != address and not _USER_ALONE.fullmatch(rest)


def _word(address: str) -> str:
    scheme, rest = _parts(address)
    if not scheme:
        return _SSH_WORD.sub("***@", address)
    login, _, place = rest.rpartition("@")
    if "?" in login:  # who knows which of the two has the secret
        return f"{scheme}://***"
    place, query, _ = place.partition("?")
    return f"{scheme}://" + ("***@" if login else "") + place + ("?***" if query else "")


def _without_login(found: re.Match[str]) -> str:
    return f"{found[1]}***" if "?" in found[2] else f"{found[1]}***@{found[3]}"


def _parts(address: str) -> tuple[str, str]:
    """Scheme and the rest; a folder, a bucket and what only ssh knows have no scheme."""
    scheme, colon, rest = address.partition("://")
    return (scheme, rest) if colon and not address.startswith(("file:///", "gs://")) else ("", address)
