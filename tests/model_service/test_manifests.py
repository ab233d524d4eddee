"""The website's manifests: valid in every Kubernetes in use, the same with kustomize and without, and safe."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import menagerie_contract as contract
import pytest
import yaml

from model_service.deploy import manifests
from model_service.deploy.manifests import FOLDER, LABELS, TRACK, Values
from model_service.serve import DRAIN
from model_service.site import Site

Object = dict[str, Any]

IMAGE = f"europe-docker.pkg.dev/zoo/menagerie/serve@sha256:{'0123456789abcdef' * 4}"
VALUES = Values(
    "zoo",
    IMAGE,
    "gs://zoo_models",
    Site("r2-abc", "r1-def"),
    replicas=3,
    max_replicas=9,
    predicted="gs://zoo_predicted",
)
PUBLIC = [replace(VALUES, host="zoo.example.org", expose=way) for way in ("gateway", "ingress")]
# preStop's `sleep` is on by default from 1.30 on; the newest is the newest the schemas are of.
KUBERNETES = [v for v in kubernetes_validate.utils.all_versions() if int(v.split(".")[1]) >= 30]
CUSTOM = {"Gateway", "HTTPRoute", "ManagedCertificate"}  # not Kubernetes' own: there is no schema of them here


def by_kind(values: Values) -> dict[str, Object]:
    return {thing["kind"]: thing for thing in manifests.render(values)}


def pod(values: Values = VALUES) -> Object:
    found: Object = by_kind(values)["Deployment"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_in_strict_mode(version: str) -> None:
    rendered = [thing for values in (VALUES, *PUBLIC) for thing in manifests.render(values)]
    canary = manifests.canary(by_kind(VALUES)["Deployment"], 1)
    for thing in [*rendered, canary, *manifests.load("rbac")]:
        if thing["kind"] not in CUSTOM:
            kubernetes_validate.validate(thing, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    deployment = by_kind(VALUES)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def kustomize(folder: Path) -> dict[tuple[str, str], Object]:
    ran = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {(t["kind"], t["metadata"]["name"]): t for t in yaml.safe_load_all(ran.stdout)}


def website(objects: dict[tuple[str, str], Object]) -> dict[tuple[str, str], Object]:
    """Without what an administrator applies."""
    return {key: t for key, t in objects.items() if LABELS.items() <= t["metadata"]["labels"].items()}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("values", [VALUES, *PUBLIC], ids=["inside", "gateway", "ingress"])
def test_kustomize_makes_the_same_objects_of_the_same_values(values: Values, tmp_path: Path) -> None:
    base, overlay = tmp_path / "manifests", tmp_path / "zoo"
    shutil.copytree(FOLDER, base)
    overlay.mkdir()
    resources = [values.expose] if values.host else []
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    kustomization["resources"] += [f"{name}.yaml" for name in resources]
    kustomization["images"] = [
        {"name": "animals-website", "newName": IMAGE.split("@")[0], "digest": IMAGE.split("@")[1]}
    ]
    (base / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (base / "site.json").write_text(json.dumps({"version": "r2-abc", "previous": "r1-def"}) + "\n")
    patches: list[tuple[str, list[tuple[str, Any]]]] = [
        (
            "Deployment",
            [
                ("/spec/template/spec/containers/0/args/2", f"--models={values.models}"),
                ("/spec/template/spec/containers/0/args/6", f"--predicted={values.predicted}"),
            ],
        ),
        ("HorizontalPodAutoscaler", [("/spec/minReplicas", 3), ("/spec/maxReplicas", 9)]),
    ]
    if values.host and values.expose == "gateway":
        patches.append(("HTTPRoute", [("/spec/hostnames/0", values.host)]))
    elif values.host:
        patches.append(("Ingress", [("/spec/rules/0/host", values.host)]))
        patches.append(("ManagedCertificate", [("/spec/domains/0", values.host)]))
    overlaid = {
        "namespace": "zoo",
        "resources": ["../manifests"],
        "patches": [
            {
                "target": {"kind": kind},
                "patch": json.dumps([{"op": "replace", "path": path, "value": value} for path, value in changes]),
            }
            for kind, changes in patches
        ],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(overlaid))
    ours = {(t["kind"], t["metadata"]["name"]): t for t in manifests.render(values)}
    assert website(kustomize(overlay)) == ours


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_folder_as_it_is_can_be_applied_with_kubectl() -> None:
    objects = kustomize(FOLDER)
    buckets = {"models": "gs://animals_models", "predicted": "gs://animals_predicted"}
    as_it_is = Values(contract.NAMESPACE, "animals-website", site=Site("v1"), replicas=2, max_replicas=6, **buckets)
    assert website(objects) == {(t["kind"], t["metadata"]["name"]): t for t in manifests.render(as_it_is)}
    accounts = {name for kind, name in objects if kind == "ServiceAccount"}
    assert accounts == {"animals-website", "menagerie-step", "menagerie-deploy"}
    assert ("Role", "menagerie-deploy") in objects
    assert ("RoleBinding", "menagerie-deploy") in objects


def test_the_website_is_told_its_models_its_document_and_its_reports() -> None:
    (container,) = pod()["containers"]
    told = contract.Serve(
        models="gs://zoo_models",
        site="file:///etc/menagerie/site.json",
        host="0.0.0.0",
        port=5000,
        predicted="gs://zoo_predicted",
    )
    assert contract.parse(container["args"]) == told
    (without,) = pod(replace(VALUES, predicted=""))["containers"]
    assert contract.parse(without["args"]) == replace(told, predicted="")
    document = by_kind(VALUES)["ConfigMap"]
    assert document["immutable"]
    assert json.loads(document["data"]["site.json"]) == {"version": "r2-abc", "previous": "r1-def"}
    assert pod()["volumes"][0]["configMap"]["name"] == document["metadata"]["name"]


def test_another_model_is_another_pod_template_and_the_same_model_is_the_same() -> None:
    assert pod() == pod(replace(VALUES, replicas=1))
    assert pod() != pod(replace(VALUES, site=Site("r3", "r2-abc")))
    assert pod() != pod(replace(VALUES, image=IMAGE.replace("0", "1")))


def test_replicas_are_the_autoscalers() -> None:
    assert "replicas" not in by_kind(VALUES)["Deployment"]["spec"]
    scaler = by_kind(VALUES)["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)


def test_no_request_is_lost_while_a_pod_ends() -> None:
    (container,) = pod()["containers"]
    sleeps: int = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleeps >= 15
    assert pod()["terminationGracePeriodSeconds"] >= sleeps + DRAIN
    assert by_kind(VALUES)["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_pod_has_no_rights_it_does_not_need() -> None:
    (container,) = pod()["containers"]
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert by_kind(VALUES)["NetworkPolicy"]["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 5000}]}]


def test_a_canary_stands_behind_the_same_service_and_is_nobody_elses_pod() -> None:
    stable = by_kind(VALUES)["Deployment"]
    canary = manifests.canary(stable, 2)
    labels = canary["spec"]["template"]["metadata"]["labels"]
    selector = by_kind(VALUES)["Service"]["spec"]["selector"]
    assert selector.items() <= labels.items()
    assert labels[TRACK] == "canary"
    assert canary["spec"]["selector"]["matchLabels"][TRACK] == "canary"
    assert stable["spec"]["selector"]["matchLabels"][TRACK] == "stable"  # neither takes the other's pods
    assert canary["spec"]["replicas"] == 2


@pytest.mark.parametrize("values", PUBLIC, ids=["gateway", "ingress"])
def test_a_public_host_is_served_with_tls_only(values: Values) -> None:
    objects = by_kind(values)
    if values.expose == "gateway":
        assert [one["protocol"] for one in objects["Gateway"]["spec"]["listeners"]] == ["HTTPS"]
        assert objects["HTTPRoute"]["spec"]["hostnames"] == ["zoo.example.org"]
    else:
        assert objects["Ingress"]["metadata"]["annotations"]["kubernetes.io/ingress.allow-http"] == "false"
        assert objects["ManagedCertificate"]["spec"]["domains"] == ["zoo.example.org"]


def test_the_role_gives_no_right_outside_the_namespace_and_none_to_everything() -> None:
    kinds = [thing["kind"] for thing in manifests.load("rbac")]
    assert not any(kind.startswith("Cluster") for kind in kinds)
    role = next(thing for thing in manifests.load("rbac") if thing["kind"] == "Role")
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "secrets" not in rule["resources"]
    deletes = [rule for rule in role["rules"] if "delete" in rule["verbs"]]
    unnamed = [rule["resources"] for rule in deletes if "resourceNames" not in rule]
    assert unnamed == [["configmaps"]]  # named by their content
