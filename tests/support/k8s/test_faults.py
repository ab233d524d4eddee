"""Misfortunes of the test cluster's pods."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3.exceptions
from kubernetes.client import ApiException

from tests.support.k8s.cluster import Cluster
from tests.support.k8s.documents import pod
from tests.support.k8s.looks import COUNT, SLEEP, await_phase, create, read, terminated, told


def test_an_image_that_cannot_be_pulled(core: Any, cluster: Cluster) -> None:
    cluster.fault("image-pull", {"app": "step"}, message="manifest unknown")
    name = create(core, pod(COUNT))
    cluster.wait(lambda: "BackOff" in told(core, name))
    waiting = core.read_namespaced_pod(name, "menagerie").status.container_statuses[0].state.waiting
    assert waiting.reason == "ImagePullBackOff"
    assert "manifest unknown" in waiting.message
    with pytest.raises(ApiException, match="waiting to start: trying and failing to pull image"):
        core.read_namespaced_pod_log(name, "menagerie")
    core.delete_namespaced_pod(name, "menagerie")
    cluster.wait(lambda: not cluster.pods())
    await_phase(core, cluster, create(core, pod(COUNT)), "Succeeded")  # it was ordered once


def test_a_pod_no_node_has_room_for(core: Any, cluster: Cluster) -> None:
    cluster.fault("unschedulable", message="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    name = create(core, pod(COUNT))
    cluster.wait(lambda: "NotTriggerScaleUp" in told(core, name))
    [scheduled] = core.read_namespaced_pod(name, "menagerie").status.conditions
    assert (scheduled.type, scheduled.status, scheduled.reason) == ("PodScheduled", "False", "Unschedulable")
    assert "nvidia.com/gpu" in told(core, name)["FailedScheduling"]


@pytest.mark.parametrize(
    ("fault", "code", "container_reason", "pod_reason"),
    [("oom", 137, "OOMKilled", None), ("evict", 137, "Error", "Evicted"), ("preempt", 143, "Error", "Terminated")],
)
def test_a_pod_is_struck_when_it_has_written_a_line(
    core: Any, cluster: Cluster, fault: str, code: int, container_reason: str, pod_reason: str | None
) -> None:
    struck = cluster.fault(fault, {"app": "step"}, at_line="asleep")
    name = create(core, pod(SLEEP))
    found = await_phase(core, cluster, name, "Failed")
    cluster.wait(lambda: core.read_namespaced_pod(name, "menagerie").status.reason == pod_reason)
    assert (terminated(found).exit_code, terminated(found).reason) == (code, container_reason)
    assert struck.hits == [name]
    assert read(core, name) == "asleep\n"


def test_a_pod_vanishes_with_its_node(core: Any, cluster: Cluster) -> None:
    cluster.fault("vanish", at_line="asleep")
    create(core, pod(SLEEP))
    cluster.wait(lambda: not cluster.pods())


def test_a_log_stream_is_cut(core: Any, cluster: Cluster) -> None:
    cluster.fault("cut-log", after=2)
    name = create(core, pod(COUNT))
    await_phase(core, cluster, name, "Running", "Succeeded")
    stream = core.read_namespaced_pod_log(name, "menagerie", follow=True, _preload_content=False)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        stream.read()
    assert read(core, name, follow=True).count("line") == 5
