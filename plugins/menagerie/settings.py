"""Settings, read once from MENAGERIE_* variables. An error names the variable, its value and what to set."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LAUNCHERS = ("local",)
_HOME = Path(__file__).resolve().parents[2]


class SettingsError(Exception):
    """A MENAGERIE_* variable has a value that cannot work."""


@dataclass(frozen=True)
class Settings:
    """Where things are and how steps run."""

    launcher: str  # MENAGERIE_LAUNCHER: how a step becomes a process
    buckets: str  # MENAGERIE_BUCKETS: what a bucket's URI begins with, e.g. gs://acme- or file:///srv/buckets/
    home: Path  # MENAGERIE_HOME: the folder with model_service, where local steps run
    model_python: Path  # MENAGERIE_MODEL_PYTHON: the model environment's interpreter, for local steps
    site: str  # MENAGERIE_SITE: URI of the document that names the model the website serves
    site_url: str  # MENAGERIE_SITE_URL: where the website answers
    schedule: str | None  # MENAGERIE_SCHEDULE: cron expression of the pipeline, or `none`: only when triggered
    retry_delay: float  # MENAGERIE_RETRY_DELAY: seconds before the first retry of a step; doubles with each

    def bucket(self, name: str) -> str:
        """A bucket's URI: `animals_all`, `animals_to_predict`, `animals_predicted` or `animals_models`."""
        return self.buckets + name


@functools.cache
def settings() -> Settings:
    return read(os.environ)


def read(variables: Mapping[str, str]) -> Settings:
    """Settings from variables; the defaults run everything under `.menagerie/` of the checkout. Raises SettingsError."""

    def value(key: str, default: str) -> str:
        return variables.get(f"MENAGERIE_{key}") or default

    home = Path(value("HOME", str(_HOME)))
    state = home / ".menagerie"
    launcher = value("LAUNCHER", "local")
    if launcher not in LAUNCHERS:
        raise _wrong("LAUNCHER", launcher, f"one of: {', '.join(LAUNCHERS)}")
    site_url = value("SITE_URL", "http://127.0.0.1:5000")
    if not site_url.startswith(("http://", "https://")):
        raise _wrong("SITE_URL", site_url, "an address such as http://127.0.0.1:5000")
    site = value("SITE", f"file://{state}/site/site.json")
    if not site.startswith(("file:///", "gs://")):
        raise _wrong("SITE", site, "the URI of a document: file:///<absolute path> or gs://<bucket>/<name>")
    return Settings(
        launcher=launcher,
        buckets=_buckets(value("BUCKETS", f"file://{state}/buckets/")),
        home=home,
        model_python=Path(value("MODEL_PYTHON", str(state / "venv/model/bin/python"))),
        site=site,
        site_url=site_url.rstrip("/"),
        schedule=_schedule(value("SCHEDULE", "30 14 * * *")),
        retry_delay=_seconds("RETRY_DELAY", value("RETRY_DELAY", "60")),
    )


def _buckets(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme == "gs" and "/" not in rest:
        return text if not rest or rest.endswith(("-", "_")) else f"{text}-"
    if scheme == "file" and rest.startswith("/"):
        return f"{text.rstrip('/')}/"
    raise _wrong("BUCKETS", text, "gs:// or gs://<prefix>- in the cloud, file:///<absolute folder>/ on a laptop")


def _schedule(text: str) -> str | None:
    if text == "none":
        return None
    if len(text.split()) != 5 and not text.startswith("@"):
        raise _wrong("SCHEDULE", text, "a cron expression of five fields, such as '30 14 * * *', or none")
    return text


def _seconds(key: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise _wrong(key, text, "seconds, from 0 to 3600")
    return seconds


def _wrong(key: str, value: str, wanted: str) -> SettingsError:
    return SettingsError(f"MENAGERIE_{key} is {value!r}; set it to {wanted}")
