"""What is wrong with a pod, as tables of what the cluster says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client import models as k8s
from menagerie.launchers import autopsy, reaper
from menagerie.launchers.symptoms import ended, refused_by_all, stuck, warnings
from menagerie.resources import TABLE

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NODE = "0/3 nodes are available: "
SELECTOR = "3 node(s) didn't match Pod's node affinity/selector."


def pod(phase: str, *, age: float = 0, container: Any = None, conditions: Any = None, **status: Any) -> k8s.V1Pod:
    """`age`: seconds since it was created. `container`: the state of its container."""
    statuses = None
    if container is not None:
        statuses = [
            k8s.V1ContainerStatus(
                name="base", state=container, image="i", image_id="", ready=False, restart_count=0, started=False
            )
        ]
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", labels={}, creation_timestamp=NOW - timedelta(seconds=age)),
        status=k8s.V1PodStatus(phase=phase, container_statuses=statuses, conditions=conditions, **status),
    )


def waiting(reason: str, message: str = "") -> k8s.V1ContainerState:
    return k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))


def over(code: int, reason: str = "Error") -> k8s.V1ContainerState:
    return k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, reason=reason))


def scheduled(status: str, message: str = "", ago: float = 0) -> list[k8s.V1PodCondition]:
    when = NOW - timedelta(seconds=ago)
    return [k8s.V1PodCondition(type="PodScheduled", status=status, message=message, last_transition_time=when)]


def event(reason: str, message: str = "", kind: str = "Normal", ago: float = 0) -> k8s.CoreV1Event:
    return k8s.CoreV1Event(
        reason=reason,
        message=message,
        type=kind,
        last_timestamp=NOW - timedelta(seconds=ago),
        metadata=k8s.V1ObjectMeta(),
        involved_object=k8s.V1ObjectReference(),
    )


@pytest.mark.parametrize(
    ("container", "why"),
    [
        (waiting("ContainerCreating"), None),
        (waiting("ErrImagePull", "i: not found"), "Image cannot be pulled, unable to start: ErrImagePull i: not found"),
        (waiting("ImagePullBackOff", "Back-off"), "Image cannot be pulled, unable to start: ImagePullBackOff Back-off"),
        (waiting("ErrImagePull", "429 Too Many Requests"), None),  # the registry asks for patience
        (waiting("InvalidImageName", "bad"), "Image cannot be pulled, unable to start: InvalidImageName bad"),
        (waiting("CrashLoopBackOff"), "its container cannot start: CrashLoopBackOff"),
        (
            waiting("CreateContainerConfigError", "secret not found"),
            "its container cannot start: CreateContainerConfigError: secret not found",
        ),
    ],
)
def test_a_container_that_waits(container: k8s.V1ContainerState, why: str | None) -> None:
    assert stuck(pod("Pending", container=container, conditions=scheduled("True")), [], NOW) == why


@pytest.mark.parametrize(
    ("message", "age", "reasons", "gives_up"),
    [
        ("3 Insufficient cpu.", 600, ["NotTriggerScaleUp"], False),  # others may end and make room
        ("3 Insufficient cpu.", 1201, [], True),
        (SELECTOR, 299, ["NotTriggerScaleUp"], False),
        (SELECTOR, 301, ["NotTriggerScaleUp"], True),
        (SELECTOR, 301, [], True),  # no autoscaler at all
        (SELECTOR, 1199, ["TriggeredScaleUp"], False),  # a node comes
        (SELECTOR, 1201, ["TriggeredScaleUp"], True),
    ],
)
def test_a_pod_without_a_node(message: str, age: float, reasons: list[str], gives_up: bool) -> None:
    waits = pod("Pending", age=age, conditions=scheduled("False", NODE + message))
    why = stuck(waits, [event(reason) for reason in reasons], NOW)
    assert (why is not None) == gives_up
    assert why is None or message in why


def test_a_container_that_takes_too_long_to_start() -> None:
    creating = waiting("ContainerCreating")
    assert stuck(pod("Pending", age=2400, container=creating, conditions=scheduled("True", ago=1199)), [], NOW) is None
    late = stuck(pod("Pending", age=2400, container=creating, conditions=scheduled("True", ago=1201)), [], NOW)
    assert late == "its container did not start within 20 minutes after it got a node"


def test_a_pod_that_runs_is_not_stuck() -> None:
    assert stuck(pod("Running", age=9999), [], NOW) is None


@pytest.mark.parametrize(
    ("message", "by_all"),
    [
        (NODE + SELECTOR, True),
        (NODE + "3 node(s) had untolerated taint {nvidia.com/gpu: present}. preemption: 0/3 nodes are available", True),
        (NODE + "1 node(s) had untolerated taint {a: b}, 2 node(s) didn't match Pod's node affinity/selector.", True),
        (NODE + "1 Insufficient memory, 2 node(s) didn't match Pod's node affinity/selector.", False),
        (NODE + "3 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.", False),
        (NODE + "3 node(s) had untolerated taint {ToBeDeletedByClusterAutoscaler: 1}.", False),
        ("no nodes available to schedule pods", False),
        ("", False),
    ],
)
def test_whether_every_node_refuses_the_pod_for_what_it_asks(message: str, by_all: bool) -> None:
    assert refused_by_all(message) == by_all


def disrupted(reason: str) -> list[k8s.V1PodCondition]:
    return [k8s.V1PodCondition(type="DisruptionTarget", status="True", reason=reason, message="for another pod")]


@pytest.mark.parametrize(
    ("dead", "why", "kind"),
    [
        (None, "lost its pod: it was deleted, or its node was. A retry starts a new one", ""),
        (pod("Failed", container=over(137, "OOMKilled")), "ran out of memory (OOMKilled, exit code 137)", "memory"),
        (
            pod("Failed", container=over(137)),
            "was killed (exit code 137: SIGKILL, most often for lack of memory)",
            "memory",
        ),
        (pod("Failed", container=over(143)), "was stopped (exit code 143: SIGTERM). A retry starts a new pod", ""),
        (pod("Failed", container=over(2)), "ended with code 2 and without a result", ""),
        (pod("Succeeded", container=over(0)), "ended with code 0 and without a result", ""),
        (pod("Failed", reason="DeadlineExceeded"), "ran longer than its 60 seconds", "deadline"),
        (
            pod("Failed", reason="Evicted", message="low on resource: memory."),
            "was evicted from its node: low on resource: memory.",
            "memory",
        ),
        (
            pod("Failed", reason="Evicted", message="Usage of EmptyDir volume exceeds the limit"),
            "was evicted from its node: Usage of EmptyDir volume exceeds the limit",
            "storage",
        ),
        (
            pod("Failed", conditions=disrupted("PreemptionByScheduler"), container=over(143)),
            "was taken off its node (PreemptionByScheduler: for another pod). A retry starts a new pod",
            "",
        ),
        (
            pod("Failed", reason="Terminated", message="node shutdown", container=over(137)),
            "lost its node (Terminated: node shutdown). A retry starts a new pod",
            "",
        ),
        (pod("Failed", reason="OutOfcpu"), "ended before its container started (OutOfcpu)", ""),
    ],
)
def test_why_a_pod_ended(dead: k8s.V1Pod | None, why: str, kind: str) -> None:
    assert ended(dead, 60) == (why, kind)


def test_the_latest_events_that_tell_of_trouble() -> None:
    seen = [
        event("FailedMount", "late", "Warning", ago=1),
        event("Pulled", "fine"),
        event("BackOff", "early", "Warning", ago=9),
        event("NotTriggerScaleUp", "no node would help", ago=5),
    ]
    assert warnings(seen, 2) == ["NotTriggerScaleUp: no node would help", "FailedMount: late"]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("memory", '{"train": {"memory": "32Gi"}}'),
        ("storage", '{"train": {"storage": "20Gi"}}'),
        ("deadline", '{"train": {"deadline": 86400}}'),
    ],
)
def test_the_remedy_is_twice_as_much(kind: str, change: str) -> None:
    assert change in autopsy.more("train", kind, TABLE["train"])


# The reaper.


def test_of_its_own_run_it_leaves_what_failed_and_of_others_what_failed_lately() -> None:
    def of(run: str, phase: str, age: float) -> k8s.V1Pod:
        found = pod(phase, age=age)
        found.metadata.labels["menagerie.dev/run"] = run
        return found

    day = 24 * 3600
    pods = [
        *(of("this", "Running", 60), of("this", "Succeeded", 60), of("this", "Pending", 60)),
        *(of("this", "Failed", 60), of("other", "Failed", day - 60), of("other", "Running", day + 60)),
        *(of("other", "Failed", day + 60), of("other", "Succeeded", day + 60)),
    ]
    assert [found for found, _ in reaper.doomed(pods, "this", NOW)] == [*pods[:3], *pods[6:]]
