"""Looking after pods through the cluster's API, which may be away for minutes while it is upgraded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import KubernetesApiException
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.client import models as k8s
from urllib3.exceptions import HTTPError

OUTAGE = 600.0  # seconds that the API may be away before the task gives up; its pod goes on, and a retry finds it
PAUSE = 5.0  # seconds between two attempts to reach it
_PASSING = {401, 408, 429, 500, 502, 503, 504}  # 401: a token that has just expired
T = TypeVar("T")
_UNREACHED = (HTTPError, KubernetesApiException, OSError)


def look(client: Callable[[], CoreV1Api], pod: k8s.V1Pod, refresh: Callable[[], None]) -> k8s.V1Pod | None:
    """The pod as it is now; None: it is gone. As patient as `ask`."""
    try:
        return ask(lambda: client().read_namespaced_pod(pod.metadata.name, pod.metadata.namespace), refresh)
    except ApiException as refusal:
        if refusal.status == 404:
            return None
        raise


def ask(question: Callable[[], T], refresh: Callable[[], None]) -> T:
    """The API's answer, once it gives one. `refresh` renews the credentials. Raises what the API says after OUTAGE."""
    end = time.monotonic() + OUTAGE
    while True:
        try:
            return question()
        except ApiException as refusal:
            if refusal.status not in _PASSING or time.monotonic() > end:
                raise
            if refusal.status == 401:
                refresh()
        except _UNREACHED:
            if time.monotonic() > end:
                raise
        time.sleep(PAUSE)


def discard(client: CoreV1Api, pod: k8s.V1Pod, grace: int | None = None) -> None:
    """Delete a pod; it is no error that it is gone already."""
    try:
        client.delete_namespaced_pod(
            pod.metadata.name, pod.metadata.namespace, body=k8s.V1DeleteOptions(grace_period_seconds=grace)
        )
    except ApiException as refusal:
        if refusal.status != 404:
            raise
