"""What the demo is told (DEMO_* variables) and where it keeps things: all of it under `.menagerie/`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".menagerie"
DEMO = STATE / "demo"


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Config:
    """One demo. Ports are of 127.0.0.1."""

    state: Path
    images: Path | None
    airflow_port: int
    site_port: int
    epochs: int
    image_size: int
    per_kind: tuple[int, int]  # sample pictures a kind, first and second batch

    @property
    def buckets(self) -> Path:
        return self.state / "buckets"

    @property
    def registry(self) -> str:
        """Git URL of the data registry."""
        return f"file://{self.state}/registry.git"

    @property
    def airflow_home(self) -> Path:
        return self.state / "airflow"

    @property
    def site(self) -> str:
        return f"file://{self.state}/site/site.json"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def site_url(self) -> str:
        return f"http://127.0.0.1:{self.site_port}"

    def bucket(self, name: str) -> str:
        return f"file://{self.buckets}/{name}"


def read(variables: Mapping[str, str] = os.environ) -> Config:
    """The configuration from DEMO_* variables. Raises DemoError naming the variable."""

    def number(key: str, default: int, least: int, most: int) -> int:
        text = variables.get(key) or str(default)
        if not text.isdecimal() or not least <= int(text) <= most:
            raise DemoError(f"{key} is {text!r}; set it to a whole number from {least} to {most}")
        return int(text)

    named = variables.get("DEMO_IMAGES")
    images = Path(named).expanduser().resolve() if named else None
    if images and images.is_relative_to(STATE):
        raise DemoError(f"DEMO_IMAGES is {named!r}, which the demo itself clears away; copy the pictures elsewhere")
    if images and not images.is_dir():
        raise DemoError(
            f"DEMO_IMAGES is {named!r}, which is not a folder; name one with a folder a class, or <label>_<n>.jpg files"
        )
    first = number("DEMO_PICTURES", 60, 10, 10_000)
    return Config(
        state=DEMO,
        images=images,
        airflow_port=number("DEMO_AIRFLOW_PORT", 8080, 1, 65535),
        site_port=number("DEMO_SITE_PORT", 5000, 1, 65535),
        epochs=number("DEMO_EPOCHS", 8, 1, 500),
        image_size=number("DEMO_IMAGE_SIZE", 64, 32, 1024),
        per_kind=(first, first * 5 // 3),
    )
