"""Kubernetes objects for tests of the cluster itself."""

from __future__ import annotations

from typing import Any

from tests.support.k8s.errors import Json

IMAGE = f"registry.test/menagerie@sha256:{'0' * 64}"


def pod(code: str, name: str = "", **spec: Any) -> Json:
    """A pod that runs some Python; of a generated name unless it is given one."""
    named = {"name": name} if name else {"generateName": "step-"}
    container = {"name": "base", "image": IMAGE, "command": ["python", "-c"], "args": [code]}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**named, "labels": {"app": "step"}},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


def deployment(text: str = "one", replicas: int = 2, **spec: Any) -> Json:
    """The little website of site_pod.py, which answers with `text`."""
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 3}
    container = {
        "name": "site",
        "image": IMAGE,
        "command": ["python", "-m", "tests.support.k8s.site_pod"],
        "args": ["0.0.0.0:5000", text],
        "ports": [{"name": "http", "containerPort": 5000}],
        "readinessProbe": probe,
        # for connections that were on their way when the pod left the endpoints
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
    }
    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "site", "namespace": "menagerie"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "site"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": {"metadata": {"labels": {"app": "site"}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def service() -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "site", "namespace": "menagerie"},
        "spec": {"selector": {"app": "site"}, "ports": ports},
    }
