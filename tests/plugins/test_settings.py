"""Settings: what stands when nothing is set, and how a wrong value is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from menagerie.resources import TABLE
from menagerie.settings import Cluster, SettingsError, read, settings

from tests.plugins.airflow_home import BUCKETS, PODS, REPO


def test_by_default_everything_stands_in_the_checkout() -> None:
    found = read({})
    assert found.launcher == "local"
    assert found.home == REPO
    assert found.buckets == f"file://{REPO}/.menagerie/buckets/"
    assert found.model_python == REPO / ".menagerie/venv/model/bin/python"
    assert found.site == f"file://{REPO}/.menagerie/site/site.json"
    assert found.site_url == "http://127.0.0.1:5000"
    assert found.schedule == "30 14 * * *"
    assert found.retry_delay == 60
    assert found.registry == f"file://{REPO}/.menagerie/registry.git"
    assert (found.registry_pool, found.weights) == ("default_pool", "auto")
    assert found.pods == TABLE
    assert not found.in_pods


def test_the_home_folder_moves_what_stands_in_it() -> None:
    found = read({"MENAGERIE_HOME": "/srv/menagerie"})
    assert found.home == Path("/srv/menagerie")
    assert found.bucket("animals_all") == "file:///srv/menagerie/.menagerie/buckets/animals_all"
    assert found.model_python == Path("/srv/menagerie/.menagerie/venv/model/bin/python")


def test_an_empty_variable_is_an_unset_one() -> None:
    assert read({"MENAGERIE_BUCKETS": "", "MENAGERIE_RETRY_DELAY": ""}) == read({})


@pytest.mark.parametrize(
    ("buckets", "bucket"),
    [
        ("gs://", "gs://animals_all"),
        ("gs://acme", "gs://acme-animals_all"),
        ("gs://acme-", "gs://acme-animals_all"),
        ("gs://acme_", "gs://acme_animals_all"),
        ("file:///srv/b", "file:///srv/b/animals_all"),
        ("file:///srv/b/", "file:///srv/b/animals_all"),
    ],
)
def test_a_bucket_is_the_prefix_and_its_name(buckets: str, bucket: str) -> None:
    assert read({"MENAGERIE_BUCKETS": buckets}).bucket("animals_all") == bucket


@pytest.mark.parametrize(
    ("registry", "found"),
    [
        ("none", ""),
        ("https://example.com/acme/data.git", "https://example.com/acme/data.git"),
        ("ssh://git@example.com:2222/acme/data.git", "ssh://git@example.com:2222/acme/data.git"),
        ("git@example.com:acme/data.git", "git@example.com:acme/data.git"),
        ("file:///srv/data.git", "file:///srv/data.git"),
    ],
)
def test_the_registry_is_a_git_url_or_none(registry: str, found: str) -> None:
    assert read({"MENAGERIE_REGISTRY": registry}).registry == found


@pytest.mark.parametrize(
    "registry",
    [
        "https://ann:s3cret@example.com/d.git",
        "https://s3cret@example.com/d",
        "https://ann:s3cret/s3cret@example.com/d",
        "https://ann:s3cret s3cret@example.com/d",
        "https://ann:s3cret@s3cret@example.com/d",
        "https://example.com/d?private_token=s3cret@s3cret",
        "http://s3cret@example.com/d",
        "HTTPS://s3cret@example.com/d",
        "ssh://ann:s3cret@example.com/d",
        "ssh://ann:s3cret/s3cret@example.com/d",
        "ann:s3cret@example.com:d.git",
    ],
)
def test_credentials_in_the_registrys_url_are_refused_and_not_repeated(registry: str) -> None:
    with pytest.raises(SettingsError, match="without credentials: they come from MENAGERIE_REGISTRY_SECRET") as refusal:
        read({"MENAGERIE_REGISTRY": registry})
    assert "s3cret" not in str(refusal.value)


def test_training_in_a_closed_network_starts_from_a_file_for_all_runs() -> None:
    assert read({"MENAGERIE_WEIGHTS": "gs://acme/r34.safetensors"}).weights == "gs://acme/r34.safetensors"


def test_no_schedule() -> None:
    assert read({"MENAGERIE_SCHEDULE": "none"}).schedule is None


@pytest.mark.parametrize("schedule", ["@hourly", "@continuous", "*/15 6-18 * jan,jul mon-fri", "0 0 * * 5#2"])
def test_a_schedule_is_what_airflow_takes(schedule: str) -> None:
    assert read({"MENAGERIE_SCHEDULE": schedule}).schedule == schedule


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("LAUNCHER", "vertex", "one of: local, gke, kubernetes"),
        ("BUCKETS", "s3://acme", "gs:// or gs://<prefix>- in the cloud"),
        ("BUCKETS", "gs://acme/animals", "gs:// or gs://<prefix>- in the cloud"),
        ("BUCKETS", "gs://A b-", "as bucket names are"),
        ("BUCKETS", "gs://acme..org-", "as bucket names are"),
        ("BUCKETS", f"gs://{'a' * 45}", "at most 44 characters"),
        ("BUCKETS", "file://buckets", "file:///<absolute folder>/ on a laptop"),
        ("BUCKETS", "/srv/buckets", "file:///<absolute folder>/ on a laptop"),
        ("REGISTRY", "example.com/data", "https://…, ssh://…, <user>@<host>:<path>"),
        ("REGISTRY", "http://example.com/data.git", "https://…, ssh://…, <user>@<host>:<path>"),
        ("REGISTRY_SECRET", "Git token", "the name of a Kubernetes Secret"),
        ("REGISTRY_POOL", "one slot", "the name of an Airflow pool"),
        ("TRACKING_SECRET", "w&b", "the name of a Kubernetes Secret"),
        ("WEIGHTS", "imagenet", "auto, none, or the gs:// or file:/// URI of a safetensors file"),
        ("SITE", "site.json", "the URI of a document"),
        ("SITE_URL", "localhost:5000", "an address such as http://127.0.0.1:5000"),
        ("SITE_URL", "http://", "an address such as http://127.0.0.1:5000"),
        ("GCP_CONN", " ", "the id of an Airflow connection"),
        ("KUBE_CONN", " ", "the id of an Airflow connection"),
        ("SCHEDULE", "every day", "a cron expression of five fields"),
        ("SCHEDULE", "a b c d e", "a cron expression of five fields"),
        ("SCHEDULE", "30 25 * * *", "a cron expression of five fields"),
        ("SCHEDULE", "* * * * * *", "a cron expression of five fields"),
        ("SCHEDULE", "@never", "a cron expression of five fields"),
        ("RETRY_DELAY", "soon", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "-1", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "3601", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "nan", "seconds, from 0 to 3600"),
        ("POLL", "61", "seconds, from 1 to 60"),
        ("POLL", "0.5", "seconds, from 1 to 60"),
        ("DEFERRABLE", "yes", "true or false"),
        ("CLUSTER", "menagerie", "projects/<project>/locations/<location>/clusters/<name>"),
        ("CLUSTER_ENDPOINT", "vpn", "one of: dns, private, public"),
        ("NAMESPACE", "Menagerie", "a Kubernetes namespace"),
        ("SITE_HOST", "https://animals.example.com", "a host name"),
        ("SITE_EXPOSE", "loadbalancer", "one of: gateway, ingress"),
        ("PODS", "{", 'JSON, such as {"train": {"memory": "32Gi"}}'),
        ("SPOT", "sort", "steps that may run on Spot nodes: predict,train"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_the_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read({f"MENAGERIE_{variable}": value})
    assert str(refusal.value).startswith(f"MENAGERIE_{variable} is {value!r}; set it to ")
    assert remedy in str(refusal.value)


# Steps as pods.


def test_the_website_of_the_pods_stands_beside_them() -> None:
    found = read(PODS)
    assert found.in_pods
    assert found.cluster == Cluster("acme", "europe-west1", "animals")
    assert found.cluster_endpoint == "dns"
    assert found.deferrable
    assert found.poll == 30
    assert found.site_url == found.site_link == "http://animals-website.menagerie.svc.cluster.local"
    elsewhere = read(PODS | {"MENAGERIE_NAMESPACE": "zoo", "MENAGERIE_SITE_HOST": "animals.example.com"})
    assert elsewhere.site_url == "http://animals-website.zoo.svc.cluster.local"
    assert elsewhere.site_link == "https://animals.example.com"


@pytest.mark.parametrize("missing", ["BUCKETS", "CLUSTER", "IMAGE", "SERVE_IMAGE"])
def test_pods_need_to_be_told_where_and_of_what(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"MENAGERIE_{missing} is ''; set it to "):
        read({key: value for key, value in PODS.items() if key != f"MENAGERIE_{missing}"})


def test_pods_have_no_registry_unless_one_is_named() -> None:
    assert read(PODS).registry == ""


def test_only_gke_needs_its_cluster_named() -> None:
    without = {key: value for key, value in PODS.items() if key != "MENAGERIE_CLUSTER"}
    assert read(without | {"MENAGERIE_LAUNCHER": "kubernetes"}).kube_conn == "kubernetes_default"


def test_an_image_is_named_by_digest() -> None:
    with pytest.raises(SettingsError, match="set it to an image by digest"):
        read(PODS | {"MENAGERIE_IMAGE": "example.com/train:latest"})


def test_the_table_of_resources_is_overridden() -> None:
    found = read(PODS | {"MENAGERIE_SPOT": "predict, train", "MENAGERIE_PODS": '{"train": {"memory": "32Gi"}}'})
    assert found.pods["train"].memory == "32Gi"
    assert {step for step, row in found.pods.items() if row.spot} == {"predict", "train"}
    with pytest.raises(SettingsError, match=r"MENAGERIE_PODS\.train\.memory is 'much'; set it to memory"):
        read(PODS | {"MENAGERIE_PODS": '{"train": {"memory": "much"}}'})


def test_settings_are_read_once_and_cannot_be_changed() -> None:
    assert settings() is settings()
    assert settings().buckets == f"file://{BUCKETS}/"
    with pytest.raises(FrozenInstanceError):
        settings().buckets = "gs://"  # type: ignore[misc]
