"""The manifests in YAML, with a handful of values put in: the same objects that kustomize makes of them with these values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import yaml

from model_service.site import Site

FOLDER = Path(__file__).parent / "manifests"
LABELS = {"app.kubernetes.io/name": contract.WEBSITE, "app.kubernetes.io/managed-by": "menagerie"}
TRACK = "menagerie.dev/track"
CANARY = f"{contract.WEBSITE}-canary"
SITE = f"{contract.WEBSITE}-site"
DOCUMENT = "site.json"
MOUNTED = f"file:///etc/menagerie/{DOCUMENT}"
PORT = 5000
_ALWAYS = ("account", "network", "service", "disruption", "deployment", "autoscaler")  # in the order of applying

Object = dict[str, Any]


@dataclass(frozen=True)
class Values:
    """What differs from one deployment to the next. `host` may be empty: the website is then not public; so may `predicted`:
    it then shows no reports.
    """

    namespace: str
    image: str
    models: str
    site: Site
    replicas: int
    max_replicas: int
    host: str = ""
    expose: str = "gateway"
    predicted: str = ""


def render(values: Values) -> list[Object]:
    """Every object of the website, in the order in which to apply them. `replicas` is left to the autoscaler."""
    names = [*_ALWAYS, *([values.expose] if values.host else [])]
    document = config_map(values.site)
    objects = [document, *(thing for name in names for thing in load(name))]
    for thing in objects:
        thing["metadata"]["namespace"] = values.namespace
        spec = thing.get("spec", {})
        if thing["kind"] == "Deployment":
            _fill_pod(spec["template"]["spec"], values, document["metadata"]["name"])
        elif thing["kind"] == "HorizontalPodAutoscaler":
            spec |= {"minReplicas": values.replicas, "maxReplicas": values.max_replicas}
        elif thing["kind"] == "HTTPRoute":
            spec["hostnames"] = [values.host]
        elif thing["kind"] == "Ingress":
            spec["rules"][0]["host"] = values.host
        elif thing["kind"] == "ManagedCertificate":
            spec["domains"] = [values.host]
    return objects


def canary(deployment: Object, replicas: int) -> Object:
    """The website's Deployment as a second one behind the same Service."""
    copy: Object = json.loads(json.dumps(deployment))
    copy["metadata"]["name"] = CANARY
    copy["spec"]["replicas"] = replicas  # no autoscaler looks after it
    copy["spec"]["selector"]["matchLabels"][TRACK] = copy["spec"]["template"]["metadata"]["labels"][TRACK] = "canary"
    return copy


def config_map(site: Site) -> Object:
    """The site document, immutable, with the name that kustomize's configMapGenerator gives it."""
    data = {DOCUMENT: json.dumps(asdict(site), ensure_ascii=False) + "\n"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{SITE}-{_suffix(data)}", "labels": dict(LABELS)},
        "immutable": True,
        "data": data,
    }


def _suffix(data: dict[str, str]) -> str:
    """kustomize's hash of a ConfigMap: https://github.com/kubernetes-sigs/kustomize/blob/master/api/hasher/hasher.go"""
    text = json.dumps({"data": data, "kind": "ConfigMap", "name": ""}, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return digest.translate(str.maketrans("013ae", "ghkmt"))  # so that it spells no words


def load(name: str) -> Iterator[Object]:
    """The objects in one of the YAML files."""
    yield from yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())


def public() -> list[Object]:
    """Every object that makes the website public, in one way or another."""
    return [thing for name in ("gateway", "ingress") for thing in load(name)]


def _fill_pod(pod: Object, values: Values, document: str) -> None:
    (container,) = pod["containers"]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "site")
    serve = contract.Serve(
        models=values.models,
        site=MOUNTED,
        host="0.0.0.0",  # noqa: S104 - in its pod
        port=PORT,
        predicted=values.predicted,
    )
    container["image"] = values.image
    container["args"] = serve.argv()
    volume["configMap"]["name"] = document
