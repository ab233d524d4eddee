"""What deploy makes of the API's answers: told apart, in words, asked again where that helps."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_service.deploy import cluster as module
from model_service.deploy.cluster import Changed, Cluster, Unreachable
from model_service.errors import StepError

Object = dict[str, Any]
DEPLOYMENT: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "animals-website"}}


def status(code: int, reason: str, message: str, **details: Any) -> tuple[int, Object]:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return code, body | {"code": code, "details": details}


class Api:
    """Answers with what it is given, in turn; the last answer again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []

    def serve(self) -> ThreadingHTTPServer:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                api.asked.append((self.command, self.path, json.loads(self.rfile.read(length) or "null")))
                code, body = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
                text = body if isinstance(body, str) else json.dumps(body)
                self.send_response(code)
                if not isinstance(body, str):
                    self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PATCH = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                pass

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def kubeconfig(path: Path, port: int) -> None:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(config))


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with api.serve() as server:
        kubeconfig(tmp_path / "config", server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def connect(seconds: float = 10.0) -> Cluster:
    return Cluster("zoo", time.monotonic() + seconds)


def test_apply_is_server_side_under_our_name_and_never_by_force(api: Api) -> None:
    api.answers = [(200, DEPLOYMENT)]
    connect().apply(DEPLOYMENT, dry_run=True)
    connect().apply(DEPLOYMENT)
    (method, dry, body), (_, real, _) = api.asked
    assert (method, body) == ("PATCH", DEPLOYMENT)
    path = "/apis/apps/v1/namespaces/zoo/deployments/animals-website"
    assert dry == f"{path}?dryRun=All&fieldManager=menagerie"
    assert real == f"{path}?fieldManager=menagerie"


def test_what_is_not_there_is_none(api: Api) -> None:
    api.answers = [status(404, "NotFound", 'deployments.apps "animals-website" not found')]
    assert connect().get("Deployment", "animals-website") is None
    assert connect().delete("Deployment", "animals-website") is False


def test_fields_a_newer_cluster_adds_are_kept(api: Api) -> None:
    newer = DEPLOYMENT | {"spec": {"aFieldOfTomorrow": {"deep": [1]}}}
    api.answers = [(200, newer)]
    assert connect().get("Deployment", "animals-website") == newer
    api.answers = [(200, {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": [newer]})]
    assert connect().list("Deployment", {"a": "b"}, {"metadata.name": "c"}) == [newer]
    assert api.asked[-1][1].endswith("?labelSelector=a%3Db&fieldSelector=metadata.name%3Dc")


@pytest.mark.parametrize("passing", [429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(api: Api, passing: int) -> None:
    api.answers = [status(passing, "Busy", "later"), (passing, "a proxy's page"), (200, DEPLOYMENT)]
    assert connect().apply(DEPLOYMENT) == DEPLOYMENT
    assert len(api.asked) == 3


def test_what_does_not_pass_in_time_may_be_tried_again_later(api: Api) -> None:
    api.answers = [status(503, "ServiceUnavailable", "etcd is gone")]
    with pytest.raises(Unreachable, match=r"does not get Deployment x: HTTP 503: etcd is gone") as caught:
        connect(0.05).get("Deployment", "x")
    assert caught.value.retry


def test_nobody_at_the_address_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        kubeconfig(tmp_path / "config", nobody.getsockname()[1])
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with pytest.raises(Unreachable, match="ConnectError"):
            connect(0).get("Deployment", "x")


def test_without_a_cluster_the_remedy_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(StepError, match="no cluster to deploy to") as caught:
        connect()
    assert "KUBECONFIG" in caught.value.remedy


def test_a_right_that_is_missing_is_named_with_the_role_that_gives_it(api: Api) -> None:
    api.answers = [status(403, "Forbidden", 'User "x" cannot patch resource "deployments"')]
    with pytest.raises(StepError, match=r"verb patch on deployments of apps") as caught:
        connect().apply(DEPLOYMENT)
    assert not caught.value.retry
    assert "menagerie-deploy" in caught.value.remedy
    assert "with namespace zoo in it" in caught.value.remedy
    with pytest.raises(StepError, match=r"verb get on pods/log\)"):
        connect().log("p", 5)


def test_a_field_somebody_else_owns_is_named_with_its_owner(api: Api) -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "field": ".spec.template",
            "message": 'conflict with "kubectl-edit" using v1',
        },
        {"reason": "FieldManagerConflict", "field": ".spec.paused", "message": 'conflict with "argocd"'},
    ]
    api.answers = [status(409, "Conflict", "Apply failed with 2 conflicts", causes=causes)]
    with pytest.raises(
        StepError, match=r"\.spec\.template \(set by kubectl-edit\), \.spec\.paused \(set by argocd\)"
    ) as caught:
        connect().apply(DEPLOYMENT)
    assert not caught.value.retry
    assert "--force-conflicts" in caught.value.remedy


def test_an_object_that_changed_since_it_was_read_is_no_conflict_of_fields(api: Api) -> None:
    api.answers = [status(409, "Conflict", "the object has been modified")]
    with pytest.raises(Changed, match="changed by somebody else"):
        connect().apply(DEPLOYMENT)


def test_a_kind_or_namespace_the_cluster_does_not_have_is_said_so(api: Api) -> None:
    api.answers = [status(404, "NotFound", 'namespaces "zoo" not found')]
    with pytest.raises(StepError, match='namespaces "zoo" not found') as caught:
        connect().apply(DEPLOYMENT)
    assert "namespace zoo exists" in caught.value.remedy


def test_an_object_the_cluster_finds_invalid_is_said_so_at_once(api: Api) -> None:
    api.answers = [status(422, "Invalid", "spec.replicas: must be positive")]
    with pytest.raises(StepError, match=r"HTTP 422: spec\.replicas: must be positive"):
        connect().apply(DEPLOYMENT)
    assert len(api.asked) == 1
