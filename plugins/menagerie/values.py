"""How the text of a MENAGERIE_* variable becomes a value. One that cannot work raises SettingsError, which says what to set."""

from __future__ import annotations

import re
from typing import NamedTuple

SCHEDULE = "30 14 * * *"
WEIGHTS = r"auto|none|gs://\S+|file:///\S+"  # what training may start from
_PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")  # Airflow's
_CLUSTER = re.compile(r"projects/([^/\s]+)/locations/([^/\s]+)/clusters/([^/\s]+)")
_PREFIX = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,44}")  # a bucket's name has 63 characters, ours up to 18 of them
_GIT = re.compile(r"https://[^/\s]+/\S+|ssh://[^/\s]+/\S+|[\w.-]+@[\w.-]+:\S+|file:///\S+")
# They may have any characters: all up to the last @, and any query. The same as model_service/addresses.py refuses.
_CREDENTIALS = re.compile(
    r"(?:(?<=^https:)|(?<=^http:))//(?:.*\?.*|.*@)|(?<=^ssh:)//[^@]*[:/].*@|^[^/@]*:(?!//).*@(?=[^/@]+:)", re.I | re.S
)


class SettingsError(Exception):
    """A MENAGERIE_* variable has a value that cannot work."""


class Cluster(NamedTuple):
    """A GKE cluster, as Google names it."""

    project: str
    location: str
    name: str


def buckets(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme == "gs" and not rest:
        return text
    prefix = rest if rest.endswith(("-", "_")) else f"{rest}-"
    if scheme == "gs" and _PREFIX.fullmatch(prefix):
        return f"gs://{prefix}"
    if scheme == "file" and rest.startswith("/"):
        return f"{text.rstrip('/')}/"
    wanted = "gs:// or gs://<prefix>- in the cloud (as bucket names are: a-z, 0-9, -, _, ., at most 44 characters)"
    raise wrong("BUCKETS", text, f"{wanted}, file:///<absolute folder>/ on a laptop")


def registry(text: str) -> str:
    """A git URL, which stands in command lines and logs: no credentials are in it. Empty: nothing is versioned."""
    if text == "none":
        return ""
    wanted = "https://…, ssh://…, <user>@<host>:<path>, file:///<absolute path>, or none"
    shown = _CREDENTIALS.sub("//…@", text)
    if shown != text:
        where = "they come from MENAGERIE_REGISTRY_SECRET, or from git's own credential helpers"
        raise wrong("REGISTRY", shown, f"{wanted}; without credentials: {where}")
    return matching("REGISTRY", text, _GIT, wanted)


def schedule(text: str) -> str | None:
    if text == "none":
        return None
    if text in (SCHEDULE, *_PRESETS):  # the default needs no look, which costs an import
        return text
    from croniter import croniter  # type: ignore[import-untyped] # what Airflow itself reads it with

    if len(text.split()) != 5 or not croniter.is_valid(text):
        raise wrong("SCHEDULE", text, f"a cron expression of five fields, such as '{SCHEDULE}', or none")
    return text


def seconds(key: str, text: str, least: float, most: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise wrong(key, text, f"seconds, from {least:g} to {most:g}")
    return seconds


def cluster(text: str, *, needed: bool) -> Cluster | None:
    if not text and not needed:
        return None
    found = _CLUSTER.fullmatch(text)
    if not found:
        raise wrong("CLUSTER", text, "projects/<project>/locations/<location>/clusters/<name>")
    return Cluster(*found.groups())


def matching(key: str, value: str, pattern: str | re.Pattern[str], wanted: str) -> str:
    if not re.fullmatch(pattern, value):
        raise wrong(key, value, wanted)
    return value


def wrong(key: str, value: str, wanted: str) -> SettingsError:
    return SettingsError(f"MENAGERIE_{key} is {value!r}; set it to {wanted}")
