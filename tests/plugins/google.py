"""The edge of Google's own API: the cluster's address and the credentials, as the tests' cluster has them."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.google.cloud.hooks.kubernetes_engine import GKEHook
from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
from google.auth.credentials import Credentials

from tests.support.k8s.cluster import Cluster


class Token(Credentials):  # type: ignore[misc, no-untyped-call]
    """A credential of Google's that needs no Google."""

    def __init__(self, token: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = token

    def refresh(self, request: object) -> None:
        self.expiry = datetime.now() + timedelta(hours=1)


def replace_google(patch: pytest.MonkeyPatch, cluster: Cluster, token: str) -> None:
    """Let launcher `gke` reach the tests' cluster, with this token, by the cluster's private endpoint."""
    endpoint = SimpleNamespace(private_endpoint=f"127.0.0.1:{cluster.api.port}")
    authority = SimpleNamespace(cluster_ca_certificate=base64.b64encode(cluster.ca).decode())
    answer = SimpleNamespace(private_cluster_config=endpoint, master_auth=authority)
    patch.setattr(GKEHook, "get_cluster", lambda self, name, project_id: answer)
    google = Token(token), "acme"
    patch.setattr(GoogleBaseHook, "get_credentials_and_project_id", lambda self: google)
