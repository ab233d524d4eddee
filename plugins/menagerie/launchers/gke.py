"""Launcher `gke`: a step as a pod of the GKE cluster MENAGERIE_CLUSTER, reached with Google's own credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.google.cloud.operators.kubernetes_engine import GKEStartPodOperator
from kubernetes.client import CoreV1Api

from menagerie.launchers.pod_step import PodStep
from menagerie.settings import settings


class GKEStepOperator(PodStep, GKEStartPodOperator):
    template_fields: Sequence[str] = (*GKEStartPodOperator.template_fields, "argv")

    def __init__(self, *, argv: list[str], **kwargs: Any) -> None:
        super().__init__(argv=argv, **_cluster(), **kwargs)


def client() -> CoreV1Api:
    return GKEStartPodOperator(task_id="client", **_cluster()).client


def _cluster() -> dict[str, Any]:
    wanted = settings()
    assert wanted.cluster is not None  # settings.py has seen to it
    return {
        "project_id": wanted.cluster.project,
        "location": wanted.cluster.location,
        "cluster_name": wanted.cluster.name,
        "gcp_conn_id": wanted.gcp_conn,
        "use_dns_endpoint": wanted.cluster_endpoint == "dns",
        "use_internal_ip": wanted.cluster_endpoint == "private",
    }
