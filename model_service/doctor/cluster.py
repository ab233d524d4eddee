"""Does the cluster answer, and may this account do there what the shipped Role says that it must?

The questions are the rules of rbac.yaml itself, each asked by a SelfSubjectAccessReview, so that the check and the Role
cannot drift apart. (https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import model_service
from model_service.doctor.checks import Finding

RBAC = Path(model_service.__file__ or "").parent / "deploy/manifests/rbac.yaml"
ROLE = "menagerie-deploy"  # and the service account of the same name


def needs(manifest: str, namespace: str) -> Iterator[dict[str, str]]:
    """What the Role allows, as resource attributes of an access review: one for each verb of each resource and name."""
    for document in yaml.safe_load_all(manifest):
        if not document or (document["kind"], document["metadata"]["name"]) != ("Role", ROLE):
            continue
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    kind, _, part = resource.partition("/")
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            asked = {"resource": kind, "verb": verb, "group": group, "subresource": part, "name": name}
                            yield {"namespace": namespace} | {key: value for key, value in asked.items() if value}


def examine(namespace: str) -> Finding:
    """Ask the cluster for each right of the Role. Raises ConfigError without a cluster, HTTPError when it fails."""
    wanted = list(needs(RBAC.read_text(), namespace))
    with _client() as client:
        where = client.config.cluster.server
        missing = [_words(one) for one in wanted if not _allowed(client, one)]
    if missing:
        return Finding(
            "failed",
            f"{where} answers; in namespace {namespace} this account may not {', '.join(missing)}",
            f"Apply model_service/deploy/manifests/{RBAC.name} with namespace {namespace} in it (docs/composer.md, "
            f"section 3), and run deploy as the service account {ROLE}.",
        )
    return Finding("ok", f"{where} answers; all {len(wanted)} rights of the Role are there, in namespace {namespace}")


def _client() -> Any:
    from lightkube import Client

    return Client()  # in a pod its service account, elsewhere KUBECONFIG or ~/.kube/config


def _allowed(client: Any, attributes: dict[str, Any]) -> bool:
    from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    spec = SelfSubjectAccessReviewSpec(resourceAttributes=ResourceAttributes(**attributes))
    answer = client.create(SelfSubjectAccessReview(spec=spec))
    return bool(answer.status and answer.status.allowed)


def _words(attributes: dict[str, str]) -> str:
    """E.g. `patch deployments.apps`, `get pods/log`, `get services animals-website`."""
    resource = "/".join(filter(None, (attributes["resource"], attributes.get("subresource"))))
    resource = ".".join(filter(None, (resource, attributes.get("group"))))
    return " ".join(filter(None, (attributes["verb"], resource, attributes.get("name"))))
