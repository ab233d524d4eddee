"""The cluster's API as deploy uses it: get, list, server-side apply, delete, log; in one namespace, objects as dicts.

What fails for a moment (no connection, 429, 5xx) is asked again until `until`: every request here may be repeated. Changes
are waited for by asking again, not by watching: a GET a second is little, and there is no stream to lose.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from lightkube import ApiError, Client
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import GenericNamespacedResource, create_api_info
from lightkube.types import CascadeType

from model_service.errors import StepError

MANAGER = "menagerie"  # field manager of everything that deploy writes
ROLE = "menagerie-deploy"  # in manifests/rbac.yaml
PAUSE = 1.0  # seconds between two attempts
_PASSING = {408, 429, 500, 502, 503, 504}
_RESOURCES = {  # kind: group, version, plural
    "ConfigMap": ("", "v1", "configmaps"),
    "Deployment": ("apps", "v1", "deployments"),
    "Event": ("", "v1", "events"),
    "Gateway": ("gateway.networking.k8s.io", "v1", "gateways"),
    "HTTPRoute": ("gateway.networking.k8s.io", "v1", "httproutes"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "Ingress": ("networking.k8s.io", "v1", "ingresses"),
    "ManagedCertificate": ("networking.gke.io", "v1", "managedcertificates"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "Pod": ("", "v1", "pods"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "ReplicaSet": ("apps", "v1", "replicasets"),
    "Service": ("", "v1", "services"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
}

Object = dict[str, Any]
T = TypeVar("T")
log = logging.getLogger(__name__)


class Unreachable(StepError):
    """The API did not answer in time."""


class Changed(StepError):
    """The object is not the one that was read: somebody wrote it since."""


class Cluster:
    """One namespace of the cluster this pod runs in, or else of KUBECONFIG's current context."""

    def __init__(self, namespace: str, until: float) -> None:
        self.namespace = namespace
        self.until = until  # monotonic time at which requests are no longer repeated
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request
        try:
            self._client = Client(namespace=namespace, field_manager=MANAGER, timeout=httpx2.Timeout(10.0))
        except (ConfigError, OSError, KeyError, ValueError) as error:
            remedy = "Run in a pod with a service account, or name a kubeconfig in KUBECONFIG."
            raise StepError(f"there is no cluster to deploy to: {error}", remedy=remedy) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, kind: str, name: str) -> Object | None:
        """None when there is no such object, or no such kind on this cluster."""
        try:
            return dict(self._ask("get", kind, name, lambda: self._client.get(_resource(kind), name)))
        except _Missing:
            return None

    def list(
        self, kind: str, labels: dict[str, Any] | None = None, fields: dict[str, Any] | None = None
    ) -> list[Object]:
        def request() -> list[Object]:
            return [dict(one) for one in self._client.list(_resource(kind), labels=labels, fields=fields)]

        return self._ask("list", kind, "", request)

    def apply(self, thing: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply, force off; the object as it is then. With a resourceVersion in it, raises Changed."""
        kind, name = thing["kind"], thing["metadata"]["name"]
        config = _resource(kind)(thing)
        return dict(self._ask("patch", kind, name, lambda: self._client.apply(config, name, dry_run=dry_run)))

    def delete(self, kind: str, name: str) -> bool:
        """Its dependents go after it. False when there is no such object."""

        def request() -> None:
            self._client.delete(_resource(kind), name, cascade=CascadeType.BACKGROUND)

        try:
            self._ask("delete", kind, name, request)
        except _Missing:
            return False
        return True

    def log(self, pod: str, lines: int) -> str:
        """The last lines of a pod's log: of its last container that ran."""
        return self._ask("get", "Pod", f"{pod}/log", lambda: "".join(self._client.log(pod, tail_lines=lines)))

    def _ask(self, verb: str, kind: str, name: str, request: Callable[[], T]) -> T:
        said = ""
        while True:
            try:
                return request()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code not in _PASSING:
                    raise _refusal(error, verb, kind, name, self.namespace) from error
                why = f"HTTP {error.response.status_code}: {_message(error)}"
            except (
                httpx2.TransportError,
                KeyError,
            ) as error:  # lightkube expects a Content-Type; a proxy may give none
                why = f"{type(error).__name__}: {error}"
            except ConfigError as error:
                raise StepError(f"the cluster's credentials cannot be had: {error}", retry=True) from error
            if time.monotonic() > self.until:
                raise Unreachable(f"the cluster's API does not {verb} {kind} {name}: {why}", remedy=_API, retry=True)
            if why != said:
                log.warning("the cluster's API does not %s %s %s: asking again (%s)", verb, kind, name, said := why)
            time.sleep(PAUSE)


class _Missing(StepError):
    """HTTP 404."""


def _resource(kind: str) -> Any:
    """Lightkube's class of a kind, untyped: what a newer cluster puts into an object is not lost in passing."""
    group, version, plural = _RESOURCES[kind]
    return type(kind, (GenericNamespacedResource,), {"_api_info": create_api_info(group, version, kind, plural)})


def _refusal(error: httpx2.HTTPStatusError, verb: str, kind: str, name: str, namespace: str) -> StepError:
    """An answer that asking again would not change, in words."""
    code, message = error.response.status_code, _message(error)
    what = f"{kind} {name}".strip()
    if code == 404:
        remedy = f"See that namespace {namespace} exists, and that the cluster knows the kind {kind}."
        return _Missing(f"the cluster has no place for {what}: {message}", remedy=remedy)
    if code in (401, 403):
        group, _, plural = _RESOURCES[kind]
        plural += "/log" if name.endswith("/log") else ""
        needed = f"verb {verb} on {plural}" + (f" of {group}" if group else "")
        remedy = (
            f"The Role {ROLE} allows it: apply model_service/deploy/manifests/rbac.yaml with namespace {namespace} "
            f"in it (docs/composer.md, section 3), and run deploy as its service account."
        )
        return StepError(f"the cluster forbids to {verb} {what} ({needed}): {message}", remedy=remedy)
    if code == 409:
        return _conflict(error, what, message)
    return StepError(f"the cluster refuses {what}: HTTP {code}: {message}", remedy="The message names the field.")


def _conflict(error: httpx2.HTTPStatusError, what: str, message: str) -> StepError:
    details = error.status.details if isinstance(error, ApiError) else None
    causes = [c for c in (details.causes if details else None) or [] if c.reason == "FieldManagerConflict"]
    if not causes:
        return Changed(f"{what} was changed by somebody else meanwhile: {message}", retry=True)
    taken = [f"{c.field} (set by {manager_in(c.message or '')})" for c in causes]
    remedy = (
        "Deploy takes no field by force. Undo the change there, or hand it over once: kubectl apply --server-side "
        f"--force-conflicts --field-manager={MANAGER} with the value you want deploy to have."
    )
    return StepError(f"{what} has fields that another field manager owns: {', '.join(taken)}", remedy=remedy)


def manager_in(message: str) -> str:
    """The field manager in a conflict's message: `conflict with "kubectl-edit" using apps/v1`."""
    found = re.search(r'conflict with "([^"]+)"', message)
    return found[1] if found else message


def _message(error: httpx2.HTTPStatusError) -> str:
    if isinstance(error, ApiError):
        return str(error.status.message)
    return error.response.text[:300].strip() or error.response.reason_phrase


_API = "Look at the cluster: deploy carries on where it stopped when it runs again."
