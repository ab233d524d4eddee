"""Launcher `kubernetes`: a step as a pod of the cluster that an Airflow connection names (kubeconfig or in-cluster)."""

from __future__ import annotations

from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes.client import CoreV1Api

from menagerie.launchers.pod_step import PodStep
from menagerie.settings import settings


class KubernetesStepOperator(PodStep):
    def __init__(self, *, argv: list[str], **kwargs: Any) -> None:
        super().__init__(argv=argv, kubernetes_conn_id=settings().kube_conn, **kwargs)


def client() -> CoreV1Api:
    return KubernetesHook(conn_id=settings().kube_conn).core_v1_client
