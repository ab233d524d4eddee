"""Pods of the test cluster: real processes, with what the kubelet tells of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import kubernetes_asyncio
import pytest
import urllib3.exceptions
from kubernetes.client import ApiException

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import pod
from tests.support.k8s.looks import COUNT, SLEEP, STUBBORN, await_phase, create, log, read, terminated, told
from tests.support.k8s.node import REPOSITORY


def test_a_pod_runs_and_succeeds(core: Any, cluster: Cluster) -> None:
    made = core.create_namespaced_pod("menagerie", pod(COUNT))
    assert made.status.phase == "Pending"
    assert made.metadata.name.startswith("step-")
    assert made.metadata.uid
    assert made.metadata.creation_timestamp
    found = await_phase(core, cluster, made.metadata.name, "Succeeded")
    assert (terminated(found).exit_code, terminated(found).reason) == (0, "Completed")
    assert terminated(found).started_at <= terminated(found).finished_at
    assert {c.type: c.status for c in found.status.conditions}["PodScheduled"] == "True"
    assert {"Scheduled", "Pulling", "Pulled", "Started"} <= told(core, made.metadata.name).keys()


def test_a_pod_that_fails_says_so(core: Any, cluster: Cluster) -> None:
    found = await_phase(core, cluster, create(core, pod("raise SystemExit(7)")), "Failed")
    assert (terminated(found).exit_code, terminated(found).reason) == (7, "Error")


def test_the_log_is_followed_with_timestamps(core: Any, cluster: Cluster) -> None:
    name = create(core, pod(COUNT))
    await_phase(core, cluster, name, "Running")
    stream = core.read_namespaced_pod_log(
        name, "menagerie", container="base", follow=True, timestamps=True, _preload_content=False
    )
    lines = [line.decode().rstrip("\n") for line in stream]
    assert [line.split(" ", 1)[1] for line in lines] == [f"line {n}" for n in range(5)]
    stamps = [line.split(" ", 1)[0] for line in lines]
    assert stamps == sorted(stamps)
    assert len(stamps[0]) == len("2026-11-21T10:00:00.000000000Z")


def test_the_log_is_read_from_where_it_is_wanted(core: Any, cluster: Cluster) -> None:
    name = create(core, pod("print('old'); import time; time.sleep(2.2); print('new'); print('newest')"))
    await_phase(core, cluster, name, "Succeeded")
    assert read(core, name) == "old\nnew\nnewest\n"
    assert read(core, name, tail_lines=1) == "newest\n"
    assert read(core, name, since_seconds=1) == "new\nnewest\n"


def test_two_watch_one_log_over_the_asynchronous_client(core: Any, cluster: Cluster) -> None:
    name = create(core, pod(COUNT))

    async def follow() -> list[str]:
        configuration = kubernetes_asyncio.client.Configuration()
        await kubernetes_asyncio.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
        async with kubernetes_asyncio.client.ApiClient(configuration) as client:
            api = kubernetes_asyncio.client.CoreV1Api(client)
            watch = kubernetes_asyncio.watch.Watch()
            async for event in watch.stream(api.list_namespaced_pod, "menagerie", timeout_seconds=10):
                if event["object"].status.phase == "Running":
                    break
            await watch.close()
            return await asyncio.gather(
                *(api.read_namespaced_pod_log(name, "menagerie", follow=True) for _ in range(2))
            )

    first, second = asyncio.run(follow())
    assert first == second == "".join(f"line {n}\n" for n in range(5))


def test_a_deleted_pod_gets_sigterm_and_is_gone_afterwards(core: Any, cluster: Cluster) -> None:
    name = create(core, pod(SLEEP))
    await_phase(core, cluster, name, "Running")
    core.delete_namespaced_pod(name, "menagerie")
    cluster.wait(lambda: not cluster.pods(), seconds=5)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_pod(name, "menagerie")
    assert gone.value.status == 404


def test_a_pod_that_does_not_heed_sigterm_is_killed_after_its_grace(core: Any, cluster: Cluster) -> None:
    name = create(core, pod(STUBBORN, terminationGracePeriodSeconds=1))
    cluster.wait(lambda: "up" in log(core, name))
    begun = time.monotonic()
    core.delete_namespaced_pod(name, "menagerie")
    assert cluster.pods()[0]["metadata"]["deletionTimestamp"]
    cluster.wait(lambda: not cluster.pods())
    assert 0.9 < time.monotonic() - begun < 5


def test_a_pod_past_its_deadline_is_ended(core: Any, cluster: Cluster) -> None:
    found = await_phase(core, cluster, create(core, pod(SLEEP, activeDeadlineSeconds=1)), "Failed")
    assert found.status.reason == "DeadlineExceeded"
    assert terminated(found).exit_code == 143


def test_config_maps_are_files_and_the_api_is_found_from_inside(core: Any, cluster: Cluster) -> None:
    manifest = """
    {apiVersion: v1, kind: ConfigMap, metadata: {name: site}, data: {site.json: '{"version": "v1"}'}}
    ---
    {apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}
    ---
    {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader},
     rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
    ---
    {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader},
     roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader},
     subjects: [{kind: ServiceAccount, name: reader, namespace: menagerie}]}
    """
    code = """
import json, os, sys, urllib.parse
from lightkube import ApiError, Client
from lightkube.resources.core_v1 import Pod
print(json.load(open(urllib.parse.urlsplit(sys.argv[1]).path))["version"], os.environ["GREETING"], sys.argv[2])
client = Client()
print(client.get(Pod, name=os.environ["HOSTNAME"]).spec.serviceAccountName)
try:
    list(client.list(Pod))
except ApiError as error:
    print(error.status.code, error.status.reason)
"""
    container = {
        "args": [code, "file:///etc/menagerie/site.json", "http://site.menagerie.svc.cluster.local/predict"],
        "env": [{"name": "GREETING", "value": "hello"}],
        "volumeMounts": [{"name": "site", "mountPath": "/etc/menagerie"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "site", "configMap": {"name": "site"}}, {"name": "tmp", "emptyDir": {}}]
    cluster.apply(textwrap.dedent(manifest))
    name = create(core, pod(code, container=container, volumes=volumes, serviceAccountName="reader"))
    await_phase(core, cluster, name, "Succeeded", "Failed")
    expected = f"v1 hello {cluster.service_url('site')}/predict\nreader\n403 Forbidden\n"
    assert read(core, name) == expected


def test_a_config_map_that_is_missing_holds_the_pod_up(core: Any, cluster: Cluster) -> None:
    mount = {"volumeMounts": [{"name": "site", "mountPath": "/etc/menagerie"}]}
    name = create(core, pod(COUNT, container=mount, volumes=[{"name": "site", "configMap": {"name": "site"}}]))
    cluster.wait(lambda: "FailedMount" in told(core, name))
    assert 'configmap "site" not found' in told(core, name)["FailedMount"]
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site"}, "data": {}})
    await_phase(core, cluster, name, "Succeeded")


def test_pods_go_on_while_the_api_server_is_away(core: Any, cluster: Cluster) -> None:
    name = create(core, pod(COUNT))
    await_phase(core, cluster, name, "Running")
    stream = core.read_namespaced_pod_log(name, "menagerie", follow=True, _preload_content=False)
    cluster.stop_api()
    with pytest.raises(urllib3.exceptions.HTTPError):
        stream.read()
    cluster.wait(lambda: cluster.pods()[0]["status"]["phase"] == "Succeeded")
    cluster.start_api()
    assert read(core, name).count("line") == 5


def test_nothing_outlives_a_test_run_that_ends_without_closing_its_cluster(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import pod
cluster = Cluster(pathlib.Path({str(tmp_path)!r})).__enter__()
cluster.apply(pod("import os, time; print(os.getpid()); time.sleep(1000)", "p"))
pid = cluster.wait(lambda: cluster.log("p").strip())
print(pid)
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)
