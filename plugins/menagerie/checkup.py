"""The coordinator's own part of the doctor's table, and the whole table: rows of {check, state, found, remedy}.

Steps look at what steps need (model_service/doctor); here is what Airflow needs, and what their findings come to.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import menagerie_contract as contract

from menagerie import documents
from menagerie.settings import Settings

Row = dict[str, str]
Version = Callable[[str], str | None]

# What composer_requirements.txt asks for, and the Airflow it is for.
LEAST = {
    "apache-airflow": "3.1",
    "apache-airflow-providers-cncf-kubernetes": "10.8",
    "apache-airflow-providers-google": "18.0",
}


# What the launchers and the reaper do with pods, as infra/kubernetes/coordinator.yaml allows it.
RIGHTS = {
    "pods": ("create", "get", "list", "watch", "patch", "delete"),
    "pods/log": ("get",),
    "events": ("list", "watch"),
}


class Finding(NamedTuple):
    """What a check saw, and what to do about it unless all is well."""

    state: str  # ok, warning, failed or skipped
    found: str
    remedy: str = ""


def coordinator(wanted: Settings) -> list[Row]:
    """What Airflow needs of this worker. A check that breaks down is a row."""
    checks: list[tuple[str, Callable[[], Finding], str]] = [
        ("settings", lambda: configuration(wanted), ""),
        ("versions", lambda: versions(installed), ""),
        ("launcher", lambda: launcher(wanted), _LAUNCHER_REMEDY),
        ("bucket animals_models", lambda: bucket(wanted.bucket("animals_models")), _BUCKET_REMEDY),
    ]
    return [row(f"coordinator: {name}", examine, remedy) for name, examine, remedy in checks]


def row(check: str, examine: Callable[[], Finding], remedy: str) -> Row:
    try:
        finding = examine()
    except Exception as error:  # whatever a check stumbles over is what it found
        finding = Finding("failed", f"{type(error).__name__}: {error}", remedy)
    return {"check": check} | finding._asdict()


# Airflow's side.


def configuration(wanted: Settings) -> Finding:
    """What the variables say; wrong values never come this far, they are an import error of the DAGs."""
    found = [f"launcher {wanted.launcher}", f"buckets {wanted.buckets}…", f"registry {wanted.registry or 'none'}"]
    remedies = []
    if wanted.in_pods:
        found += [f"namespace {wanted.namespace}", f"image {wanted.image}", f"website's image {wanted.serve_image}"]
        if wanted.buckets.startswith("file:"):
            remedies.append("Set MENAGERIE_BUCKETS to gs://…: pods share no folder.")
        if wanted.registry.startswith("file:"):
            remedies.append("Set MENAGERIE_REGISTRY to https://…: pods share no folder.")
    if not wanted.registry:
        remedies.append("Set MENAGERIE_REGISTRY to a git URL, so that datasets and models get tags.")
    return Finding("warning" if remedies else "ok", ", ".join(found), " ".join(remedies))


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions(version: Version) -> Finding:
    """`version` gives a package's installed version, or None."""
    has = {package: version(package) for package in LEAST}
    words = [f"contract {contract.VERSION}", f"Python {platform.python_version()}"]
    words += [f"{package.removeprefix('apache-')} {found or 'missing'}" for package, found in has.items()]
    old = [f"{package}>={LEAST[package]}" for package, found in has.items() if not found or _older(found, package)]
    if old:
        return Finding("failed", ", ".join(words), f"Install {', '.join(old)} (composer_requirements.txt).")
    return Finding("ok", ", ".join(words))


def _older(found: str, package: str) -> bool:
    return _numbers(found) < _numbers(LEAST[package])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def launcher(wanted: Settings) -> Finding:
    """Whether a step could be started: its interpreter is there, or the cluster lets Airflow look after pods.

    Raises what the connection's hook or the cluster's client raises.
    """
    if not wanted.in_pods:
        if not wanted.model_python.exists():
            remedy = "Run `make env`, or set MENAGERIE_MODEL_PYTHON."
            return Finding("failed", f"{wanted.model_python} does not exist", remedy)
        return Finding("ok", f"steps run here, by {wanted.model_python}")
    from kubernetes.client import AuthorizationV1Api  # seconds: only tasks pay for it

    client = importlib.import_module(f"menagerie.launchers.{wanted.launcher}").client().api_client
    reviews = AuthorizationV1Api(client)
    missing = [
        f"{verb} {resource}"
        for resource, verbs in RIGHTS.items()
        for verb in verbs
        if not reviews.create_self_subject_access_review(review(wanted.namespace, resource, verb)).status.allowed
    ]
    found = f"{client.configuration.host} answers"
    if missing:
        may_not = f"{found}; in namespace {wanted.namespace} Airflow may not {', '.join(missing)}"
        return Finding("failed", may_not, "Apply the Role menagerie-coordinator (infra/kubernetes/coordinator.yaml).")
    return Finding("ok", f"{found}; Airflow may look after pods in namespace {wanted.namespace}")


def review(namespace: str, resource: str, verb: str) -> dict[str, Any]:
    """The question whether who asks may do that; `resource` may have a part, as pods/log."""
    kind, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "group": "", "resource": kind, "subresource": part, "verb": verb}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"} | {
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
    }


def bucket(uri: str) -> Finding:
    """Raises what the filesystem raises when the bucket cannot be listed."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # costs a second: only tasks pay for it

    path: Any = ObjectStoragePath(uri)
    return Finding("ok", f"{uri} is listed ({len(list(path.iterdir()))} entries)")


_LAUNCHER_REMEDY = (
    "Correct the Airflow connection (MENAGERIE_GCP_CONN or MENAGERIE_KUBE_CONN), or the account that Airflow runs as."
)
_BUCKET_REMEDY = (
    "Create the bucket, set MENAGERIE_BUCKETS, or grant Airflow's account roles/storage.objectViewer on it "
    "(Airflow's connection google_cloud_default)."
)


# The whole table.


def of_step(task: str, result: Mapping[str, Any] | None, uri: str) -> list[Row]:
    """The rows of a doctor's task, named after it; what was not asked for is left out. `result`: of a task that succeeded.

    That of one that failed is read from `uri`; a success that stands there is of an earlier attempt.
    """
    why = ""
    if result is None:
        try:
            result = documents.result(uri)
        except Exception as error:  # a bucket that cannot be read is what the others' rows are about
            why = f": {type(error).__name__}: {error}"
        if result is not None and result["status"] == "ok":
            result = None
    rows: list[Row] = ((result or {}).get("outputs") or {}).get("rows") or []
    if not rows:
        return [without_rows(task, why)]
    return [one | {"check": f"{task}: {one['check']}"} for one in rows if one["state"] != "skipped"]


def without_rows(task: str, why: str = "") -> Row:
    remedy = f"The log of the task {task} says why it did not start or did not end."
    return {"check": task, "state": "failed", "found": f"it left no rows{why}", "remedy": remedy}


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines for people: state, check, what was found, and below it the remedy."""
    width = max(len(one["check"]) for one in rows)
    for one in rows:
        yield f"{one['state']:<8} {one['check']:<{width}}  {one['found']}"
        if one["remedy"]:
            yield f"{'':<8} {'':<{width}}  remedy: {one['remedy']}"


def conclude(rows: Sequence[Row]) -> None:
    """Raise AirflowFailException with what failed and its remedies, if anything did."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    failed = [one for one in rows if one["state"] == "failed"]
    if failed:
        lines = [
            f"{one['check']}: {one['found']}" + (f"\n  {one['remedy']}" if one["remedy"] else "") for one in failed
        ]
        raise AirflowFailException("\n".join([f"{len(failed)} of {len(rows)} checks failed", *lines]))
