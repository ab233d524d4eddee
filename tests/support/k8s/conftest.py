"""These tests run in the airflow environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config
import pytest

from tests.support.k8s.cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, backoff=0.2) as cluster:
        yield cluster


@pytest.fixture
def core(cluster: Cluster) -> Iterator[Any]:
    """The official client's CoreV1Api."""
    with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield kubernetes.client.CoreV1Api(client)


@pytest.fixture
def apps(core: Any) -> Any:
    return kubernetes.client.AppsV1Api(core.api_client)
