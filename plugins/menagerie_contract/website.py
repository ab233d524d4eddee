"""The steps around the website, and their arguments. Values may be Jinja templates on the coordinator's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from menagerie_contract.step import Batch, Step, arg

NAMESPACE = "menagerie"  # on Kubernetes: of the steps' pods and of the website
WEBSITE = "animals-website"  # the website's Service and Deployment


@dataclass(frozen=True, kw_only=True)
class Deploy(Batch):
    """Move the website to a model without a failed request; or, on Kubernetes: --status, --rollback, --teardown."""

    name: ClassVar[str] = "deploy"
    converges: ClassVar[bool] = True
    model: str = arg("version to serve")
    target: Literal["local", "kubernetes"] = arg("where the website runs: this machine, or the cluster", "local")
    site: str = arg("local: URI of the document that names the model the website serves", "")
    predicted: str = arg("URI of the bucket with reports, which the website shows at /report; empty: it shows none", "")
    url: str = arg("where the website answers", "http://127.0.0.1:5000")
    timeout: float = arg("seconds the website may take to answer with the new model", 120.0, least=0)
    max_p95: float = arg("seconds within which 95 % of the self-test's answers must come", 2.0, least=0)
    tolerance: float = arg("largest difference from a self-test's expected probabilities", 0.02, least=0, most=1)
    namespace: str = arg("kubernetes: namespace of the website", NAMESPACE)
    image: str = arg("kubernetes: the website's image, by digest", "")
    replicas: int = arg("kubernetes: pods at rest", 2, least=1, most=100)
    max_replicas: int = arg("kubernetes: pods under load", 6, least=1, most=1000)
    host: str = arg("kubernetes: public host name; empty: reachable from inside the cluster only", "")
    expose: Literal["gateway", "ingress"] = arg("kubernetes: how a public host is routed", "gateway")
    canary_percent: int = arg("kubernetes: share of pods that try the model first; 0: no canary", 0, least=0, most=90)
    canary_minutes: float = arg("kubernetes: how long the canary is watched", 10.0, least=0, most=1440)
    canary_errors: float = arg("kubernetes: largest share of failed answers of the canary", 0.01, least=0, most=1)
    canary_agreement: float = arg("kubernetes: least agreement of the canary with the champion", 0.5, least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class Operate(Step):
    """Look at the website on Kubernetes, take it back to the model before, or remove it."""

    name: ClassVar[str] = "deploy"
    status: bool = arg("show which model is served, by which pods, and since when", False)
    rollback: bool = arg("go back to the model served before, as deploy does when a model fails", False)
    teardown: bool = arg("remove what deploy made in the namespace, and nothing else", False)
    models: str = arg("rollback: URI of the bucket with models, whose champion pointer moves back too", "")
    namespace: str = arg("namespace of the website", NAMESPACE)
    url: str = arg("where the website answers; empty: its Service", "")
    timeout: float = arg("seconds a rollback may take", 600.0, least=0)


@dataclass(frozen=True, kw_only=True)
class Doctor(Batch):
    """Check all that the pipeline needs: buckets, permissions, cluster, Role, versions; a table with remedies."""

    name: ClassVar[str] = "doctor"
    converges: ClassVar[bool] = True
    run: str = arg("name under which the result is kept", "doctor")
    result: str = arg("URI of the result document; empty: the table is printed, nothing is written", "")
    source: str = arg("URI of the bucket where pictures arrive; empty: not checked", "")
    to_predict: str = arg("URI of the bucket of sorted copies; empty: not checked", "")
    predicted: str = arg("URI of the bucket with predictions and reports; empty: not checked", "")
    namespace: str = arg("namespace of the website on the cluster this runs in; empty: no cluster is checked", "")
    url: str = arg("where the website answers; empty: not asked", "")
    registry: str = arg("git URL of the data registry; empty: not checked", "")


@dataclass(frozen=True, kw_only=True)
class Serve(Step):
    """The website: a page where a person drops a picture, and POST /predict for programs."""

    name: ClassVar[str] = "serve"
    models: str = arg("URI of the bucket with models, e.g. gs://animals_models")
    site: str = arg("URI of the document that names the model to serve; followed as it changes")
    host: str = arg("address to listen on", "127.0.0.1")
    port: int = arg("port to listen on", 5000, least=0, most=65535)
    predicted: str = arg("URI of the bucket with reports, which are shown at /report; empty: none are", "")
