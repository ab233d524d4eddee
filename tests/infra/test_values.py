"""What Terraform computes from dev.tfvars and prod.tfvars, and what the rest of Menagerie makes of it."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import menagerie_contract as contract
import pytest
import yaml
from menagerie import settings

from tests.infra import api_words
from tests.infra.configuration import INFRA, MISSING, RBAC, ROOT, TFVARS, evaluate, plan, workspace

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
DIGEST = f"europe-west1-docker.pkg.dev/p/menagerie/train@sha256:{'0' * 64}"
Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workspace(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="module")
def values(folder: Path) -> Evaluate:
    """The values of an environment: `values("dev", "schedule=none")`."""

    @functools.cache
    def of(environment: str, *changes: str) -> dict[str, Any]:
        return evaluate(folder, f"-var-file={INFRA / environment}.tfvars", *(f"-var={change}" for change in changes))

    return of


ENVIRONMENTS = [path.stem for path in TFVARS]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_variables_of_composer_are_settings(environment: str, values: Evaluate) -> None:
    variables = values(environment)["composer_variables"]
    text = (ROOT / "plugins" / "menagerie" / "settings.py").read_text()

    assert set(variables) <= set(re.findall(r"\bMENAGERIE_[A-Z_]+", text))
    read = settings.read(variables | {"MENAGERIE_IMAGE": DIGEST, "MENAGERIE_SERVE_IMAGE": DIGEST})

    assert read.launcher == "gke"
    assert {name: read.bucket(name) for name in values(environment)["buckets"]} == {
        name: f"gs://{bucket}" for name, bucket in values(environment)["buckets"].items()
    }


def test_resources_of_pods_and_spot_steps_reach_composer_as_settings_reads_them(values: Evaluate) -> None:
    pods = 'pods={ train = { cpu = "8", memory = "32Gi" } }'

    variables = values("dev", pods)["composer_variables"]

    assert json.loads(variables["MENAGERIE_PODS"]) == {"train": {"cpu": "8", "memory": "32Gi"}}
    assert variables["MENAGERIE_SPOT"] == "predict,train"
    settings.read(variables | {"MENAGERIE_IMAGE": DIGEST, "MENAGERIE_SERVE_IMAGE": DIGEST})


def test_the_data_registry_reaches_composer_as_settings_reads_it(values: Evaluate) -> None:
    url, weights = "https://example.com/acme/data.git", "gs://acme-weights/resnet34.safetensors"
    named = ("registry_secret=menagerie-registry", "registry_pool=menagerie_registry", "tracking_secret=tracking")

    variables = values("dev", f"registry_url={url}", f"weights={weights}", *named)["composer_variables"]

    read = settings.read(variables | {"MENAGERIE_IMAGE": DIGEST, "MENAGERIE_SERVE_IMAGE": DIGEST})
    assert (read.registry, read.weights) == (url, weights)
    assert (read.registry_secret, read.registry_pool) == ("menagerie-registry", "menagerie_registry")
    assert read.tracking_secret == "tracking"


def test_a_variable_without_a_value_is_not_set(values: Evaluate) -> None:
    assert "" not in values("dev")["composer_variables"].values()
    assert "MENAGERIE_SITE_HOST" not in values("dev")["composer_variables"]
    assert values("prod")["composer_variables"]["MENAGERIE_SITE_HOST"] == "animals.example.com"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_buckets_have_names_that_cloud_storage_allows(environment: str, values: Evaluate) -> None:
    buckets = values(environment)["buckets"]

    assert set(buckets) == {"animals_all", "animals_to_predict", "animals_predicted", "animals_models"}
    for name in buckets.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]", name)


def test_composers_packages_are_those_of_its_requirements(values: Evaluate) -> None:
    assert values("dev")["pypi_packages"] == {
        "apache-airflow-providers-cncf-kubernetes": ">=10.8",
        "apache-airflow-providers-google": ">=18.0",
    }


def test_each_workload_has_a_google_account_of_its_name(values: Evaluate) -> None:
    accounts = values("dev")["emails"]

    assert set(values("dev")["workloads"]) <= set(accounts)
    assert accounts["menagerie-step"] == "menagerie-step@acme-animals-dev.iam.gserviceaccount.com"
    assert all(6 <= len(name) <= 30 for name in accounts)


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_composers_sizes_are_ones_that_composer_allows(size: str, values: Evaluate) -> None:
    for component in values("dev", f"composer_size={size}")["composer"].values():
        assert component["cpu"] == 0.5 or component["cpu"] % 1 == 0
        assert 1 <= component["memory"] / component["cpu"] <= 6.5
        assert component["memory"] % 0.25 == 0
        assert component.get("least", 1) <= component.get("most", 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("project=Acme", "6 to 30 lower-case letters"),
        ("region=europe-west1-b", "not a zone"),
        ("environment=staging", "dev or prod"),
        ("bucket_prefix=acme", "end in - or _"),
        ("bucket_prefix=google-", "do not begin with goog"),
        ("soft_delete_days=3", "0, or 7 to 90"),
        ("composer_image=composer-3-airflow-2.10.5", "Composer 3 with Airflow 3.1"),
        ("composer_size=huge", "small, medium or large"),
        ("schedule=30 14", "five fields"),
        ('spot_steps=["deploy"]', "Only predict and train"),
        ("site_host=https://animals.example.com", "A host name such as"),
        ("registry_url=https://ann:t0ken@example.com/data.git", "without a name, password or token in it"),
        ("weights=imagenet", "auto, none, or gs://"),
        ("build_repository=menagerie", "The repository's full name"),
        ("least_accuracy=90", "From 0 to 1"),
        ('pods="x"', "An object of objects"),
        ('pods={ train = "32Gi" }', "An object of objects"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_to_give_instead(change: str, says: str, folder: Path) -> None:
    planned = plan(folder, f"-var-file={INFRA / 'dev.tfvars'}", f"-var={change}")

    assert planned.returncode == 1
    assert says in " ".join(planned.stderr.replace("│", "").split())


# Kubernetes


def manifests(values: Evaluate, *changes: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(values("dev", *changes)["kubernetes"]))


def test_kubernetes_takes_what_is_applied_once(values: Evaluate) -> None:
    for manifest in manifests(values):
        kubernetes_validate.validate(manifest, "1.33", strict=True)

    assert [manifest["kind"] for manifest in manifests(values)] == [
        "Namespace",
        "ServiceAccount",
        *["Role", "RoleBinding"],
        *["ServiceAccount"] * 2,
        *["Role", "RoleBinding"],
    ]


def test_deploys_rights_and_accounts_are_the_shipped_ones(values: Evaluate) -> None:
    """In the namespace of the same name: what is shipped, and the accounts' ties to Google's."""
    applied = manifests(values)[-4:]
    for manifest in applied[:2]:
        del manifest["metadata"]["annotations"]

    assert applied == list(yaml.safe_load_all((ROOT / RBAC).read_text()))


def test_each_object_is_applied_once(values: Evaluate) -> None:
    """A second one of the same field manager would take the first one's fields away."""
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests(values)]

    assert len(set(names)) == len(names)


def test_another_namespace_is_meant_everywhere(values: Evaluate) -> None:
    namespace, *applied = manifests(values, "namespace=zoo")

    assert namespace["metadata"]["name"] == "zoo"
    assert {manifest["metadata"]["namespace"] for manifest in applied} == {"zoo"}
    subjects = [subject for manifest in applied for subject in manifest.get("subjects", [])]
    assert {"kind": "ServiceAccount", "name": "menagerie-deploy", "namespace": "zoo"} in subjects
    assert values("dev", "namespace=zoo")["composer_variables"]["MENAGERIE_NAMESPACE"] == "zoo"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_kustomize_brings_the_shipped_rights_into_another_namespace(tmp_path: Path) -> None:
    shutil.copy(ROOT / RBAC, tmp_path)
    (tmp_path / "kustomization.yaml").write_text("namespace: zoo\nresources: [rbac.yaml]\n")

    made = subprocess.run(["kubectl", "kustomize", tmp_path], capture_output=True, text=True, check=True, timeout=60)

    documents = list(yaml.safe_load_all(made.stdout))
    assert {document["metadata"]["namespace"] for document in documents} == {"zoo"}
    (binding,) = (document for document in documents if document["kind"] == "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "menagerie-deploy", "namespace": "zoo"}]


def test_accounts_are_tied_to_the_google_accounts_of_their_name(values: Evaluate) -> None:
    tied = {
        manifest["metadata"]["name"]: manifest["metadata"]["annotations"]["iam.gke.io/gcp-service-account"]
        for manifest in manifests(values)
        if manifest["kind"] == "ServiceAccount"
    }

    assert tied == {name: values("dev")["emails"][name] for name in values("dev")["workloads"]}
    assert {"menagerie-step", "menagerie-deploy", contract.WEBSITE} == set(tied)


def test_airflow_may_start_follow_and_remove_pods_in_the_namespace_and_nothing_else(values: Evaluate) -> None:
    role, binding = (one for one in manifests(values) if one["metadata"]["name"] == "menagerie-coordinator")

    assert {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]} == {
        *(("pods", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")),
        ("pods/log", "get"),
        *(("events", verb) for verb in ("list", "watch")),
    }
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == contract.NAMESPACE
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    # GKE knows the account by its number when a token has no e-mail scope
    assert [subject["name"] for subject in binding["subjects"]] == [
        values("dev")["emails"]["menagerie-composer"],
        "100000000000000000001",
    ]


# Monitoring


def test_alerts_read_what_evaluate_logs(values: Evaluate) -> None:
    """`__main__` logs a step's counts as one line of JSON; evaluate's counts are these fields of its metrics."""
    source = ast.parse((ROOT / "model_service" / "evaluate.py").read_text())
    words = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    filters = [alert["filter"] for alert in values("dev")["evaluation_alerts"].values()]

    read = {field for text in [*filters, "jsonPayload.accuracy"] for field in re.findall(r"jsonPayload\.(\w+)", text)}

    assert read == {"accuracy", "new_classes"}
    assert read <= words
    main = (ROOT / "model_service" / "__main__.py").read_text()
    assert 'format="%(message)s"' in main
    assert re.search(r'log\.info\("%s", json\.dumps\(document\["counts"\]', main)


def test_alerts_look_for_the_label_of_the_steps_pods(values: Evaluate) -> None:
    """GKE's logging agent writes a label's dots as underscores: `menagerie.dev/step` → `k8s-pod/menagerie_dev/step`."""
    assert f'labels."k8s-pod/menagerie_dev/step"="{contract.Evaluate.name}"' in values("dev")["evaluations"]


def test_the_dashboard_is_one_that_monitoring_describes(values: Evaluate) -> None:
    schemas = api_words.schemas("monitoring.v1")
    if schemas is None:
        pytest.skip(api_words.MISSING)

    def check(value: Any, schema: dict[str, Any], where: str) -> None:
        if "$ref" in schema:
            schema = schemas[schema["$ref"]]
        if isinstance(value, dict):
            for key, inner in value.items():
                assert key in schema["properties"], f"{where}.{key}"
                check(inner, schema["properties"][key], f"{where}.{key}")
        elif isinstance(value, list):
            for inner in value:
                check(inner, schema["items"], where)
        elif "enum" in schema:
            assert value in schema["enum"], where

    dashboard = values("dev")["dashboard"]

    check(dashboard, {"$ref": "Dashboard"}, "dashboard")
    tiles = dashboard["mosaicLayout"]["tiles"]
    assert len({(tile["xPos"], tile["yPos"]) for tile in tiles}) == len(tiles) == 10
    assert all(tile["xPos"] + tile["width"] <= 48 for tile in tiles)


# The build


def test_the_build_is_told_only_what_it_asks_for(values: Evaluate) -> None:
    for name, file in (
        ("build_substitutions", "cloudbuild.yaml"),
        ("check_substitutions", "infra/build/pullrequest.yaml"),
    ):
        build = yaml.safe_load((ROOT / file).read_text())
        account = build["serviceAccount"].rpartition("/")[2].partition("@")[0]

        assert set(values("dev")[name]) <= set(build["substitutions"])
        assert account in values("dev")["emails"]


@pytest.mark.parametrize(("region", "near"), [("europe-west1", "europe"), ("asia-east1", "asia"), ("us-east4", "us")])
def test_images_are_scanned_where_the_registry_is(region: str, near: str, values: Evaluate) -> None:
    assert values("dev", f"region={region}")["build_substitutions"]["_SCAN_LOCATION"] == near


def test_a_value_of_the_build_has_no_comma_which_gcloud_would_split_at(values: Evaluate) -> None:
    assert not [value for value in values("prod")["build_substitutions"].values() if "," in value]
