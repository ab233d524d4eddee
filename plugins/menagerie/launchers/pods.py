"""A step as a pod: what Kubernetes is asked for. Pure functions; nothing here talks to a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from kubernetes.client import models as k8s

from menagerie.resources import Resources

CONTAINER = "base"  # the name that Airflow's operator looks for
COMMAND = ["python", "-m", "model_service"]
USER = 10001  # the image's numeric user, so that runAsNonRoot can be checked before the image runs
GRACE = 30  # seconds between SIGTERM and SIGKILL
SPOT_GRACE = 15  # of them, what GKE leaves a pod whose Spot node is taken away
NEEDS_API = ("deploy",)  # the steps that talk to the cluster
UNDISTURBED = ("train",)  # the steps that the cluster's autoscaler must not move to save a node
NEEDS_REGISTRY = ("snapshot", "train", "doctor")  # the steps that talk to the data registry's git server
NEEDS_TRACKING = ("train",)  # the steps that tell MLflow or Weights & Biases
REGISTRY_CREDENTIALS = "/run/secrets/menagerie-registry"  # a folder with the keys of the Secret as files
LONGEST_NAME = 63
_SPOT = "cloud.google.com/gke-spot"
_GPU = "nvidia.com/gpu"


def labels(*, dag: str, run: str, step: str, attempt: int | str) -> dict[str, str]:
    """By which the reaper and people find a step's pods. Values are made safe: a label's are short and plain."""
    values = {"dag": dag, "run": run, "step": step, "try": str(attempt)}
    return {"app.kubernetes.io/managed-by": "menagerie"} | {
        f"menagerie.dev/{key}": label(value) for key, value in values.items()
    }


def label(value: str) -> str:
    """A label's value: at most 63 plain characters, the first and the last a letter or digit; what is changed has a hash."""
    return begun(make_safe_label_value(value))


def begun(value: str) -> str:
    """A label's value that Airflow made: of a text without a letter or digit it leaves a dash, and the hash."""
    return value.lstrip("-")


def name(step: str, run: str) -> str:
    """What the pod's name begins with; Airflow shortens it further and adds a random suffix, but refuses a very long one."""
    return f"menagerie-{step}-{run}"[:LONGEST_NAME]


def pod(
    *,
    step: str,
    image: str,
    argv: list[str],
    resources: Resources,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    registry_secret: str = "",
    tracking_secret: str = "",
) -> k8s.V1Pod:
    """Secrets are given by their names, as they are for all steps: only a step that needs one gets it."""
    registry_secret = registry_secret if step in NEEDS_REGISTRY else ""
    tracking_secret = tracking_secret if step in NEEDS_TRACKING else ""
    # On a Spot node Autopilot refuses the annotation: such a node ends when it ends.
    still = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    undisturbed = step in UNDISTURBED and not resources.spot
    return k8s.V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=k8s.V1ObjectMeta(labels=dict(labels), annotations=dict(annotations) | (still if undisturbed else {})),
        spec=k8s.V1PodSpec(
            restart_policy="Never",
            active_deadline_seconds=resources.deadline,
            termination_grace_period_seconds=grace(resources),
            service_account_name=resources.service_account,
            automount_service_account_token=step in NEEDS_API,
            priority_class_name=resources.priority or None,
            node_selector=_node_selector(resources),
            tolerations=_tolerations(resources),
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=USER,
                run_as_group=USER,
                fs_group=USER,
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            volumes=[
                k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=resources.storage)),
                *_volumes(registry_secret),
            ],
            containers=[_container(image, argv, resources, registry_secret, tracking_secret)],
        ),
    )


def grace(resources: Resources) -> int:
    return SPOT_GRACE if resources.spot else GRACE


def _volumes(registry_secret: str) -> list[k8s.V1Volume]:
    # Readable for the pod's group, which is ours alone; the files are root's, so that ssh takes such a key.
    source = k8s.V1SecretVolumeSource(secret_name=registry_secret, default_mode=0o440)
    return [k8s.V1Volume(name="registry", secret=source)] if registry_secret else []


def _container(
    image: str, argv: list[str], resources: Resources, registry_secret: str, tracking_secret: str
) -> k8s.V1Container:
    wanted = {"memory": resources.memory, "ephemeral-storage": resources.storage}
    gpus = {_GPU: str(resources.gpus)} if resources.gpus else {}
    return k8s.V1Container(
        name=CONTAINER,
        image=image,
        command=COMMAND,
        args=argv,
        env=[
            k8s.V1EnvVar(name="HOME", value="/tmp"),  # noqa: S108 the pod's own
            k8s.V1EnvVar(name="PYTHONUNBUFFERED", value="1"),
            # A library would start a thread for each of the node's cores, of which this pod asks for a few.
            k8s.V1EnvVar(name="OMP_NUM_THREADS", value=str(max(1, math.floor(_number(resources.cpu))))),
            *(
                [k8s.V1EnvVar(name="MENAGERIE_REGISTRY_CREDENTIALS", value=REGISTRY_CREDENTIALS)]
                if registry_secret
                else []
            ),
        ],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=tracking_secret))]
        if tracking_secret
        else None,
        # No limit on CPU: it would be throttled while cores stand idle.
        resources=k8s.V1ResourceRequirements(requests=wanted | gpus | {"cpu": resources.cpu}, limits=wanted | gpus),
        # The end of the log is in the pod's status too, which outlives the node's log files.
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108
            *(
                [k8s.V1VolumeMount(name="registry", mount_path=REGISTRY_CREDENTIALS, read_only=True)]
                if registry_secret
                else []
            ),
        ],
        security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
    )


def _node_selector(resources: Resources) -> dict[str, str]:
    selector = dict(resources.node_selector)
    if resources.gpus and resources.gpu_type:
        selector["cloud.google.com/gke-accelerator"] = resources.gpu_type
    if resources.spot:
        selector[_SPOT] = "true"
    return selector


def _tolerations(resources: Resources) -> list[k8s.V1Toleration]:
    tolerated: list[Mapping[str, Any]] = list(resources.tolerations)
    if resources.gpus:
        tolerated.append({"key": _GPU, "operator": "Exists", "effect": "NoSchedule"})
    if resources.spot:
        tolerated.append({"key": _SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"})
    return [
        k8s.V1Toleration(
            key=one.get("key"),
            operator=one.get("operator"),
            value=one.get("value"),
            effect=one.get("effect"),
            toleration_seconds=one.get("tolerationSeconds"),
        )
        for one in tolerated
    ]


def _number(quantity: str) -> float:
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)
