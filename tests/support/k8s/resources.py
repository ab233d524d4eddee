"""The resources the API server knows: Kubernetes' own, the Gateway API's and GKE's."""

from __future__ import annotations

import warnings

import kmock

from tests.support.k8s.errors import refusal
from tests.support.k8s.verbs import Resource

OTHERS = {"HorizontalPodAutoscaler": "v2"}  # of kinds with several versions, the one that is served
GKE = {
    "networking.gke.io/v1/managedcertificates": "ManagedCertificate",
    "networking.gke.io/v1/gcpbackendpolicies": "GCPBackendPolicy",
    "networking.gke.io/v1/healthcheckpolicies": "HealthCheckPolicy",
    "networking.gke.io/v1beta1/frontendconfigs": "FrontendConfig",
    "cloud.google.com/v1/backendconfigs": "BackendConfig",
}
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def fill(resources: kmock.ResourcesArray) -> None:
    """Add all of them, for kmock's discovery too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # kmock 0.8 reads its own file in a former way
        resources.load_bundled()
    for resource in map(kmock.resource, list(resources)):
        wanted = OTHERS.get(resources[resource].kind or "", "v1")
        if resource.version != wanted or resource.group in ("events.k8s.io", "metrics.k8s.io"):
            del resources[resource]
    for path, kind in GKE.items():
        resources[path] = kmock.ResourceInfo(
            kind=kind, namespaced=True, singular=kind.lower(), verbs=VERBS, subresources={"status"}
        )


def look_up(resources: kmock.ResourcesArray, wanted: kmock.resource) -> Resource:
    """Raises a refusal (404)."""
    if wanted not in resources:
        raise refusal(404, "NotFound", "the server could not find the requested resource")
    info = resources[wanted]
    version = f"{wanted.group}/{wanted.version}" if wanted.group else str(wanted.version)
    subresources = frozenset(info.subresources)
    return Resource(version, str(wanted.plural), str(info.kind), bool(info.namespaced), subresources)


def by_kind(resources: kmock.ResourcesArray, kind: str) -> Resource:
    """From a kind or a plural. Raises LookupError."""
    for resource in map(kmock.resource, resources):
        if kind in (resources[resource].kind, resource.plural):
            return look_up(resources, resource)
    raise LookupError(f"the cluster knows no {kind}")
