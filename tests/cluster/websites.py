"""A website on a cluster, deployed by the real command line: on the tests' own cluster, or on a real one.

MENAGERIE_TEST_KUBECONFIG and MENAGERIE_TEST_IMAGE (target `serve`, by digest) lead to a real cluster, MENAGERIE_TEST_MODELS
to a bucket that its pods can read (their account `animals-website`) and this machine can write. The namespace is made when
it is missing. The website is asked through `kubectl proxy`.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import yaml
from kubernetes import client, config
from kubernetes.client import ApiException

from tests.support.k8s.cluster import Cluster

REPO = Path(__file__).parents[2]
PYTHON = REPO / ".menagerie/venv/model/bin/python"
MANIFESTS = REPO / "model_service/deploy/manifests"
ANY_IMAGE = f"registry.example/serve@sha256:{'0' * 64}"
# v1 and v2 differ in their answers; odd answers otherwise than when it was exported; rival disagrees with v1 altogether
MODELS = {
    "v1": {},
    "v2": {"bias": [0.3, 0.0, 0.0]},
    "odd": {"tested_with": [3.0, 0.0, 0.0]},
    "rival": {"bias": [0, 0, 9.0]},
}
PICTURE = base64.b64decode(  # a red square, 40 pixels a side
    "iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAIAAAADnC86AAAAMElEQVR4nO3NAQ0AAAQAMGTQP54cYtjsL/Cc7rhQJ6tYLBaLxWKxWCwWi8VisfhpvPfYAV64"
    "/J2CAAAAAElFTkSuQmCC"
)
_SAVE = """
import json, sys
from tests.model_service.tiny_model import save_tiny_model
for version, how in json.loads(sys.argv[2]).items():
    save_tiny_model(sys.argv[1], version, ["cat", "dog", "zebra"], **how)
"""
_POINT = """
import sys
from model_service import registry
models, version, previous = sys.argv[1:]
registry.move_champion(models, {"version": version, "previous": previous or None, "run": "r"}, registry.champion(models)[1])
"""
_READ = """
import json, sys
from model_service import registry
print(json.dumps(registry.champion(sys.argv[1])[0]))
"""


@dataclass
class Ran:
    """A command that ended: its exit code, all it said, and its result document."""

    code: int
    log: str
    result: dict[str, Any]

    @property
    def error(self) -> str:
        found: dict[str, str] = self.result["error"]
        return found["message"]


@dataclass
class Website:
    """`cluster` is None on a real cluster: there, nothing can be ordered to go wrong."""

    root: Path
    kubeconfig: Path
    namespace: str
    image: str
    models: str
    url: str
    cluster: Cluster | None
    deployer: Path = field(init=False)  # the kubeconfig deploy is given: of its own account, which has only the Role
    _runs: Iterator[int] = field(default_factory=itertools.count)
    _begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = config.new_client_from_config(str(self.kubeconfig))
        self.apps = client.AppsV1Api(self.api)
        self.deployer = self._account("menagerie-deploy") if self.cluster else self.kubeconfig
        _model_python(_SAVE, self.models, json.dumps(MODELS))

    @property
    def fake(self) -> Cluster:
        if self.cluster is None:
            pytest.skip("a real cluster does not fail on command")
        return self.cluster

    def begin(self, model: str, **arguments: Any) -> tuple[subprocess.Popen[str], Path]:
        """`deploy` as a process of its own, and where its result will be."""
        run = f"run-{next(self._runs)}"
        result = self.root / f"{run}.json"
        given: dict[str, Any] = {"image": self.image, "url": self.url, "timeout": 120.0, "replicas": 1} | arguments
        step = contract.Deploy(
            run=run,
            models=self.models,
            result=f"file://{result}",
            model=model,
            target="kubernetes",
            namespace=self.namespace,
            **given,
        )
        return self._start(step.argv()), result

    def deploy(self, model: str, **arguments: Any) -> Ran:
        return ended(*self.begin(model, **arguments))

    def operate(self, *words: str) -> Ran:
        named = [f"--namespace={self.namespace}", f"--url={self.url}"]
        process = self._start(["deploy", *words, *named])
        log, _ = process.communicate(timeout=120)
        return Ran(process.returncode, log, {})

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        environment = os.environ | {
            "KUBECONFIG": str(self.deployer),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error",
        }
        command = [str(PYTHON), "-m", "model_service", *words]
        out, err = subprocess.PIPE, subprocess.STDOUT
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=out, stderr=err, text=True)
        self._begun.append(process)
        return process

    def close(self) -> None:
        """End what a failed test left running."""
        for process in self._begun:
            if process.returncode is None:
                process.kill()
                process.communicate()

    def live(self) -> Any:
        """The Deployment as the API's client has it; None when there is none."""
        try:
            return self.apps.read_namespaced_deployment(contract.WEBSITE, self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def document(self) -> str:
        """The name of the ConfigMap that the Deployment's pods serve."""
        live = self.live()
        return live.spec.template.spec.volumes[0].config_map.name if live else ""

    def replicasets(self) -> set[str]:
        found = self.apps.list_namespaced_replica_set(
            self.namespace, label_selector=f"app.kubernetes.io/name={contract.WEBSITE}"
        )
        return {one.metadata.name for one in found.items if "canary" not in one.metadata.name}

    def has_canary(self) -> bool:
        found = self.apps.list_namespaced_deployment(self.namespace)
        return any(one.metadata.name == f"{contract.WEBSITE}-canary" for one in found.items)

    def scale(self, replicas: int) -> None:
        """As the autoscaler does."""
        body = {"spec": {"replicas": replicas}}
        self.apps.patch_namespaced_deployment_scale(contract.WEBSITE, self.namespace, body, field_manager="autoscaler")

    def champion(self, version: str = "", previous: str = "") -> dict[str, Any] | None:
        """Point there, when told so; what the pointer says."""
        if version:
            _model_python(_POINT, self.models, version, previous)
        found: dict[str, Any] | None = json.loads(_model_python(_READ, self.models))
        return found

    def served(self) -> str:
        """The model that answers now."""
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=10) as answer:
            found: str = json.loads(answer.read())["model"]
        return found

    def _account(self, name: str) -> Path:
        text = yaml.safe_load(self.kubeconfig.read_text())
        text["users"][0]["user"] = {"token": self.fake.api.access.token(self.namespace, name)}
        path = self.root / f"kubeconfig-{name}"
        path.write_text(yaml.safe_dump(text))
        return path


def ended(process: subprocess.Popen[str], result: Path) -> Ran:
    log, _ = process.communicate(timeout=300)
    return Ran(process.returncode, log, json.loads(result.read_text()) if result.exists() else {})


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


@contextmanager
def website(root: Path) -> Iterator[Website]:
    """Nothing is deployed yet."""
    kubeconfig, image = (os.environ.get(f"MENAGERIE_TEST_{name}") for name in ("KUBECONFIG", "IMAGE"))
    if kubeconfig and image:
        with _real(root, Path(kubeconfig), image) as real:
            yield real
        return
    models = root / "animals_models"
    models.mkdir()
    with Cluster(root) as cluster:
        cluster.apply(MANIFESTS / "rbac.yaml")
        url = cluster.service_url(contract.WEBSITE)
        found = Website(root, cluster.kubeconfig, "menagerie", ANY_IMAGE, f"file://{models}", url, cluster)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def _real(root: Path, kubeconfig: Path, image: str) -> Iterator[Website]:
    models = os.environ.get("MENAGERIE_TEST_MODELS")
    if not models:
        pytest.skip("MENAGERIE_TEST_MODELS must name a bucket that the cluster's pods can read")
    namespace = os.environ.get("MENAGERIE_TEST_NAMESPACE", "menagerie-test")
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    try:
        core.create_namespace({"metadata": {"name": namespace}})
    except ApiException as error:
        if error.status != 409:
            raise
    words = ["kubectl", "proxy", "--port=0", f"--kubeconfig={kubeconfig}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        port = proxy.stdout.readline().rsplit(":", 1)[1].strip()
        url = f"http://127.0.0.1:{port}/api/v1/namespaces/{namespace}/services/{contract.WEBSITE}:http/proxy"
        real = Website(root, kubeconfig, namespace, image, models, url, None)
        try:
            yield real
        finally:
            real.close()
            real.operate("--teardown")
            proxy.terminate()


class Load:
    """People who use the website all the time; `failed` is every answer that was not 200."""

    def __init__(self, url: str, people: int = 2) -> None:
        self.answers = 0
        self.failed: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._people = [threading.Thread(target=self._ask) for _ in range(people)]

    def __enter__(self) -> Load:
        for person in self._people:
            person.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for person in self._people:
            person.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            try:
                status, said = predict(self._url, PICTURE)
            except OSError as error:
                status, said = 0, repr(error)
            self.answers += 1
            if status != 200:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {status} {said}")


def predict(url: str, picture: bytes) -> tuple[int, str]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(f"{url}/predict", head + picture + b"\r\n--b--\r\n", headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _model_python(script: str, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'plugins'}", "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), "-c", script, *words]
    ran = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
