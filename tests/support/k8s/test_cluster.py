"""The API of the test cluster, asked through both official clients and over plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.watch
import kubernetes_asyncio
import pytest
import urllib3.exceptions
from kubernetes.client import ApiException

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import deployment, pod
from tests.support.k8s.errors import Json


def config_map(name: str = "site", labels: Json | None = None, **rest: Any) -> Json:
    meta = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"version": "1"}, **rest}


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """Status and reason of the Status document that refuses a call."""
    with pytest.raises(ApiException) as error:
        call(*args, **kwargs)
    document = json.loads(error.value.body)
    assert document["kind"] == "Status"
    return error.value.status, document["reason"]


def test_what_is_created_is_found_until_it_is_deleted(core: Any) -> None:
    made = core.create_namespaced_config_map("menagerie", config_map())
    assert core.read_namespaced_config_map("site", "menagerie").data == {"version": "1"}
    assert refused(core.create_namespaced_config_map, "menagerie", config_map()) == (409, "AlreadyExists")
    status = core.delete_namespaced_config_map("site", "menagerie")
    assert (status.status, status.details.uid) == ("Success", made.metadata.uid)
    assert refused(core.read_namespaced_config_map, "site", "menagerie") == (404, "NotFound")
    assert refused(core.delete_namespaced_config_map, "site", "menagerie") == (404, "NotFound")
    assert refused(core.create_namespaced_config_map, "nowhere", config_map()) == (404, "NotFound")


def test_labels_and_fields_select(core: Any) -> None:
    for name, labels in (("a", {"app": "x", "tier": "1"}), ("b", {"app": "x"}), ("c", {"app": "y"})):
        core.create_namespaced_config_map("menagerie", config_map(name, labels))

    def names(**how: str) -> list[str]:
        return [one.metadata.name for one in core.list_namespaced_config_map("menagerie", **how).items]

    assert names(label_selector="app=x") == ["a", "b"]
    assert names(label_selector="app in (x, y),!tier") == ["b", "c"]
    assert names(label_selector="app!=x") == ["c"]
    assert names(label_selector="tier") == ["a"]
    assert names(field_selector="metadata.name=b") == ["b"]
    with pytest.raises(ApiException, match="field label not supported"):
        names(field_selector="data.version=1")


def test_lists_come_in_chunks_when_asked(core: Any) -> None:
    for name in "abc":
        core.create_namespaced_config_map("menagerie", config_map(name))
    first = core.list_namespaced_config_map("menagerie", limit=2)
    rest = core.list_namespaced_config_map("menagerie", limit=2, _continue=first.metadata._continue)
    assert [[one.metadata.name for one in page.items] for page in (first, rest)] == [["a", "b"], ["c"]]


def test_an_update_of_a_stale_version_is_refused(core: Any) -> None:
    made = core.create_namespaced_config_map("menagerie", config_map())
    core.patch_namespaced_config_map("site", "menagerie", {"data": {"other": "2"}})
    assert refused(core.replace_namespaced_config_map, "site", "menagerie", made) == (409, "Conflict")
    fresh = core.read_namespaced_config_map("site", "menagerie")
    fresh.data = {"version": "3"}
    assert core.replace_namespaced_config_map("site", "menagerie", fresh).data == {"version": "3"}


def test_patches_of_all_kinds(core: Any, cluster: Cluster) -> None:
    cluster.fault("unschedulable")
    core.create_namespaced_pod("menagerie", pod("pass", "p"))
    container = {"containers": [{"name": "base", "image": "other"}]}
    patched = core.patch_namespaced_pod("p", "menagerie", {"metadata": {"labels": {"a": "b"}}, "spec": container})
    assert patched.metadata.labels == {"app": "step", "a": "b"}
    assert (patched.spec.containers[0].image, patched.spec.containers[0].command) == ("other", ["python", "-c"])
    removal = [{"op": "remove", "path": "/metadata/labels/a"}]
    assert core.patch_namespaced_pod("p", "menagerie", removal).metadata.labels == {"app": "step"}
    restarts = {"spec": {"restartPolicy": "Always"}}
    assert refused(core.patch_namespaced_pod, "p", "menagerie", restarts) == (422, "Invalid")


def test_mistakes_are_refused(core: Any, apps: Any) -> None:
    mistaken = pod("pass")
    mistaken["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    strict = {"field_validation": "Strict"}
    assert refused(core.create_namespaced_pod, "menagerie", mistaken, **strict) == (400, "BadRequest")
    nameless = pod("pass", container={"name": None})
    assert refused(core.create_namespaced_pod, "menagerie", nameless) == (422, "Invalid")
    number = pod("pass", container={"env": [{"name": "A", "value": 1}]})
    assert refused(core.create_namespaced_pod, "menagerie", number) == (400, "BadRequest")
    labelled = pod("pass") | {"metadata": {"name": "p", "labels": {"run": "manual__2026-11-21T10:00:00+00:00"}}}
    assert refused(core.create_namespaced_pod, "menagerie", labelled) == (422, "Invalid")
    accountless = pod("pass", serviceAccountName="menagerie-step")
    assert refused(core.create_namespaced_pod, "menagerie", accountless) == (403, "Forbidden")
    fixed = core.create_namespaced_config_map("menagerie", config_map(immutable=True))
    fixed.data = {"version": "2"}
    assert refused(core.replace_namespaced_config_map, "site", "menagerie", fixed) == (422, "Invalid")
    both = deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})
    assert refused(apps.create_namespaced_deployment, "menagerie", both) == (422, "Invalid")


def test_the_generation_counts_changes_of_the_spec_only(apps: Any) -> None:
    def patch(body: Json, **how: str) -> int:
        return int(apps.patch_namespaced_deployment("site", "menagerie", body, **how).metadata.generation)

    apps.create_namespaced_deployment("menagerie", deployment(replicas=0))
    assert patch({"metadata": {"annotations": {"a": "b"}}}) == 1
    assert patch({"status": {"replicas": 7}}) == 1
    assert apps.read_namespaced_deployment("site", "menagerie").status.replicas is None
    assert patch({"spec": {"minReadySeconds": 1}}, dry_run="All") == 2
    assert apps.read_namespaced_deployment("site", "menagerie").metadata.generation == 1
    assert patch({"spec": {"minReadySeconds": 1}}) == 2
    status = apps.patch_namespaced_deployment_status("site", "menagerie", {"status": {"collisionCount": 1}, "spec": {}})
    assert (status.metadata.generation, status.status.collision_count) == (2, 1)


def test_a_watch_sees_changes_and_bookmarks_and_goes_on_from_a_version(core: Any) -> None:
    core.create_namespaced_config_map("menagerie", config_map("a", {"app": "x"}))
    version = core.list_namespaced_config_map("menagerie").metadata.resource_version
    core.patch_namespaced_config_map("a", "menagerie", {"data": {"version": "2"}})
    core.patch_namespaced_config_map("a", "menagerie", {"metadata": {"labels": {"app": "y"}}})
    core.create_namespaced_config_map("menagerie", config_map("b", {"app": "z"}))
    answer = core.list_namespaced_config_map(
        "menagerie",
        label_selector="app=x",
        resource_version=version,
        watch=True,
        allow_watch_bookmarks=True,
        timeout_seconds=2,
        _preload_content=False,
    )
    events = [json.loads(line) for line in answer.read().splitlines()]
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED", "BOOKMARK"]  # it left the selection
    assert int(events[2]["object"]["metadata"]["resourceVersion"]) > int(version)


def test_a_watch_from_a_forgotten_version_is_gone(core: Any, cluster: Cluster) -> None:
    version = core.list_namespaced_config_map("menagerie").metadata.resource_version
    core.create_namespaced_config_map("menagerie", config_map())
    cluster.compact()
    stream = kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, "menagerie", resource_version=version, timeout_seconds=2
    )
    with pytest.raises(ApiException) as gone:
        list(stream)
    assert gone.value.status == 410


def test_the_asynchronous_client_watches_too(cluster: Cluster) -> None:
    async def watch() -> list[tuple[str, str]]:
        configuration = kubernetes_asyncio.client.Configuration()
        await kubernetes_asyncio.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
        async with kubernetes_asyncio.client.ApiClient(configuration) as client:
            named = kubernetes_asyncio.client.V1ObjectMeta(name="site")
            api, seen = kubernetes_asyncio.client.CoreV1Api(client), []
            await api.create_namespaced_config_map("menagerie", kubernetes_asyncio.client.V1ConfigMap(metadata=named))
            async for event in kubernetes_asyncio.watch.Watch().stream(
                api.list_namespaced_config_map, "menagerie", timeout_seconds=1
            ):
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "ADDED":
                    await api.delete_namespaced_config_map("site", "menagerie")
            return seen

    assert asyncio.run(watch()) == [("ADDED", "site"), ("DELETED", "site")]


def test_the_api_server_comes_back_on_its_port_with_its_state(core: Any, cluster: Cluster) -> None:
    made = core.create_namespaced_config_map("menagerie", config_map())
    stream = core.list_namespaced_config_map("menagerie", watch=True, _preload_content=False)
    url = cluster.url
    cluster.stop_api()
    with pytest.raises(urllib3.exceptions.HTTPError):
        stream.read()
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.read_namespaced_config_map("site", "menagerie")
    cluster.start_api()
    assert cluster.url == url
    assert core.read_namespaced_config_map("site", "menagerie").metadata.uid == made.metadata.uid


def test_errors_can_be_ordered(core: Any, cluster: Cluster) -> None:
    cluster.refuse("GET", "/configmaps", 503, "ServiceUnavailable")
    assert refused(core.list_namespaced_config_map, "menagerie") == (503, "ServiceUnavailable")
    assert core.list_namespaced_config_map("menagerie").items == []
    assert len(cluster.asked("GET", "/configmaps")) == 2


def test_it_speaks_tls_to_who_has_its_authority(tmp_path: Path) -> None:
    with Cluster(tmp_path, tls=True, token="mine") as cluster:
        assert cluster.url.startswith("https://")
        assert base64.b64encode(cluster.ca).decode() in cluster.kubeconfig.read_text()
        with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
            assert client.configuration.ssl_ca_cert
            assert kubernetes.client.CoreV1Api(client).list_namespaced_pod("menagerie").items == []
            assert kubernetes.client.VersionApi(client).get_code().major == "1"
            groups = kubernetes.client.ApisApi(client).get_api_versions().groups
            assert {"apps", "gateway.networking.k8s.io", "networking.gke.io"} <= {group.name for group in groups}


def test_who_has_no_token_is_unknown(cluster: Cluster) -> None:
    with pytest.raises(urllib.request.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.url}/api/v1/namespaces/menagerie/pods")


def test_objects_of_all_kinds_are_kept(cluster: Cluster) -> None:
    versions = {
        "HorizontalPodAutoscaler": "autoscaling/v2", "PodDisruptionBudget": "policy/v1", "Ingress": "networking.k8s.io/v1",
        "NetworkPolicy": "networking.k8s.io/v1", "Gateway": "gateway.networking.k8s.io/v1",
        "HTTPRoute": "gateway.networking.k8s.io/v1", "ManagedCertificate": "networking.gke.io/v1",
    }  # fmt: skip
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "site"}, "maxReplicas": 3}
    specs = {"HorizontalPodAutoscaler": target, "NetworkPolicy": {"podSelector": {}}}
    for kind, version in versions.items():
        cluster.apply({"apiVersion": version, "kind": kind, "metadata": {"name": "site"}, "spec": specs.get(kind, {})})
        assert [one["kind"] for one in cluster.objects(kind)] == [kind]
