"""A kubeconfig: how clients find a cluster and say who they are."""

from __future__ import annotations

import base64

import yaml


def render(server: str, authority: bytes, token: str, namespace: str) -> str:
    """`authority` is a certificate as PEM, empty for plain http."""
    cluster = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    }
    return str(yaml.safe_dump(config))
