"""The website on a real port with a real model."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import menagerie_contract as contract
import numpy as np
import pytest
from PIL import Image

from model_service import site
from model_service.errors import StepError
from model_service.serve import listen, serve
from model_service.serve.workers import Busy, Workers
from model_service.site import Site
from model_service.storage import Conflict, Exists
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import BLUE, GREEN, RED, Place, ask, make_place, picture, ready, running

ROOT = Path(__file__).parents[2]
CLASSES = ["cat", "dog", "zebra"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def url(place: Place) -> Iterator[str]:
    save_tiny_model(place.models, "v1", CLASSES)
    site.write(place.site, Site("v1"), 0)
    with running(place) as url:
        eventually(lambda: ready(url).status_code == 200)
        yield url


def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_page_is_served_with_everything_it_needs(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        for name in ("page.css", "page.js", "icon.svg"):
            assert f"/static/{name}" in page.text
            assert client.get(f"/static/{name}").status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text


def test_every_answer_carries_the_security_headers(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        answers = [client.get(path) for path in ("/", "/static/page.js", "/readyz", "/nowhere", "/docs")]
        answers.append(client.post("/predict"))
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(("colour", "label"), [(RED, "cat"), (GREEN, "dog"), (BLUE, "zebra")])
def test_predict_ranks_all_classes(url: str, colour: tuple[int, int, int], label: str) -> None:
    answer = ask(url, picture(colour))
    assert answer.status_code == 200
    body = answer.json()
    probabilities = [c["probability"] for c in body["classes"]]
    assert body["model"] == "v1"
    assert body["classes"][0]["label"] == label
    assert sorted(c["label"] for c in body["classes"]) == CLASSES
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_gives_the_same_answer(url: str, kind: str) -> None:
    assert ask(url, picture(RED, kind=kind)).json()["classes"][0]["label"] == "cat"


def test_probes(url: str) -> None:
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    assert ready(url).json() == {"model": "v1", "refused": None}


def noise() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)).save(out, "JPEG")
    return out.getvalue()


def wide() -> bytes:
    out = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    return out.getvalue()


UNUSABLE = {
    "text": (b"This is not a picture.", 415, "not-an-image"),
    "empty": (b"", 415, "not-an-image"),
    "cut": (noise()[:5000], 422, "truncated"),
    "tiny": (picture(side=8), 422, "too-small"),
    "bomb": (wide(), 413, "bomb"),
    "heavy": (b"\xff\xd8" + bytes(20_000_001), 413, "too-large"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_pictures_are_refused_with_reason_and_remedy(url: str, case: str) -> None:
    data, status, reason = UNUSABLE[case]
    answer = ask(url, data)
    body = answer.json()
    assert (answer.status_code, body["reason"]) == (status, reason)
    assert body["error"].endswith(".")
    assert body["remedy"].endswith(".")
    assert ask(url, picture()).status_code == 200


def test_other_wrong_requests_are_answered_in_json(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        wrong = {
            422: client.post("/predict", data={"file": "text"}),
            415: client.post("/predict", files={"file": ("<img src=x onerror=alert(1)>", b"x")}),
            400: client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}),
            404: client.get("/nowhere"),
            405: client.get("/predict"),
        }
        for status, answer in wrong.items():
            assert answer.status_code == status
            assert set(answer.json()) == {"error", "reason", "remedy"}
        two = [("file", ("a.jpg", picture())), ("file", ("b.jpg", picture()))]
        assert client.post("/predict", files=two).status_code == 400


def test_a_body_without_end_is_cut_off_while_it_is_read(url: str) -> None:
    """No Content-Length, and the picture never ends: the answer comes after 20 MB, not after the last byte."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.connect()
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for piece in [head, *[bytes(1_000_000)] * 21]:
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    answer = connection.getresponse()  # the last chunk was never sent
    assert answer.status == 413
    assert json.loads(answer.read())["reason"] == "too-large"
    connection.close()


def test_a_client_that_hangs_up_halfway_harms_nobody(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n")
        client.sendall(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
    assert ask(url, picture()).status_code == 200


def test_without_a_model_the_website_says_so_and_comes_alive_by_itself(place: Place) -> None:
    with running(place) as url:
        assert httpx.get(url, trust_env=False).status_code == 200
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert ready(url).status_code == 503
        assert "no model" in ready(url).json()["error"]
        answer = ask(url, picture())
        assert (answer.status_code, answer.json()["reason"]) == (503, "no-model")
        assert int(answer.headers["retry-after"]) > 0
        save_tiny_model(place.models, "v1", CLASSES)
        site.write(place.site, Site("v1"), 0)
        eventually(lambda: ready(url).status_code == 200)
        assert ask(url, picture()).json()["model"] == "v1"


def test_a_model_that_fails_is_refused_and_the_old_one_stays(place: Place, url: str) -> None:
    save_tiny_model(place.models, "nan", CLASSES, [float("nan")] * 3)
    for version, error in (("nan", "no probabilities"), ("nowhere", "no model nowhere"), ("../..", "")):
        site.write(place.site, Site(version, "v1"), site.read(place.site)[1])
        eventually(lambda v=version: (ready(url).json()["refused"] or {}).get("version") == v)  # type: ignore[misc]
        assert ready(url).status_code == 200
        assert error in ready(url).json()["refused"]["error"]
        assert ask(url, picture()).json()["model"] == "v1"
    site.write(place.site, Site("v1"), site.read(place.site)[1])
    eventually(lambda: ready(url).json()["refused"] is None)


def test_a_damaged_or_missing_document_leaves_the_model_in_use(place: Place, url: str) -> None:
    document = place.root / "site.json"
    for text in ("{", "[]", '{"version": 3}', '{"version": ""}'):
        document.write_text(text)
        eventually(lambda: ready(url).json()["refused"] is not None)
        assert "does not name a model" in ready(url).json()["refused"]["error"]
        assert ask(url, picture()).json()["model"] == "v1"
    document.unlink()
    eventually(lambda: ready(url).json()["refused"] is None)
    assert ask(url, picture()).json()["model"] == "v1"


def test_a_document_mounted_as_kubernetes_does_is_followed(place: Place) -> None:
    save_tiny_model(place.models, "v1", CLASSES)
    mount = place.root / "mount"
    (mount / "..2026_1").mkdir(parents=True)
    (mount / "..2026_1" / "site.json").write_text('{"version": "v1"}')
    (mount / "..data").symlink_to("..2026_1")
    (mount / "site.json").symlink_to("..data/site.json")
    assert site.read(f"file://{mount}/site.json")[0] == Site("v1")


def test_the_site_document_moves_by_compare_and_swap(place: Place) -> None:
    assert site.read(place.site) == (None, 0)
    first = site.write(place.site, Site("v1"), 0)
    with pytest.raises(Exists):
        site.write(place.site, Site("v2"), 0)
    second = site.write(place.site, Site("v2", "v1"), first)
    with pytest.raises(Conflict):
        site.write(place.site, Site("v3", "v1"), first)
    assert site.read(place.site) == (Site("v2", "v1"), second)
    with pytest.raises(Conflict):
        site.withdraw(place.site, first)
    site.withdraw(place.site, second)
    assert site.read(place.site) == (None, 0)


def test_too_many_pictures_at_once_are_told_to_come_back(place: Place) -> None:
    save_tiny_model(place.models, "v1", CLASSES)
    site.write(place.site, Site("v1"), 0)
    large = picture(side=5000, kind="PNG")  # a few hundred milliseconds of decoding
    with running(place, threads=1, waiting=1) as url, ThreadPoolExecutor(12) as clients:
        eventually(lambda: ready(url).status_code == 200)
        answers = list(clients.map(lambda _: ask(url, large), range(12)))
        assert {a.status_code for a in answers} == {200, 503}
        busy = [a for a in answers if a.status_code == 503]
        assert all(a.json()["reason"] == "busy" and a.headers["retry-after"] == "1" for a in busy)
        assert ask(url, picture()).status_code == 200


def test_workers_take_no_more_than_they_may() -> None:
    async def scenario() -> None:
        workers, gate = Workers(threads=1, waiting=1), threading.Event()
        jobs = [asyncio.ensure_future(workers.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await workers.run(gate.wait)
        gate.set()
        assert await asyncio.gather(*jobs) == [True, True]
        assert await workers.run(lambda: 7) == 7
        workers.close()

    asyncio.run(scenario())


def test_a_port_in_use_is_said_with_the_remedy(place: Place) -> None:
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(StepError, match=f"port {port} .* is taken") as caught:
            serve(contract.Serve(models=place.models, site=place.site, port=port))
    assert "--port" in caught.value.remedy


def test_a_host_of_another_machine_is_said_with_the_remedy(place: Place) -> None:
    with pytest.raises(StepError) as caught:
        serve(contract.Serve(models=place.models, site=place.site, host="192.0.2.1", port=0))
    assert "--host" in caught.value.remedy


def test_sigterm_lets_the_request_in_flight_finish(place: Place) -> None:
    save_tiny_model(place.models, "v1", CLASSES)
    site.write(place.site, Site("v1"), 0)
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    step = contract.Serve(models=place.models, site=place.site, port=port)
    code = "import sys, menagerie_contract as c; from model_service.serve import serve; serve(c.parse(sys.argv[1:]))"
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT}/plugins", "PATH": ""}
    with subprocess.Popen([sys.executable, "-c", code, *step.argv()], env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: answers(url), 30)
            with ThreadPoolExecutor(1) as client:
                pending = client.submit(ask, url, picture(side=6000, kind="PNG"))
                time.sleep(0.25)
                process.send_signal(signal.SIGTERM)
                assert pending.result().status_code == 200
            assert process.wait(10) == -signal.SIGTERM
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return ready(url).status_code == 200
    except httpx.TransportError:
        return False
