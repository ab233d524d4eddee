"""Settings, read once from MENAGERIE_* variables. An error names the variable, its value and what to set."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import menagerie_contract as contract

from menagerie import resources, values
from menagerie.values import Cluster, SettingsError

LAUNCHERS = ("local", "gke", "kubernetes")
ENDPOINTS = ("dns", "private", "public")
EXPOSE = ("gateway", "ingress")
_HOME = Path(__file__).resolve().parents[2]
_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """Where things are and how steps run."""

    launcher: str  # MENAGERIE_LAUNCHER: how a step becomes a process: local, or as a pod: gke, kubernetes
    buckets: str  # MENAGERIE_BUCKETS: what a bucket's URI begins with, e.g. gs://acme- or file:///srv/buckets/
    home: Path  # MENAGERIE_HOME: the folder with model_service, where local steps run
    model_python: Path  # MENAGERIE_MODEL_PYTHON: the model environment's interpreter, for local steps
    site: str  # MENAGERIE_SITE: URI of the document that names the model a local website serves
    site_url: str  # MENAGERIE_SITE_URL: where the website answers the steps
    site_host: str  # MENAGERIE_SITE_HOST: the website's public host name; empty: inside the cluster only
    site_expose: str  # MENAGERIE_SITE_EXPOSE: how the public host is routed
    registry: str  # MENAGERIE_REGISTRY: git URL of the data registry; here empty: nothing is versioned (`none`)
    registry_secret: str  # MENAGERIE_REGISTRY_SECRET: Kubernetes Secret with git's credentials, for pods that need them
    registry_pool: str  # MENAGERIE_REGISTRY_POOL: Airflow pool of the snapshots; it must exist
    tracking_secret: str  # MENAGERIE_TRACKING_SECRET: Kubernetes Secret whose keys are variables of the training's pod
    weights: str  # MENAGERIE_WEIGHTS: the Param weights unless a run says otherwise
    schedule: str | None  # MENAGERIE_SCHEDULE: cron expression of the pipeline, or `none`: only when triggered
    retry_delay: float  # MENAGERIE_RETRY_DELAY: seconds before the first retry of a step; doubles with each
    cluster: Cluster | None  # MENAGERIE_CLUSTER: of launcher gke
    cluster_endpoint: str  # MENAGERIE_CLUSTER_ENDPOINT: which address of the cluster's API launcher gke uses
    gcp_conn: str  # MENAGERIE_GCP_CONN: Airflow connection of launcher gke
    kube_conn: str  # MENAGERIE_KUBE_CONN: Airflow connection of launcher kubernetes
    namespace: str  # MENAGERIE_NAMESPACE: of the pods and the website
    image: str  # MENAGERIE_IMAGE: runs every step but deploy, by digest
    serve_image: str  # MENAGERIE_SERVE_IMAGE: runs deploy and the website, by digest
    deferrable: bool  # MENAGERIE_DEFERRABLE: whether Airflow's triggerer waits for pods, not a worker
    poll: float  # MENAGERIE_POLL: seconds between two looks at a pod
    # MENAGERIE_SPOT: steps that may run on Spot nodes
    pods: resources.Table  # MENAGERIE_PODS: what is changed in the table of resources; here with it, and with SPOT

    def bucket(self, name: str) -> str:
        """A bucket's URI: `animals_all`, `animals_to_predict`, `animals_predicted` or `animals_models`."""
        return self.buckets + name

    @property
    def in_pods(self) -> bool:
        return self.launcher != "local"

    @property
    def site_link(self) -> str:
        """Where people find the website."""
        return f"https://{self.site_host}" if self.site_host else self.site_url


@functools.cache
def settings() -> Settings:
    return read(os.environ)


def read(variables: Mapping[str, str]) -> Settings:
    """Settings from variables; the defaults run everything under `.menagerie/` of the checkout. Raises SettingsError."""

    def value(key: str, default: str) -> str:
        return variables.get(f"MENAGERIE_{key}") or default

    def one_of(key: str, choices: tuple[str, ...]) -> str:
        return values.matching(key, value(key, choices[0]), "|".join(choices), f"one of: {', '.join(choices)}")

    def secret(key: str) -> str:
        return values.matching(key, value(key, ""), rf"({_SECRET.pattern})?", "the name of a Kubernetes Secret")

    launcher = one_of("LAUNCHER", LAUNCHERS)
    local = launcher == "local"
    home = Path(value("HOME", str(_HOME)))
    state = home / ".menagerie"
    namespace = values.matching(
        "NAMESPACE", value("NAMESPACE", contract.NAMESPACE), _NAMESPACE, "a Kubernetes namespace"
    )
    here = "http://127.0.0.1:5000" if local else f"http://{contract.WEBSITE}.{namespace}.svc.cluster.local"
    connection = "the id of an Airflow connection"
    digest = "an image by digest: <registry>/<name>@sha256:<64 hex digits>"
    return Settings(
        launcher=launcher,
        buckets=values.buckets(value("BUCKETS", f"file://{state}/buckets/" if local else "")),
        home=home,
        model_python=Path(value("MODEL_PYTHON", str(state / "venv/model/bin/python"))),
        site=values.matching(
            "SITE",
            value("SITE", f"file://{state}/site/site.json"),
            r"(file:///|gs://).*",
            "the URI of a document: file:///<absolute path> or gs://<bucket>/<name>",
        ),
        site_url=values.matching(
            "SITE_URL", value("SITE_URL", here), r"https?://[^\s/]\S*", f"an address such as {here}"
        ).rstrip("/"),
        site_host=values.matching("SITE_HOST", value("SITE_HOST", ""), rf"({_HOST.pattern})?", "a host name"),
        site_expose=one_of("SITE_EXPOSE", EXPOSE),
        registry=values.registry(value("REGISTRY", f"file://{state}/registry.git" if local else "none")),
        registry_secret=secret("REGISTRY_SECRET"),
        registry_pool=values.matching(
            "REGISTRY_POOL", value("REGISTRY_POOL", "default_pool"), r"[\w.-]{1,256}", "the name of an Airflow pool"
        ),
        tracking_secret=secret("TRACKING_SECRET"),
        weights=values.matching(
            "WEIGHTS",
            value("WEIGHTS", "auto"),
            values.WEIGHTS,
            "auto, none, or the gs:// or file:/// URI of a safetensors file",
        ),
        schedule=values.schedule(value("SCHEDULE", values.SCHEDULE)),
        retry_delay=values.seconds("RETRY_DELAY", value("RETRY_DELAY", "60"), 0, 3600),
        cluster=values.cluster(value("CLUSTER", ""), needed=launcher == "gke"),
        cluster_endpoint=one_of("CLUSTER_ENDPOINT", ENDPOINTS),
        gcp_conn=values.matching("GCP_CONN", value("GCP_CONN", "google_cloud_default"), r"\S+", connection),
        kube_conn=values.matching("KUBE_CONN", value("KUBE_CONN", "kubernetes_default"), r"\S+", connection),
        namespace=namespace,
        image="" if local else values.matching("IMAGE", value("IMAGE", ""), _DIGEST, digest),
        serve_image="" if local else values.matching("SERVE_IMAGE", value("SERVE_IMAGE", ""), _DIGEST, digest),
        deferrable=values.matching("DEFERRABLE", value("DEFERRABLE", "true"), "true|false", "true or false") == "true",
        poll=values.seconds("POLL", value("POLL", "30"), 1, 60),
        pods=_pods(value("PODS", "{}"), value("SPOT", "")),
    )


def _pods(text: str, spot: str) -> resources.Table:
    try:
        changes = json.loads(text)
    except ValueError:
        raise values.wrong("PODS", text, 'JSON, such as {"train": {"memory": "32Gi"}}') from None
    table = dict(resources.TABLE)
    for step in filter(None, (word.strip() for word in spot.split(","))):
        if step not in resources.MAY_BE_SPOT:
            raise values.wrong("SPOT", spot, f"steps that may run on Spot nodes: {','.join(resources.MAY_BE_SPOT)}")
        table = resources.override(table, {step: {"spot": True}}, "MENAGERIE_SPOT")
    try:
        return resources.override(table, changes, "MENAGERIE_PODS")
    except resources.ResourcesError as error:
        raise SettingsError(str(error)) from None
