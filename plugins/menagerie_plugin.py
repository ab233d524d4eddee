"""Registers Menagerie with Airflow, nothing else: a link to the website in the navigation."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin
from menagerie.settings import settings


class MenageriePlugin(AirflowPlugin):
    name = "menagerie"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {"name": "Animals website", "href": settings().site_url, "destination": "nav", "url_route": "animals-website"}
    ]
