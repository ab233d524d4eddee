"""Registers Menagerie with Airflow, nothing else: the link to the website, tasks' links, and what is imported early."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin
from menagerie import links, preimport
from menagerie.settings import settings


class MenageriePlugin(AirflowPlugin):
    name = "menagerie"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {"name": "Animals website", "href": settings().site_link, "destination": "nav", "url_route": "animals-website"}
    ]
    operator_extra_links: ClassVar[list[Any]] = [links.Report(), links.ModelCard()]
    listeners: ClassVar[list[Any]] = [preimport] if settings().in_pods else []
