"""The reports on the website: the latest, each run's, none, those that storage does not give; on a real port."""

from __future__ import annotations

import http.client
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import menagerie_contract as contract
import pytest

from model_service import site
from model_service.serve import report_pages, reports
from model_service.site import Site
from model_service.storage import Exists, locate
from tests.model_service.buckets import Buckets, make_buckets
from tests.model_service.cloud import Cloud
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import Place, ask, picture, ready, running
from tests.support.gcs import Fault, GcsServer

REPORT = "<!doctype html><title>r1</title>größer " + "x" * 200_000  # more than goes out in one piece
RUN = "scheduled__2026-11-21T14-30-00-00-00"


def put(uri: str, text: str) -> None:
    store, name = locate(uri)
    try:
        store.write_if_absent(name, text.encode())
    except Exists:
        store.compare_and_swap(name, text.encode(), store.stat(name).generation)


def publish(predicted: str, run: str, page: str = REPORT) -> None:
    """As evaluate does it."""
    put(contract.report(predicted, run), page)
    document = {"run": run, "report": contract.report(predicted, run), "metrics": contract.metrics(predicted, run)}
    put(contract.latest(predicted), json.dumps(document))


def get(url: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, url, timeout=30, trust_env=False)


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "FRESH", 0.0)


@pytest.fixture
def url(stores: Buckets) -> Iterator[str]:
    with running(Place(stores.root), predicted=stores.predicted) as url:
        yield url


def test_report_leads_to_the_latest_one(url: str, stores: Buckets) -> None:
    publish(stores.predicted, "r1")
    publish(stores.predicted, RUN, "<!doctype html>the second")
    first = get(f"{url}/report")
    assert first.status_code == 307
    assert first.headers["location"] == f"/report/{RUN}"
    assert first.headers["cache-control"] == "no-store"
    assert get(f"{url}/report/{RUN}").text == "<!doctype html>the second"
    assert get(f"{url}/report.json").json() == {"report": f"/report/{RUN}"}


def test_a_report_is_what_the_bucket_has_and_nothing_in_it_may_run(url: str, stores: Buckets) -> None:
    publish(stores.predicted, "r1")
    answer = get(f"{url}/report/r1")
    assert (answer.status_code, answer.content) == (200, REPORT.encode())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-length"] == str(len(REPORT.encode()))
    rules = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == rules["form-action"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert {name for name in rules if name.endswith("-src")} == {"default-src", "style-src", "img-src"}
    assert (rules["style-src"], rules["img-src"]) == ("'unsafe-inline'", "data:")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "private, max-age=300"
    head = get(f"{url}/report/r1", "HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_a_report_that_is_written_anew_is_shown_anew(url: str, stores: Buckets) -> None:
    for text in ("<p>one", "<p>two"):
        publish(stores.predicted, "r1", text)
        assert get(f"{url}/report/r1").text == text


def test_a_report_is_fetched_once_however_often_it_is_read(cloud: Cloud, server: GcsServer, tmp_path: Path) -> None:
    predicted = cloud.take()
    publish(predicted, "r1")
    with running(Place(tmp_path), predicted=predicted) as url:
        before = server.operations()["objects.media"]
        assert {get(f"{url}/report/r1").status_code for _ in range(5)} == {200}
        assert server.operations()["objects.media"] == before + 1


def test_the_bucket_is_not_asked_for_the_latest_by_every_visitor(
    cloud: Cloud, server: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FRESH", 60.0)
    predicted = cloud.take()
    publish(predicted, "r1")
    with running(Place(tmp_path), predicted=predicted) as url, ThreadPoolExecutor(8) as visitors:
        before = server.billed()
        answers = list(visitors.map(lambda _: get(f"{url}/report.json").json(), range(24)))
        assert answers == [{"report": "/report/r1"}] * 24
        assert (server.billed() - before).total() == 2


# What is not there.


def is_note(answer: httpx.Response, status: int, title: str) -> bool:
    """Whether it is a page for people, with the page's own style, that says so."""
    return (
        answer.status_code == status
        and f"<h1>{title}</h1>" in answer.text
        and '<a href="/">' in answer.text
        and answer.headers["content-type"].startswith("text/html")
        and answer.headers["cache-control"] == "no-store"
        and answer.headers["content-security-policy"].startswith("default-src 'self'")
    )


def test_before_the_first_report_a_page_says_so(url: str) -> None:
    assert is_note(get(f"{url}/report"), 404, "There is no report yet")
    assert get(f"{url}/report.json").json() == {"report": None}


def test_a_run_without_a_report_has_a_page_that_says_so(url: str, stores: Buckets) -> None:
    put(contract.metrics(stores.predicted, "r2"), "{}")
    assert is_note(get(f"{url}/report/r2"), 404, "There is no such report")
    assert '<a href="/report">' in get(f"{url}/report/r2").text


def test_a_website_that_was_told_of_no_bucket_shows_no_reports(tmp_path: Path) -> None:
    with running(Place(tmp_path)) as url:
        assert is_note(get(f"{url}/report"), 404, "No reports are shown here")
        assert is_note(get(f"{url}/report/r1"), 404, "No reports are shown here")
        assert get(f"{url}/report.json").json() == {"report": None}


def test_a_report_larger_than_a_page_can_be_is_not_read(
    url: str, stores: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(stores.predicted, "r1")
    monkeypatch.setattr(reports, "MOST", 1000)
    assert is_note(get(f"{url}/report/r1"), 404, "This report is too large to be shown here")


ELSEWHERE = [
    *("..", ".", "...", "%2e%2e", "", "/", "r1/", "r1/.", "r1/../r1", "./r1", "//r1", "..%2fsecrets", "../secrets"),
    *("%2e%2e%2fsecrets", "..%5csecrets", "..;/secrets", "/etc", "r1%00", "r1%0a%0a", "r1%0d%0aSet-Cookie:%20a=b"),
    *("r%201", "r%C3%A9", "%ff", "*", "{run}", "a" * 251, "r1%23", "latest.json%3f", "http://r1", "%3Cscript%3E"),
]


@pytest.fixture(scope="module")
def among_secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A website with a report of run r1, and around it files of that name that nobody may see."""
    root = tmp_path_factory.mktemp("secrets")
    buckets = make_buckets(root)
    for folder in ("", "secrets", "animals_predicted", "animals_predicted/r 1", "animals_predicted/<script>"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "report.html").write_text("secret")
    publish(buckets.predicted, "r1")
    with running(Place(root), predicted=buckets.predicted) as url:
        yield url


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_is_no_runs_leads_nowhere(name: str, among_secrets: str) -> None:
    """Asked as it stands here: clients would tidy it up."""
    connection = http.client.HTTPConnection(among_secrets.removeprefix("http://"), timeout=30)
    connection.putrequest("GET", f"/report/{name}")
    connection.endheaders()
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert (answer.status, answer.getheader("set-cookie")) == (404, None)
    assert "no such report" in said or json.loads(said)["reason"] == "not-found"
    assert "secret" not in said
    assert "<script>" not in said


def test_a_link_in_the_bucket_leads_nowhere_either(tmp_path: Path) -> None:
    buckets = make_buckets(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/report.html").write_text("secret")
    (tmp_path / "animals_predicted/r1").symlink_to(tmp_path / "secrets")
    (tmp_path / "animals_predicted/r2").mkdir()
    (tmp_path / "animals_predicted/r2/report.html").symlink_to(tmp_path / "secrets/report.html")
    with running(Place(tmp_path), predicted=buckets.predicted) as url:
        for run in ("r1", "r2"):
            assert get(f"{url}/report/{run}").status_code in (404, 503)
            assert "secret" not in get(f"{url}/report/{run}").text


# What storage does not give.

CANNOT = "The reports cannot be read right now"


def test_a_bucket_that_is_none_is_a_page_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for predicted in (f"file://{tmp_path}/nowhere", "s3://animals_predicted"):
        with running(Place(tmp_path), predicted=predicted) as url, caplog.at_level(logging.WARNING):
            for path in ("report", "report/r1"):
                answer = get(f"{url}/{path}")
                assert is_note(answer, 503, CANNOT)
                assert int(answer.headers["retry-after"]) > 0
                assert predicted not in answer.text  # that is for the log
            told = get(f"{url}/report.json")
            assert (told.status_code, told.json()["reason"]) == (503, "storage")
        assert predicted in caplog.text
        caplog.clear()


def test_a_bucket_that_is_closed_to_the_website_is_one_too(cloud: Cloud, server: GcsServer, tmp_path: Path) -> None:
    predicted = cloud.take()
    publish(predicted, "r1")
    server.inject(Fault("objects", status=403, times=None))
    with running(Place(tmp_path), predicted=predicted) as url:
        assert is_note(get(f"{url}/report"), 503, CANNOT)
        assert is_note(get(f"{url}/report/r1"), 503, CANNOT)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"run": 7}', '{"run": "../.."}', '{"run": "http://x"}', "\xff"])
def test_a_pointer_that_is_damaged_leads_nowhere(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    buckets = make_buckets(tmp_path)
    publish(buckets.predicted, "r1")
    (tmp_path / "animals_predicted/latest.json").write_bytes(text.encode("latin-1"))
    with running(Place(tmp_path), predicted=buckets.predicted) as url:
        assert is_note(get(f"{url}/report"), 503, CANNOT)
        assert get(f"{url}/report/r1").status_code == 200
    assert "latest.json does not name a run" in caplog.text


def test_storage_that_hangs_holds_up_nobody_else(
    cloud: Cloud, server: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pages, "PATIENCE", 3.0)
    predicted, place = cloud.take(), Place(make_buckets(tmp_path).root)
    publish(predicted, "r1")
    save_tiny_model(place.models, "v1", ["cat", "dog", "zebra"])
    site.write(place.site, Site("v1"), 0)
    hang = Fault(predicted.removeprefix("gs://"), delay=8.0, times=None)
    with running(place, predicted=predicted) as url, ThreadPoolExecutor(8) as visitors:
        until = time.monotonic() + 15
        while ready(url).status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        server.inject(hang)
        waiting = [visitors.submit(get, f"{url}/{path}") for path in ("report", "report/r1") * 4]
        time.sleep(0.2)
        assert ask(url, picture()).json()["model"] == "v1"
        assert ready(url).json() == {"model": "v1", "refused": None}
        assert get(f"{url}/healthz").status_code == 200
        assert not any(one.done() for one in waiting)
        assert all(is_note(one.result(), 503, CANNOT) for one in waiting)
        assert hang.befell > 0


def test_a_website_that_is_told_to_end_does_not_wait_for_storage(
    cloud: Cloud, server: GcsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pages, "PATIENCE", 0.3)
    predicted = cloud.take()
    server.inject(Fault(predicted.removeprefix("gs://"), delay=8.0, times=None))
    with running(Place(tmp_path), predicted=predicted) as url:
        assert get(f"{url}/report").status_code == 503
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
