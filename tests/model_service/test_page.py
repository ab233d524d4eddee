"""The page in a real Chromium: what a person sees and does."""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FileChooser, FilePayload, Page, Request, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from model_service import report, site
from model_service.serve import reports
from model_service.site import Site
from tests.model_service.chromium import chromium
from tests.model_service.documents import evaluation
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import BLUE, GREEN, RED, Place, make_place, picture, ready, running

CLASSES = ["cat", "dog", "zebra"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    save_tiny_model(place.models, "v1", CLASSES)
    save_tiny_model(place.models, "v2", [f"class {i}" for i in range(12)])
    return place


@pytest.fixture
def url(place: Place) -> Iterator[str]:
    site.write(place.site, Site("v1"), 0)
    with running(place) as url:
        await_model(url, "v1")
        yield url


def await_model(url: str, version: str) -> None:
    until = time.monotonic() + 15
    while ready(url).json()["model"] != version:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def requests() -> list[Request]:
    return []


@pytest.fixture
def page(browser: Browser, url: str, requests: list[Request]) -> Iterator[Page]:
    """The page, loaded; a script error, a line on the console or a violated policy fails the test."""
    page = browser.new_page()
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(url)
    expect(page.get_by_text("Model v1")).to_be_visible()
    yield page
    page.close()
    # Chromium writes a line for each answer that is not 2xx: a refused file is one, and meant.
    assert [p for p in problems if "the server responded with a status of 4" not in p] == []


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    payloads: list[FilePayload] = [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    page.set_input_files("#file", payloads)


def percents(page: Page) -> list[float]:
    return [float(text.rstrip("%")) for text in page.locator(".percent").all_text_contents()]


def test_a_chosen_picture_gets_its_bars(page: Page, url: str, requests: list[Request]) -> None:
    choose(page, ("rex.jpg", picture(RED)))
    expect(page.locator(".verdict")).to_have_text("cat")
    expect(page.locator(".name")).to_have_text("rex.jpg")
    expect(page.locator(".label")).to_have_count(3)
    assert sum(percents(page)) == pytest.approx(100, abs=0.3)
    assert percents(page) == sorted(percents(page), reverse=True)
    expect(page.locator(".top .track span")).to_have_attribute("style", re.compile(r"^width: \d\d"))
    page.wait_for_timeout(700)  # the bars grow
    track, fill = (page.locator(css).first.bounding_box() for css in (".top .track", ".top .track span"))
    assert track is not None
    assert fill is not None
    assert fill["width"] / track["width"] == pytest.approx(percents(page)[0] / 100, abs=0.02)
    assert page.evaluate("document.querySelector('figure img').naturalWidth") == 96
    assert all(r.url.startswith((f"{url}/", f"blob:{url}/")) for r in requests)


def test_several_pictures_in_a_row_newest_first(page: Page) -> None:
    choose(page, ("1.jpg", picture(RED)), ("2.jpg", picture(GREEN)))
    choose(page, ("3.jpg", picture(BLUE)))
    expect(page.locator(".verdict")).to_have_text(["zebra", "dog", "cat"])
    choose(page, ("3.jpg", picture(BLUE)))
    expect(page.locator(".verdict")).to_have_count(4)


TRANSFER = """([name, type, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  return data;
}"""


@pytest.mark.parametrize("target", ["#drop", "footer"])
def test_a_dropped_picture_wherever_it_lands(page: Page, target: str) -> None:
    data = page.evaluate_handle(TRANSFER, ["a.png", "image/png", list(picture(GREEN, kind="PNG"))])
    page.dispatch_event(target, "dragover", {"dataTransfer": data})
    expect(page.locator("body")).to_have_class("over")
    page.dispatch_event(target, "drop", {"dataTransfer": data})
    expect(page.locator(".verdict")).to_have_text("dog")
    expect(page.locator("body")).not_to_have_class("over")


def test_a_pasted_picture(page: Page) -> None:
    data = page.evaluate_handle(TRANSFER, ["image.png", "image/png", list(picture(BLUE, kind="PNG"))])
    page.evaluate("(d) => dispatchEvent(new ClipboardEvent('paste', { clipboardData: d }))", data)
    expect(page.locator(".verdict")).to_have_text("zebra")


def test_by_keyboard_alone(page: Page) -> None:
    page.bring_to_front()
    page.keyboard.press("Tab")
    expect(page.locator("input[type=file]:focus")).to_have_count(1)
    press_space(page).set_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture(RED)})
    expect(page.locator(".verdict")).to_have_text("cat")


def press_space(page: Page) -> FileChooser:
    """Now and then a busy Chromium drops the dialogue that a key has asked for: a person presses again."""
    for _ in range(3):
        with contextlib.suppress(PlaywrightTimeout), page.expect_file_chooser(timeout=8000) as chooser:
            page.keyboard.press("Space")
            return chooser.value
    raise AssertionError("no file dialogue opened")


def test_a_text_file_gets_a_sentence(page: Page) -> None:
    choose(page, ("notes.txt", b"Buy milk."))
    expect(page.locator(".bad .verdict")).to_have_text("This is not a picture in a known format.")
    expect(page.locator(".bad .remedy")).to_have_text(re.compile(r"^Send a JPEG, PNG, .* picture\.$"))
    choose(page, ("a.jpg", picture(RED)))
    expect(page.locator(".verdict").first).to_have_text("cat")


def test_a_hostile_file_name_is_only_text(page: Page) -> None:
    name = "<img src=x onerror=document.title='owned'>.jpg"
    choose(page, (name, picture(RED)))
    expect(page.locator(".verdict")).to_have_text("cat")
    expect(page.locator(".name")).to_have_text(name)
    assert page.locator(".answer img").count() == 1
    assert page.title() == "Menagerie"


def test_a_picture_the_browser_cannot_show_is_answered_all_the_same(page: Page) -> None:
    choose(page, ("a.tiff", picture(RED, kind="TIFF")))
    expect(page.locator(".verdict")).to_have_text("cat")
    expect(page.locator("figure")).to_have_class("blank")


def test_many_classes_are_folded_and_a_guess_is_called_one(page: Page, place: Place, url: str) -> None:
    site.write(place.site, Site("v2", "v1"), site.read(place.site)[1])
    await_model(url, "v2")
    choose(page, ("a.jpg", picture(RED)))
    expect(page.locator(".verdict")).to_have_text(re.compile("^Perhaps class"))
    expect(page.get_by_text("Model v2")).to_be_visible()
    expect(page.locator(".percent:visible")).to_have_count(5)
    page.get_by_text("7 more").click()
    expect(page.locator(".percent:visible")).to_have_count(12)


def test_before_the_first_model_the_page_waits_and_comes_alive(browser: Browser, place: Place) -> None:
    with running(place) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_role("status")).to_contain_text("The first model is being trained")
        expect(page.locator("#file")).to_be_disabled()
        site.write(place.site, Site("v1"), 0)
        expect(page.get_by_role("status")).to_be_hidden(timeout=10_000)
        expect(page.locator("#file")).to_be_enabled()
        choose(page, ("a.jpg", picture(RED)))
        expect(page.locator(".verdict")).to_have_text("cat")
        page.close()


HOSTILE = """<!doctype html><meta charset="utf-8"><title>Report</title><style>h1 { color: rgb(1, 2, 3) }</style>
<h1>How it went</h1><img alt="a worst error" src="data:image/png;base64,%s">
<script>document.title = "owned"</script><img src=x onerror="document.title = 'owned'"><img src="/static/icon.svg">
<form action="/predict"><button>Go</button></form><iframe src="/"></iframe>"""


def test_a_report_is_linked_once_there_is_one_and_nothing_in_it_runs(
    browser: Browser, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FRESH", 0.0)
    site.write(place.site, Site("v1"), 0)
    predicted, png = tmp_path / "animals_predicted", base64.b64encode(picture(GREEN, kind="PNG")).decode()
    (predicted / "r1").mkdir(parents=True)
    with running(place, predicted=f"file://{predicted}") as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_text("Model v1")).to_be_visible()
        expect(page.get_by_role("link", name="How well it does")).to_be_hidden()
        (predicted / "r1/report.html").write_text(HOSTILE % png)
        (predicted / "latest.json").write_text('{"run": "r1"}')
        page.reload()
        fetched: list[str] = []
        page.on("response", lambda response: fetched.append(response.url))
        page.get_by_role("link", name="How well it does").click()
        expect(page.get_by_role("heading", name="How it went")).to_have_css("color", "rgb(1, 2, 3)")
        assert page.url == f"{url}/report/r1"
        shown = "image => [image.naturalWidth, image.complete]"
        assert page.get_by_alt_text("a worst error").evaluate(shown) == [96, True]
        assert page.title() == "Report"
        page.evaluate("document.querySelector('form').submit()")
        page.wait_for_timeout(200)
        assert page.url == f"{url}/report/r1"
        with_it = fetched[fetched.index(f"{url}/report/r1") + 1 :]
        assert [one for one in with_it if not one.startswith("data:")] == []
        page.close()


def test_evaluates_own_report_needs_nothing_that_the_website_forbids_it(
    browser: Browser, place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "animals_predicted/r1"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(report.render(evaluation(), {"key-0": picture(RED)}))
    with running(place, predicted=f"file://{folder.parent}") as url:
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda line: problems.append(line.text))  # where a violated policy is told
        page.goto(f"{url}/report/r1")
        page.wait_for_load_state("networkidle")
        page.locator("img").first.scroll_into_view_if_needed()
        assert page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)") == [96]
        assert page.evaluate("[...document.styleSheets].reduce((n, sheet) => n + sheet.cssRules.length, 0)") > 20
        assert problems == []
        page.close()


def test_what_is_not_there_is_said_on_a_page_of_the_websites_own(browser: Browser, place: Place) -> None:
    with running(place) as url:
        page = browser.new_page(viewport={"width": 320, "height": 640})
        page.goto(f"{url}/report/r1")
        expect(page.get_by_role("heading", name="No reports are shown here")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).maxWidth") == "736px"  # the page's style is there
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        page.get_by_role("link", name="To the website").click()
        assert page.url == f"{url}/"
        page.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme="dark")
    page.goto(url)
    choose(page, ("a" * 150 + ".jpg", picture(RED)), ("b.txt", b"no"))
    expect(page.locator(".looking")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.close()
