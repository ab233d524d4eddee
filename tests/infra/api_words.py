"""The words of Google's APIs, from the descriptions that google-api-python-client carries (in the Airflow environment).

Terraform's arguments are these words in snake_case, nested a little otherwise. Where its words are its own, they are listed.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from tests.infra.configuration import ROOT

_PACKAGES = ROOT / ".menagerie" / "venv" / "airflow" / "lib" / "python3.11" / "site-packages"
_FOLDER = _PACKAGES / "googleapiclient" / "discovery_cache" / "documents"
MISSING = "the Airflow environment has no API descriptions (google-api-python-client): make env"

# What every resource may say of where it is
_EVERYWHERE = {"project", "region", "location", "name"}
# Resource type → the API that describes it, and the provider's own words (registry.terraform.io/providers/hashicorp/google)
_TYPES: dict[str, tuple[str, set[str]]] = {
    "google_artifact_registry_repository": ("artifactregistry.v1", {"repository_id", "cleanup_policies"}),
    "google_artifact_registry_repository_iam_member": ("artifactregistry.v1", {"repository", "member"}),
    "google_billing_budget": (
        "billingbudgets.v1",
        {"billing_account", "all_updates_rule", "disable_default_iam_recipients"},
    ),
    "google_certificate_manager_certificate": ("certificatemanager.v1", set()),
    "google_certificate_manager_certificate_map": ("certificatemanager.v1", set()),
    "google_certificate_manager_certificate_map_entry": ("certificatemanager.v1", {"map"}),
    "google_certificate_manager_dns_authorization": ("certificatemanager.v1", set()),
    "google_cloudbuild_trigger": ("cloudbuild.v1", set()),
    "google_composer_environment": ("composer.v1", {"allowed_ip_range"}),
    "google_composer_image_versions": ("composer.v1", set()),
    "google_compute_network": ("compute.v1", set()),
    "google_compute_router": ("compute.v1", set()),
    "google_compute_router_nat": ("compute.v1", {"router", "source_subnetwork_ip_ranges_to_nat"}),
    "google_compute_subnetwork": ("compute.v1", {"secondary_ip_range", "private_ip_google_access"}),
    "google_container_cluster": (
        "container.v1",
        {"enable_autopilot", "deletion_protection", "cluster_autoscaling", "auto_provisioning_defaults"},
    ),
    "google_logging_metric": ("logging.v2", {"linear_buckets"}),
    "google_monitoring_alert_policy": ("monitoring.v3", set()),
    "google_monitoring_dashboard": ("monitoring.v1", {"dashboard_json"}),
    "google_monitoring_notification_channel": ("monitoring.v3", set()),
    "google_monitoring_uptime_check_config": ("monitoring.v3", set()),
    "google_project": ("cloudresourcemanager.v1", set()),
    "google_project_iam_custom_role": ("iam.v1", {"role_id", "permissions"}),
    "google_project_iam_member": ("cloudresourcemanager.v1", {"member"}),
    "google_project_service": ("serviceusage.v1", {"service", "disable_on_destroy"}),
    "google_pubsub_topic": ("pubsub.v1", set()),
    "google_pubsub_topic_iam_member": ("pubsub.v1", {"member"}),
    "google_secret_manager_secret": ("secretmanager.v1", {"secret_id"}),
    "google_secret_manager_secret_iam_member": ("secretmanager.v1", {"secret_id", "member"}),
    "google_service_account": ("iam.v1", set()),
    "google_service_account_iam_member": ("iam.v1", {"service_account_id", "member"}),
    "google_storage_bucket": ("storage.v1", {"force_destroy", "lifecycle_rule", "with_state"}),
    "google_storage_bucket_iam_member": ("storage.v1", {"member"}),
    "google_storage_notification": ("storage.v1", set()),
    "google_storage_project_service_account": ("storage.v1", set()),
}


# Values of the provider's own, for what the API says otherwise
_VALUES = {"STANDARD_RESILIENCE"}
# Values that an API describes in words only
_VALUES |= {"STANDARD", "NEARLINE", "ARCHIVED", "LIVE", "ENABLED", "JSON_API_V1", "OBJECT_FINALIZE"}


def known(resource: str) -> set[str] | None:
    """Words that may stand in a resource of that type; None where the API's description is not at hand."""
    api, own = _TYPES[resource]
    found = _described(api)
    return None if found is None else found[0] | own | _EVERYWHERE


def values(resource: str) -> set[str]:
    """The values in capitals that the API, or the provider for it, knows."""
    found = _described(_TYPES[resource][0])
    return (set() if found is None else found[1]) | _VALUES


def schemas(api: str) -> dict[str, Any] | None:
    """An API's description of its objects; None where it is not at hand."""
    path = _FOLDER / f"{api}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())["schemas"]
    return found


@cache
def _described(api: str) -> tuple[set[str], set[str]] | None:
    """The names of an API's properties, in snake_case, and the values of its enumerations."""
    description = schemas(api)
    if description is None:
        return None
    names: set[str] = set()
    enumerated: set[str] = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            properties, enum = node.get("properties"), node.get("enum")
            names.update(properties if isinstance(properties, dict) else ())
            enumerated.update(enum if isinstance(enum, list) else ())
            for value in node.values():
                collect(value)

    collect(description)
    return {re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0]}", name).lower() for name in names}, enumerated
