"""Deployments to a real website on a real port: moved, refused, repeated, started."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import menagerie_contract as contract
import psutil
import pytest

from model_service import registry, site
from model_service.deploy import Refused, deploy
from model_service.errors import StepError
from model_service.registry import BadModel
from model_service.serve import listen
from model_service.site import Site
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import Place, ask, make_place, picture, ready, running

CLASSES = ["cat", "dog", "zebra"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    save_tiny_model(place.models, "v1", CLASSES)
    save_tiny_model(place.models, "v2", CLASSES, [0.0, 3.0, 0.0])
    return place


@pytest.fixture
def url(place: Place) -> Iterator[str]:
    with running(place) as url:
        yield url


def to(place: Place, model: str, url: str, timeout: float = 20.0) -> contract.Deploy:
    result = contract.result(place.models, "run", "deploy")
    return contract.Deploy(
        run="run", models=place.models, result=result, model=model, site=place.site, url=url, timeout=timeout
    )


def free_port() -> int:
    with listen("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_the_first_deployment_brings_the_website_to_life(place: Place, url: str) -> None:
    outputs = deploy(to(place, "v1", url)).outputs
    assert outputs.pop("seconds") < 20
    assert outputs == {"url": url, "version": "v1", "previous": None}
    assert site.read(place.site)[0] == Site("v1")
    assert ask(url, picture()).json()["model"] == "v1"


def test_twice_is_the_same_as_once(place: Place, url: str) -> None:
    deploy(to(place, "v1", url))
    first = deploy(to(place, "v2", url)).outputs
    document = site.read(place.site)
    second = deploy(to(place, "v2", url)).outputs
    assert site.read(place.site) == document  # the generation too: nothing was written
    assert first | {"seconds": 0} == second | {"seconds": 0}
    assert second["previous"] == "v1"


def test_no_request_fails_while_models_change(place: Place, url: str) -> None:
    deploy(to(place, "v1", url))
    stop, data = threading.Event(), picture()

    def hammer(_: int) -> list[tuple[int, str]]:
        seen = []
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            while not stop.is_set():
                answer = client.post("/predict", files={"file": ("a.jpg", data)})
                seen.append((answer.status_code, answer.json().get("model")))
        return seen

    with ThreadPoolExecutor(4) as clients:
        running_clients = [clients.submit(hammer, i) for i in range(4)]
        try:
            for version in ("v2", "v1", "v2"):
                deploy(to(place, version, url))
                time.sleep(0.3)
        finally:
            stop.set()
        answers = [client.result() for client in running_clients]
    for seen in answers:
        assert len(seen) > 20
        assert {status for status, _ in seen} == {200}
        versions = [version for _, version in seen]
        changes = [b for a, b in zip([None, *versions], versions, strict=False) if a != b]
        assert changes == [
            "v1",
            "v2",
            "v1",
            "v2",
        ]  # each client saw them once each, and ends on the new one


def damage(place: Place, version: str) -> None:
    file = Path(contract.model(place.models, version).removeprefix("file://")) / "model.onnx"
    file.write_bytes(file.read_bytes() + b"x")


def test_a_damaged_model_is_refused_and_taken_back(place: Place, url: str) -> None:
    deploy(to(place, "v1", url))
    before = site.read(place.site)[0]
    damage(place, "v2")
    for _ in range(2):  # the website has forgotten the first refusal when the second deployment begins
        with pytest.raises(Refused, match="sha256 differs") as caught:
            deploy(to(place, "v2", url))
        assert caught.value.remedy
        assert site.read(place.site)[0] == before
        assert ready(url).json() == {"model": "v1", "refused": None}
        assert ask(url, picture()).json()["model"] == "v1"


def test_a_first_model_that_is_damaged_leaves_no_document(place: Place, url: str) -> None:
    damage(place, "v1")
    with pytest.raises(Refused):
        deploy(to(place, "v1", url))
    assert site.read(place.site) == (None, 0)
    assert deploy(to(place, "v2", url)).outputs["version"] == "v2"


def test_a_deployment_killed_before_it_went_back_is_finished_by_the_next(place: Place, url: str) -> None:
    deploy(to(place, "v1", url))
    damage(place, "v2")
    site.write(place.site, Site("v2", "v1"), site.read(place.site)[1])  # as far as the killed one came
    with pytest.raises(Refused):
        deploy(to(place, "v2", url))
    assert site.read(place.site)[0] == Site("v1")


def test_a_version_that_does_not_exist_is_never_named(place: Place, url: str) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        deploy(to(place, "v9", url))
    assert site.read(place.site) == (None, 0)


def promoted(place: Place, version: str, previous: str | None) -> None:
    _, generation = registry.champion(place.models)
    registry.move_champion(place.models, {"version": version, "previous": previous, "run": "run"}, generation)


def test_a_model_that_fails_its_self_test_is_taken_back_and_no_longer_the_champion(place: Place, url: str) -> None:
    save_tiny_model(place.models, "odd", CLASSES, [0.0, 0.0, 2.0], tested_with=[2.0, 0.0, 0.0])
    deploy(to(place, "v1", url))
    promoted(place, "odd", "v1")
    with pytest.raises(Refused, match="fails the self test of model odd"):
        deploy(to(place, "odd", url))
    assert site.read(place.site)[0] == Site("v1")
    assert ask(url, picture()).json()["model"] == "v1"
    champion, _ = registry.champion(place.models)
    assert champion is not None
    assert champion["version"] == "v1"
    with pytest.raises(
        StepError, match="model odd was withdrawn by run run: the website fails the self test"
    ) as caught:
        deploy(to(place, "odd", url))
    assert not caught.value.retry
    assert "clear promote" in caught.value.remedy
    promoted(place, "odd", "v1")
    with pytest.raises(Refused):  # promoted once more, it is tried once more
        deploy(to(place, "odd", url))


def test_a_timeout_says_nothing_against_the_champion(place: Place, url: str) -> None:
    promoted(place, "v2", None)
    elsewhere = f"file://{place.root}/other.json"
    with pytest.raises(StepError, match="within 1 s"):
        deploy(replace(to(place, "v2", url, timeout=1), site=elsewhere))
    assert registry.withdrawn(place.models) is None


def test_a_model_without_a_self_test_is_not_deployed(place: Place, url: str) -> None:
    onnx = registry.load(place.models, "v1", "model.onnx")
    card = registry.card(place.models, "v1")
    registry.save(place.models, "untested", {"model.onnx": onnx}, card)
    with pytest.raises(BadModel, match=r"has no file selftest\.tar"):
        deploy(to(place, "untested", url))
    assert site.read(place.site) == (None, 0)


def test_the_local_website_needs_its_document_named(place: Place) -> None:
    with pytest.raises(StepError, match="--site is missing") as caught:
        deploy(replace(to(place, "v1", "http://127.0.0.1:1"), site=""))
    assert "--site=file:///" in caught.value.remedy


def test_a_website_that_follows_another_document_is_a_timeout(place: Place, url: str) -> None:
    deploy(to(place, "v1", url))
    elsewhere = f"file://{place.root}/other.json"
    with pytest.raises(StepError, match=r"within 1 s: it serves v1") as caught:
        deploy(replace(to(place, "v2", url, timeout=1), site=elsewhere))
    assert elsewhere in caught.value.remedy
    assert site.read(elsewhere) == (None, 0)


class Stranger(BaseHTTPRequestHandler):
    """Some other program that happens to listen where the website should."""

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


def test_another_program_on_the_port_is_said_so(place: Place) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(StepError, match="not from Menagerie's website"):
                deploy(to(place, "v1", f"http://127.0.0.1:{server.server_port}", timeout=1))
        finally:
            server.shutdown()
            thread.join()
    assert site.read(place.site) == (None, 0)


def test_a_website_elsewhere_is_not_started_from_here(place: Place) -> None:
    step = to(place, "v1", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StepError, match="nothing listens"):
        deploy(replace(step, url=step.url.replace("http:", "https:")))
    assert site.read(place.site) == (None, 0)
    assert not (place.root / "site.pid").exists()


def end_website(place: Place) -> None:
    """End the process in the pid file, and wait for it: it is a child of this process."""
    pid = int((place.root / "site.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM


def test_a_website_is_started_when_none_runs_and_outlives_the_step(place: Place) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    predicted = place.root / "animals_predicted"
    (predicted / "r1").mkdir(parents=True)
    (predicted / "r1/report.html").write_text("<p>the report")
    step = replace(to(place, "v1", url, timeout=60), predicted=f"file://{predicted}")
    assert deploy(step).outputs["version"] == "v1"
    try:
        assert httpx.get(f"{url}/report/r1", trust_env=False).text == "<p>the report"
        process = psutil.Process(int((place.root / "site.pid").read_text()))
        assert "serve" in process.cmdline()
        assert os.getsid(process.pid) == process.pid  # a session of its own
        assert ask(url, picture()).json()["model"] == "v1"
        deploy(to(place, "v2", url))
        assert int((place.root / "site.pid").read_text()) == process.pid
        assert ask(url, picture()).json()["model"] == "v2"
    finally:
        end_website(place)
    log = (place.root / "site.log").read_text()
    assert f"listens on {url}" in log
    assert "serving model v2 instead of v1" in log


def test_two_deployments_at_once_start_one_website(place: Place) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    def attempt(_: int) -> object:
        try:
            return deploy(to(place, "v1", url, timeout=60))
        except StepError as error:
            if not error.retry:  # else the other one wrote the document in the same moment
                raise
            return deploy(to(place, "v1", url, timeout=60))

    try:
        with ThreadPoolExecutor(2) as both:
            assert len(list(both.map(attempt, range(2)))) == 2
    finally:
        end_website(place)
    assert (place.root / "site.log").read_text().count("listens on") == 1


def test_a_website_that_cannot_start_says_why(place: Place) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # taken, but nobody listens
        with pytest.raises(StepError, match=r"does not start:\n.* is taken") as caught:
            deploy(to(place, "v1", f"http://127.0.0.1:{holder.getsockname()[1]}"))
    assert "site.log" in caught.value.remedy
    assert site.read(place.site) == (None, 0)


def test_a_log_that_cannot_be_written_is_said_so(place: Place) -> None:
    (place.root / "site.log").mkdir()
    with pytest.raises(StepError, match=r"site\.log cannot be written"):
        deploy(to(place, "v1", f"http://127.0.0.1:{free_port()}"))
    assert site.read(place.site) == (None, 0)
