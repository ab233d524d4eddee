"""Registers Menagerie with Airflow, nothing else: a link to the website in the navigation, and what is imported early."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin
from menagerie import preimport
from menagerie.settings import settings


class MenageriePlugin(AirflowPlugin):
    name = "menagerie"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {"name": "Animals website", "href": settings().site_link, "destination": "nav", "url_route": "animals-website"}
    ]
    listeners: ClassVar[list[Any]] = [preimport] if settings().in_pods else []
