"""report.html in a real Chromium: what a person reads, on a phone and in the dark, and what it must never do."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request

from model_service import images, report
from model_service.report import charts
from model_service.report.changes import changes, is_chance
from model_service.report.confusion import LEVELS, MOST, confusion
from model_service.report.page import ROWS
from model_service.report.thumbnails import SIDE, data_uri
from tests.model_service.chromium import chromium
from tests.model_service.documents import DRIFT, KINDS, evaluation, measured, row

EVIL = """<script>document.title='owned'</script>"><img src=x onerror="document.title='owned'" a='"""

Shown = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def requests() -> list[Request]:
    return []


@pytest.fixture
def shown(browser: Browser, requests: list[Request], tmp_path: Path) -> Iterator[Shown]:
    """Shows a document's report; a script error, a line on the console or a dialogue fails the test."""
    pages: list[Page] = []
    problems: list[str] = []

    def show(
        document: dict[str, Any], pictures: dict[str, bytes] | None = None, width: int = 1100, **options: Any
    ) -> Page:
        file = tmp_path / f"report-{len(pages)}.html"
        file.write_text(report.render(document, pictures or {}))
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)
        pages.append(page)
        page.on("request", lambda request: requests.append(request))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.goto(file.as_uri())
        return page

    yield show
    for page in pages:
        page.context.close()
    assert problems == []


def packed(side: tuple[int, int] = (96, 64), noise: int = 0) -> bytes:
    """A picture as shards have it; `noise` is a seed."""
    if noise:
        return images.pack(Image.fromarray(np.random.default_rng(noise).integers(0, 256, (*side, 3), np.uint8)))
    return images.pack(Image.new("RGB", side, (230, 20, 20)))


def rows(page: Page, section: str = "main") -> list[list[str]]:
    """Of the tables in it, cell by cell, those that are folded away too."""
    read = "(all) => all.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    found: list[list[str]] = page.eval_on_selector_all(f"{section} tr", read)
    return found


def text(page: Page, section: str = "body") -> str:
    return " ".join(page.locator(section).first.inner_text().split())


def test_the_headline_says_how_good_how_sure_and_what_to_do(shown: Shown) -> None:
    document = evaluation()
    head = text(shown(document), "[aria-label=Summary]")
    low, high = document["metrics"]["interval"]
    assert head.startswith(f"{document['metrics']['accuracy']:.1%} of 1,240 new pictures right")
    assert f"95% interval: {low:.1%} to {high:.1%}" in head
    assert "Retraining is called for. accuracy on new pictures is 71.7%, below 95.0%" in head
    assert "992 training pictures the model has never seen." in head


def test_nothing_to_do_is_said_too(shown: Shown) -> None:
    calm = evaluation(retrain={"needed": False, "reasons": [], "unseen": 0})
    assert "No need to retrain. No threshold was crossed." in text(shown(calm))


def test_the_page_says_which_model_run_and_release_it_is_about(shown: Shown) -> None:
    page = shown(evaluation(release="0123abc"))
    assert page.title() == "Evaluation of scheduled__2026-11-21T06-00-00"
    assert "classified by 2026-11-14-ab12cd3 in bf16 before any of them was trained on" in text(page, "header")
    footer = text(page, "footer")
    for line in ("Model 2026-11-14-ab12cd3", "Precision bf16", "Preprocessing 1", "Release 0123abc"):
        assert line in footer


def test_the_page_fetches_nothing(shown: Shown, requests: list[Request]) -> None:
    page = shown(evaluation(), {"key-0": packed()})
    page.mouse.wheel(0, 20_000)
    page.wait_for_load_state("networkidle")
    assert [r.url for r in requests if not r.url.startswith("data:")] == [page.url]
    assert page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)") == [96]
    sources = page.eval_on_selector_all(
        "[src], [href]", "all => all.map(e => e.getAttribute('src') ?? e.getAttribute('href'))"
    )
    assert {one.partition(",")[0] for one in sources if not one.startswith("#")} == {"data:image/jpeg;base64"}
    assert page.locator("script, iframe, object, embed, link, base, form, [srcset]").count() == 0
    assert not [one for one in ("url(", "@import", "http:", "https:") if one in page.content()]


def test_the_page_forbids_the_browser_to_fetch_or_run_anything() -> None:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in report.render(evaluation())


def evil() -> dict[str, Any]:
    """A document that has EVIL in every place that somebody else writes."""
    document = evaluation([EVIL, "b"], pictures=60)
    document["metrics"]["new_classes"] = [EVIL]
    document |= {"run": EVIL, "model": EVIL, "precision": EVIL, "release": EVIL, "csv": EVIL}
    document["retrain"]["reasons"] = [EVIL]
    document["previous"] |= {"run": EVIL, "model": EVIL}
    told = dict.fromkeys(("name", "what", "verdict", "text"), EVIL)
    document["drift"] = {"drifted": True, "checks": [DRIFT["checks"][0] | told], "new_classes": [EVIL]}
    document["errors"] = [row(1, EVIL, "b", name=EVIL), row(2, "b", EVIL)]
    document["uncertain"] = [row(3, EVIL, EVIL)]
    document["review"] = {"copies": 1, "gone": 0, "folder": EVIL}
    named = {
        "new_classes": [EVIL],
        "held": {EVIL: 1},
        "classes": {EVIL: 1},
        "spellings": {EVIL: [EVIL]},
        "damaged": [EVIL],
    }
    document["sort"] = document["sort"] | named
    document["costs"][0]["step"] = EVIL
    document["quarantine"] = [{"uri": EVIL, "reason": EVIL, "text": EVIL}]
    return document


def test_names_are_shown_and_never_run(shown: Shown, requests: list[Request]) -> None:
    page = shown(evil(), {"key-1": packed()}, bypass_csp=True)  # not for the policy alone
    page.mouse.wheel(0, 20_000)
    page.wait_for_load_state("networkidle")
    assert page.title() == f"Evaluation of {EVIL}"
    assert page.locator("script").count() == 0
    assert page.locator("img").count() == 1
    assert (
        page.eval_on_selector_all("*", "all => all.flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))")
        == []
    )
    assert page.locator("body").inner_text().count(EVIL) >= 30
    assert [r.url for r in requests if not r.url.startswith("data:")] == [page.url]


def test_a_label_that_reads_from_the_right_does_not_turn_its_surroundings_around(shown: Shown) -> None:
    page = shown(evaluation(["\u202egac", "dog"], errors=[row(1, "\u202egac", "dog")]))
    assert page.locator("bdi", has_text="\u202egac").count() >= 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "document", [evaluation(), evaluation([f"a class of the name {n}" * 3 for n in range(40)]), evil()]
)
def test_on_a_phone_only_tables_scroll_sideways(shown: Shown, document: dict[str, Any], scheme: str) -> None:
    document["quarantine"][0]["uri"] = "gs://animals_all/" + "x" * 300
    page = shown(document, {"key-0": packed()}, width=360, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_wide_table_scrolls_in_its_own_place(shown: Shown) -> None:
    page = shown(evaluation([f"class {n}" for n in range(20)]), width=360)
    assert page.evaluate(
        "(() => { const m = document.querySelector('.matrix'); m.scrollLeft = 99; return m.scrollLeft })()"
    )


CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = rgb => rgb.slice(0, 3).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
      if (colour[3] !== 0) throw new Error(`half transparent: ${e.outerHTML.slice(0, 80)}`);
    }
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, t => t.data.trim() ? 1 : 2);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, style = getComputedStyle(element);
    const [a, b] = [rgba(element.closest("svg") ? style.fill : style.color), behind(element)].map(luminance);
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), texts.currentNode.data.trim(), style.color]);
  }
  return found;
}"""


def of_all_shades() -> dict[str, Any]:
    """A document whose confusion matrix has every shade of right and of wrong."""
    classes = [f"class {n}" for n in range(2 * LEVELS)]
    document = evaluation(classes)
    matrix = np.zeros((2 * LEVELS, 2 * LEVELS), int)
    for i in range(LEVELS):
        matrix[i, i], matrix[i, i + 1] = 2 * i + 1, 2 * LEVELS - 2 * i - 1  # a tenth, three tenths, …
    document["metrics"]["confusion"] = matrix.tolist()
    return document


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(shown: Shown, scheme: str) -> None:
    page = shown(of_all_shades(), {}, color_scheme=scheme)
    shades = {one for cell in page.locator(".matrix td[class]").all() if (one := cell.get_attribute("class"))}
    assert shades == {f"{kind}{level}" for kind in ("right", "wrong") for level in range(1, LEVELS + 1)}
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 400
    assert [one for one in contrasts if one[0] < 4.5] == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(250, 246, 238)" if scheme == "light" else "rgb(21, 24, 26)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_charts_have_the_colours_of_the_page(shown: Shown, scheme: str) -> None:
    page = shown(evaluation(), color_scheme=scheme)
    accent = page.evaluate("getComputedStyle(document.querySelector('.score b')).color")
    fills = "all => all.map(e => getComputedStyle(e).fill)"
    for chart in page.locator(".chart").all():
        assert chart.bounding_box() is not None
    bars = page.locator(".chart").first.locator("path").evaluate_all(fills)
    seen = [bin for bin in evaluation()["metrics"]["reliability"] if bin["count"]]
    assert bars.count(accent) == len(seen) > 5, "a bar of accuracy a bin that has pictures"
    strokes = (
        page.locator(".chart").last.locator("path").evaluate_all("all => all.map(e => getComputedStyle(e).stroke)")
    )
    assert accent in strokes


def test_a_chart_is_the_same_each_time_and_brings_nothing_of_its_own() -> None:
    curve = measured(KINDS, 200)
    for chart, points in ((charts.reliability, curve["reliability"]), (charts.abstention, curve["abstention"])):
        drawn = chart(points)
        assert drawn == chart(points)
        for foreign in ("#", "url(", "font-family", " id=", "http", "<style"):
            assert foreign not in drawn
        assert len(drawn) < 20_000


def test_the_curves_are_there_in_numbers_too(shown: Shown) -> None:
    document = evaluation()
    told = rows(shown(document), "#confidence")
    first = document["metrics"]["abstention"][0]
    assert ["100%", f"{first['accuracy']:.1%}", f"{first['threshold']:.1%}"] in told
    last = document["metrics"]["reliability"][-1]
    assert [
        "93.3% to 100.0%", f"{last['confidence']:.1%}", f"{last['accuracy']:.1%}", f"{last['count']:,}"
    ] in told  # fmt: skip


def test_a_screen_reader_finds_its_way(shown: Shown) -> None:
    page = shown(evaluation(), {"key-0": packed(), "key-100": packed()})
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(e => +e.localName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.locator("th:not([scope=col]):not([scope=row])").count() == 0
    assert (
        page.locator("table").count()
        == page.locator("table:has(thead)").count()
        == page.locator(".wide > table").count()
    )
    assert page.locator(".wide:not([role=region][tabindex='0'][aria-label])").count() == 0
    assert page.locator("img").count() == 2
    assert page.locator("img").first.get_attribute("alt") == "A picture of cat, predicted as dog"
    assert page.locator("svg").count() == page.locator("[role=img][aria-label] > svg").count() == 2
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert set(page.eval_on_selector_all("nav a", "all => all.map(e => e.hash.slice(1))")) <= set(ids)
    titles = page.eval_on_selector_all("section[aria-labelledby] > h2", "all => all.map(e => e.parentElement.id)")
    assert titles == page.eval_on_selector_all("nav a", "all => all.map(e => e.hash.slice(1))")
    assert page.locator("html").get_attribute("lang") == "en"


def test_labels_in_any_script_are_text_that_the_browser_draws(shown: Shown) -> None:
    labels = ["猫", "собака", "זברה", "a$b$", "c_d^e\\", ""]
    page = shown(evaluation(labels))
    assert page.locator(".matrix thead th span").all_text_contents() == sorted(labels)


def test_the_confusion_matrix_is_a_table(shown: Shown) -> None:
    document = evaluation()
    page = shown(document)
    matrix = document["metrics"]["confusion"]
    assert rows(page, ".matrix")[0] == ["true ╲ predicted", *KINDS]
    assert rows(page, ".matrix")[1:] == [[label, *map(str, line)] for label, line in zip(KINDS, matrix, strict=True)]
    share = matrix[0][0] / sum(matrix[0])
    assert page.locator(".matrix td").first.get_attribute("title") == f"cat → cat: {matrix[0][0]} ({share:.1%})"
    assert page.locator(".matrix td").first.get_attribute("class") == f"right{int(share * LEVELS) + 1}"


def test_of_many_classes_those_confused_most_are_shown_and_the_others_added_up(shown: Shown) -> None:
    classes = [f"class {n:03}" for n in range(1000)]
    matrix = np.diag(np.full(1000, 3))
    confused = [7, 300, 999]
    for i in confused:
        matrix[i, i - 1] += 5
    metrics = {"classes": classes, "confusion": matrix.tolist()}
    table = confusion(metrics)
    assert table.left_out == 1000 - MOST
    assert table.columns[-1] == "976 other classes"
    assert [classes[i] for i in confused] == [one for one in table.columns if one in {classes[i] for i in confused}]
    assert sum(cell.pictures for one in table.rows for cell in one.cells) == matrix.sum()
    corner = table.rows[-1].cells[-1]
    assert corner.shade == "other5", "neither right nor wrong"
    page = shown(evaluation(classes))
    assert len(rows(page, ".matrix")) == MOST + 2
    assert "The 24 classes with most errors are shown" in text(page, "#errors")
    assert len(rows(page, "#classes")) == 1 + ROWS
    assert "Worst first: the 200 worst of 1,000; metrics.json has all." in text(page, "#classes")


def test_of_many_classes_that_arrived_the_first_are_shown(shown: Shown) -> None:
    document = evaluation()
    document["sort"]["classes"] = {f"class {n:04}": 1 for n in range(1000)}
    document["sort"]["spellings"] = {}
    document["sort"]["held"] = {f"held {n:04}": 2 for n in range(201)}
    page = shown(document)
    assert len(rows(page, "#arrived [aria-label='Pictures packed by class']")) == 1 + ROWS
    assert "The first 200 of 1,000 classes; the results of sort have all." in text(page, "#arrived")
    assert "held 0199 (2) and 1 more." in text(page, "#arrived")


def test_the_most_confused_pairs_are_named(shown: Shown) -> None:
    document = evaluation()
    worst = document["metrics"]["confused"][0]
    share = worst["count"] / document["metrics"]["by_class"][worst["true"]]["support"]
    assert [worst["true"], worst["predicted"], str(worst["count"]), f"{share:.1%}"] in rows(shown(document), "#errors")


def test_classes_are_told_of_worst_first_with_what_they_were(shown: Shown) -> None:
    document = evaluation()
    by_class = document["metrics"]["by_class"]
    by_class["yak"] = {"precision": None, "recall": None, "f1": None, "support": 0}
    del document["previous"]["by_class"]["cat"]
    told = rows(shown(document), "#classes")
    assert told[0] == ["class", "pictures", "precision", "recall", "F1", "F1 before"]
    scores = [by_class[name]["f1"] for name, *_ in told[1:-1]]
    assert scores == sorted(scores)
    assert told[-1][:5] == ["yak", "0", "–", "–", "–"]
    (cat,) = (one for one in told if one[0] == "cat")
    assert cat[-1] == "–"


def test_the_change_since_the_last_run_has_signs_and_words(shown: Shown) -> None:
    document = evaluation()
    document["metrics"] |= {"accuracy": 0.9, "ece": 0.05, "log_loss": 0.4, "top5": 1.0, "brier": None}
    document["previous"] |= {
        "accuracy": 0.88,
        "ece": 0.03,
        "log_loss": 0.5,
        "top5": 1.0,
        "brier": 0.2,
        "pictures": 1300,
    }
    page = shown(document)
    told = rows(page, "[aria-label=Summary]")
    assert ["accuracy", "88.0%", "90.0%", "+2.0 points better"] in told
    assert ["calibration error", "3.0%", "5.0%", "+2.0 points worse"] in told
    assert ["log loss", "0.500", "0.400", "−0.100 better"] in told
    assert ["right among the first five", "100.0%", "100.0%", "±0"] in told
    assert ["pictures", "1,300", "1,240", "−60"] in told
    assert not [one for one in told if one[0] == "Brier score"]
    assert "The difference in accuracy is no larger than chance makes it" in text(page)


def test_the_same_model_is_called_so(shown: Shown) -> None:
    document = evaluation()
    document["previous"]["model"] = document["model"]
    assert "Before: scheduled__2026-11-14T06-00-00, classified by the same model." in text(shown(document))


@pytest.mark.parametrize(
    ("before", "now", "pictures", "chance"),
    [
        (0.90, 0.92, 100, True),
        (0.90, 0.92, 100_000, False),
        (1.0, 1.0, 9, True),
        (None, 0.9, 9, None),
        (0.9, 0.9, 0, None),
    ],
)
def test_a_difference_that_chance_explains_is_told_from_one_it_does_not(
    before: float | None, now: float | None, pictures: int, chance: bool | None
) -> None:
    assert is_chance({"accuracy": now, "pictures": pictures}, {"accuracy": before, "pictures": pictures}) is chance


def test_a_measure_that_only_one_of_two_evaluations_has_did_not_change() -> None:
    assert changes({"accuracy": 0.5, "ece": None, "pictures": 3}, {"ece": 0.1, "log_loss": 0.3}) == []


def test_every_check_for_drift_has_its_number_threshold_verdict_and_sentence(shown: Shown) -> None:
    page = shown(evaluation())
    told = [" ".join(one.split()) for one in page.locator(".checks li").all_inner_texts()]
    assert len(told) == len(DRIFT["checks"])
    assert told[1].casefold() == (
        "embedding drift a classifier told 71% of 480 pictures apart, of the same classes; a coin has 50% "
        "how often old and new pictures are told apart 0.712 threshold 0.6 p < 0.001"
    )
    assert told[5].endswith("30 of each are needed share of unusually unsure answers – threshold 0.15 p –")
    assert page.locator(".checks .chip").evaluate_all("all => all.map(e => e.className)") == [
        "chip ok", "chip drift", "chip drift", "chip ok", "chip ok", "chip few",
    ]  # fmt: skip
    assert "drifted What arrives is no longer what the model was trained on." in text(page, "#drift")


def test_no_drift_is_said_too(shown: Shown) -> None:
    steady = evaluation(drift={"drifted": False, "checks": DRIFT["checks"][:1], "new_classes": ["yak"]})
    drift = text(shown(steady), "#drift")
    assert "new classes No check says drift, but some pictures are of classes that are new." in drift
    assert "Classes that the training pictures did not have: yak." in drift


def test_the_contact_sheet_shows_what_is_true_and_what_was_predicted(shown: Shown) -> None:
    errors = [row(1, "cat", "dog", 0.973), row(2, "dog", "cat", 0.9, name="rex.jpg")]
    unsure = [row(3, "cat", "cat", 0.52)]
    page = shown(evaluation(errors=errors, uncertain=unsure), {"key-1": packed((512, 300)), "key-3": packed((30, 30))})
    tiles = [" ".join(one.split()) for one in page.locator(".sheet li").all_inner_texts()]
    assert tiles == [
        "dog 97.3% is cat cat_1.jpg",
        "no picture cat 90.0% is dog rex.jpg",
        "cat 52.0% right 4.0% ahead cat_3.jpg",
    ]
    sizes = page.eval_on_selector_all(".sheet img", "all => all.map(e => [e.naturalWidth, e.naturalHeight])")
    assert sizes == [[SIDE, 94], [30, 30]], "smaller, and never larger"
    assert page.locator(".sheet .file").first.get_attribute("title") == "gs://animals_all/june/cat_1.jpg"
    assert page.locator(".sheet a").count() == 0
    assert "74 originals are copied to gs://animals_predicted/" in text(page, "#pictures")


def test_a_picture_that_cannot_be_decoded_is_none_and_no_crash() -> None:
    assert data_uri(b"garbage") is None
    assert data_uri(packed()[:300]) is None


def test_whatever_was_packed_has_a_thumbnail() -> None:
    for side in ((1, 1), (512, 1), (1, 512), (512, 512)):
        assert data_uri(packed(side)) is not None


def test_of_many_errors_so_many_are_shown_and_the_page_stays_small(shown: Shown) -> None:
    listed = [row(n, "cat", "dog") for n in range(500)]
    noise = dict.fromkeys((one["key"] for one in listed), packed((SIDE, SIDE), noise=1))
    document = evaluation(errors=listed, uncertain=listed)
    assert len(report.render(document, noise).encode()) < 3_000_000
    page = shown(document)
    assert page.locator(".sheet li").count() == report.WRONG + report.UNSURE
    assert "And 440 more, which metrics.json names." in text(page, "#pictures")


def test_thumbnails_are_jpegs_of_the_one_decode_path() -> None:
    uri = data_uri(packed((400, 200)))
    assert uri is not None
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert small.size == images.decode(packed((400, 200)), images.Limits(), SIDE).size == (SIDE, SIDE // 2)


def test_what_each_step_cost_is_a_row(shown: Shown) -> None:
    page = shown(evaluation())
    told = rows(page, "#arrived")
    assert ["plan", "1", "–", "–", "12", "40", "3.1", "US$ 0.0002"] in told
    assert ["sort", "3", "70.0 MB", "9.0 MB", "12", "40", "38.7", "US$ 0.0077"] in told
    assert ["predict", "4", "70.0 MB", "9.0 MB", "12", "40", "–", "US$ 0.0001"] in told
    assert "US$ 0.0080 in all" in text(page, "#arrived")
    assert ["estimated cost at list price", "US$ 0.0077"] in told


OPTIONAL = (
    "precision", "preprocessing", "drift", "previous", "errors", "uncertain", "review", "csv", "sort", "costs",
    "quarantined", "quarantine", "doubted", "release",
)  # fmt: skip
OPTIONAL_METRICS = (
    "interval",
    "top5",
    "log_loss",
    "brier",
    "ece",
    "reliability",
    "confused",
    "abstention",
    "new_classes",
)


@pytest.mark.parametrize("how", ["absent", "none", "empty"])
def test_what_an_evaluation_does_not_have_is_said_or_left_out(shown: Shown, how: str) -> None:
    document = evaluation()
    for keys, holder in ((OPTIONAL, document), (OPTIONAL_METRICS, document["metrics"])):
        for key in keys:
            value = holder.pop(key, None)
            if how == "none" or (how == "empty" and not isinstance(value, (list, dict))):
                holder[key] = None
            elif how == "empty":
                holder[key] = type(value)()
    page = shown(document)
    said = text(page)
    for sentence in (
        "No earlier evaluation to compare with.",
        "No picture was taken for one of another class.",
        "The probabilities of this run were not measured.",
        "Not measured: 2026-11-14-ab12cd3 has no reference of its training pictures to compare with.",
        "None to show.",
        "Neither plan nor sort left a result for this run",
        "Every new picture could be used.",
    ):
        assert sentence in said
    assert "None " not in said.replace("None to show.", "")
    assert page.locator("svg").count() == 0
    assert page.locator(".interval").count() == 0


@pytest.mark.parametrize("key", OPTIONAL)
def test_each_may_be_missing_alone(key: str) -> None:
    document = evaluation()
    document.pop(key, None)
    assert "</html>" in report.render(document)


def test_without_a_picture_whose_label_is_sure_there_is_no_accuracy(shown: Shown) -> None:
    document = evaluation(metrics=measured(KINDS, 0), errors=[], uncertain=[], doubted=3)
    page = shown(document)
    head = text(page, "[aria-label=Summary]")
    assert head.startswith("– No new picture whose label is sure.")
    assert "3 more are left out: they were met under another label, too." in head
    assert "There is no picture to compare." in text(page, "#errors")
    assert rows(page, "#classes")[1] == ["cat", "0", "–", "–", "–", *rows(page, "#classes")[1][5:]]


def test_new_classes_are_named(shown: Shown) -> None:
    document = evaluation([*KINDS, "yak"])
    document["metrics"]["new_classes"] = ["yak", "zebu"]
    assert "Classes the model does not know yak, zebu: every picture of them counts as an error." in text(
        shown(document)
    )
