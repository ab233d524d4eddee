"""The model's card: what it says, on a phone and in the dark, and that names in it are only names."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request

from model_service.evaluation.metrics import Predictions, measure
from model_service.training import card
from model_service.training.card import charts
from model_service.training.card.limits import limits
from model_service.training.card.page import plain
from tests.model_service.chromium import chromium
from tests.model_service.conftest import Trained
from tests.model_service.test_report import CONTRASTS, EVIL

KINDS = ["cat", "dog", "giraffe"]
HISTORY = [
    {"epoch": n, "side": 112 if n < 2 else 224, "train_loss": 2 / n, "valid_loss": 2.2 / n, "accuracy": 1 - 0.5 / n}
    for n in (1, 2, 3)
]
STEP = contract.Train(
    run="r1", models="gs://animals_models", result="", registry="https://joe:hush@git.example/r.git", epochs=3
)

Shown = Callable[..., Page]


def made(classes: list[str] = KINDS, pictures: int = 120, sure: float = 4.0, **changes: Any) -> card.Page:
    """The card of a model with `pictures` to validate with; the higher `sure`, the better it is."""
    chance = np.random.default_rng(0)
    true = chance.integers(0, len(classes), pictures)
    logits = chance.normal(size=(pictures, len(classes)))
    logits[np.arange(pictures), true] += sure
    given = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    told = Predictions([classes[i] for i in true], [classes[i] for i in given.argmax(1)], given)
    views = chance.integers(0, 256, (pictures, 32, 32, 3), np.uint8)
    samples = card.samples(views, list(range(pictures)), [str(n) for n in range(pictures)], told)
    return card.Page(
        described(classes, 10 * pictures, **changes), measure(told, sorted(classes)), HISTORY, STEP, samples
    )


def described(classes: list[str] = KINDS, pictures: int = 1200, **changes: Any) -> dict[str, Any]:
    """What model.json says."""
    each = {label: pictures // len(classes) for label in classes}
    data = {
        "tag": "dataset_v3",
        "batches": [{"name": "r0/00000-0a1b", "manifest": "ab" * 32}, {"name": "r1/00000-2c3d", "manifest": "cd" * 32}],
        "pictures": pictures,
        "available": pictures,
        "by_class": each,
        "left_out": [],
    }
    told = {
        "version": "r1-1234abcd",
        "architecture": "resnet34",
        "classes": classes,
        "preprocessing": {"size": 224},
        "start": {"kind": "champion", "name": "r0-0000aaaa", "sha256": "ef" * 32, "fresh": []},
        "parent": "r0-0000aaaa",
        "training": {"epochs": 3, "network": "resnet34"},
        "libraries": {"torch": "2.15.0", "python": "3.11.7"},
        "commit": "0123456789abcdef",
        "created": "2026-11-21T19:43:00+00:00",
    }
    return told | changes | {"data": data | changes.get("data", {})}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Shown]:
    """Shows a card, with all that is folded away; a script error, a line on the console or a dialogue fails the test."""
    pages: list[Page] = []
    problems: list[str] = []

    def show(one: card.Page | str, width: int = 1100, **options: Any) -> Page:
        file = tmp_path / f"card-{len(pages)}.html"
        file.write_text(one if isinstance(one, str) else one.html())
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)
        pages.append(page)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        requests: list[Request] = []
        page.on("request", lambda request: requests.append(request))
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.wait_for_load_state("networkidle")
        assert [r.url for r in requests if not r.url.startswith("data:")] == [page.url], "the page fetches nothing"
        return page

    yield show
    for page in pages:
        page.context.close()
    assert problems == []


def text(page: Page, section: str = "body") -> str:
    return " ".join(page.locator(section).first.inner_text().split())


# What it says


def test_the_page_says_what_the_model_is_and_how_good(shown: Shown) -> None:
    told = text(shown(made()))
    assert told.startswith(
        "Model r1-1234abcd resnet34 at 224 pixels tells 3 classes apart. Trained by run r1 on 2026-11-21, on dataset_v3."
    )
    assert "of 120 validation pictures right" in told
    assert "It began with the weights of the champion before it (r0-0000aaaa), and learned from 1,080 pictures." in told
    assert "1 112 px 2 2.2 50.0% 2 224 px 1 1.1 75.0%" in told, "its epochs, and the sides of what they learned from"


def test_each_class_has_its_pictures_and_its_scores(shown: Shown) -> None:
    page = shown(made())
    rows = page.eval_on_selector_all(
        "#classes tbody tr", "all => all.map(r => [...r.cells].map(c => c.innerText.trim()))"
    )
    assert sorted(row[0] for row in rows) == KINDS
    assert sum(int(row[1]) + int(row[2]) for row in rows) == 1200
    scores = [float(row[5].rstrip("%")) for row in rows]
    assert scores == sorted(scores), "worst first"


def test_the_page_says_how_to_make_the_model_again(shown: Shown) -> None:
    told = text(shown(made()), "#again")
    assert "python -m model_service reproduce \\ --tag=model_vN" in told
    assert "the code of commit 0123456789ab" in told
    assert "python -m model_service train \\ --run=r1-again" in told
    assert "--dataset-tag=dataset_v3 \\ --epochs=3" in told
    assert "ef" * 32 in told
    assert "torch 2.15.0" in told


def test_the_command_to_train_again_is_one(shown: Shown) -> None:
    """Copied from the page, it is understood; and no login is in it."""
    command = shown(made()).locator("#again pre").last.inner_text()
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["python", "-m", "model_service", "train"]
    step = contract.parse(words[3:])
    assert isinstance(step, contract.Train)
    assert (step.run, step.epochs, step.dataset_tag) == ("r1-again", 3, "dataset_v3")
    assert "hush" not in command


def test_markdown_says_the_same() -> None:
    told = made().markdown()
    for line in (
        "# Model r1-1234abcd",
        "- dataset: dataset\\_v3",
        "- batch r0/00000-0a1b, manifest " + "ab" * 32,
        "| class | learned from | validated on | precision | recall | F1 |",
        "| 1 | 112 px | 2 | 2.2 | 50.0% |",
        "| 3 | 224 px | 0.667 | 0.733 | 83.3% |",
        "    python -m model_service train \\",
        "- parent: r0-0000aaaa",
    ):
        assert f"\n{line}\n" in f"\n{told}", line
    assert "hush" not in told


def test_a_real_training_has_both(trained: Trained, shown: Shown) -> None:
    told = text(shown((trained.folder / "card.html").read_text()))
    assert told.startswith(f"Model {trained.version} resnet34 at 32 pixels tells 3 classes apart. Trained by run r1")
    assert "It learned from scratch" in told
    assert trained.card["data"]["batches"][0]["manifest"] in told
    assert (trained.folder / "card.md").read_text().startswith(f"# Model {trained.version}\n")


# What it cannot do


def said(card_: dict[str, Any], **metrics: Any) -> str:
    by_class = {label: {"support": 30, "recall": 0.9} for label in card_["classes"]}
    usual = {"pictures": 200, "accuracy": 0.9, "interval": [0.85, 0.93], "ece": 0.02, "by_class": by_class}
    return "\n".join(limits(card_, usual | metrics))


def test_a_good_model_has_the_limits_that_all_have() -> None:
    assert len(said(described()).splitlines()) == 3


def test_what_is_weak_about_a_model_is_said() -> None:
    scarce = described(
        data={"by_class": {"cat": 900, "dog": 49, "giraffe": 7}, "available": 5000, "left_out": ["a", "b"]}
    )
    told = said(scarce | {"start": {"kind": "none"}}, pictures=40, interval=[0.61, 0.88], ece=0.2)
    assert "It learned from scratch" in told
    assert "fewer than 50 pictures, are learned badly: giraffe (7), dog (49)." in told
    assert "uneven, 900 pictures of the largest and 7 of the smallest" in told
    assert "Of 5,000 pictures it was shown 1,200" in told
    assert "2 pictures were left out" in told
    assert "They rest on 40 pictures: its true accuracy may be anything from 61% to 88%." in told
    assert "off by 20% on average" in told


def test_classes_that_it_misses_and_that_nobody_can_judge_are_named() -> None:
    by_class = {
        "cat": {"support": 30, "recall": 0.4},
        "dog": {"support": 4, "recall": 0.0},
        "giraffe": {"support": 0, "recall": None},
    }
    told = said(described(), by_class=by_class)
    assert "It misses more than half of cat (40%)." in told
    assert "Too few pictures to say how good it is at dog, giraffe." in told


# As a page


def test_names_are_shown_and_never_run(shown: Shown) -> None:
    evil = made([EVIL, "b"], commit=EVIL, parent=EVIL, version=EVIL, architecture=EVIL, training={EVIL: EVIL},
                libraries={EVIL: EVIL}, start={"kind": "file", "name": EVIL, "sha256": EVIL, "fresh": []},
                data={"tag": EVIL, "batches": [{"name": EVIL, "manifest": EVIL}]})  # fmt: skip
    page = shown(evil, bypass_csp=True)  # not for the policy alone
    assert page.title() == f"Model {EVIL}"
    assert page.locator("script").count() == 0
    assert page.locator("img:not([src^='data:image/jpeg;base64,'])").count() == 0
    assert (
        page.eval_on_selector_all("*", "all => all.flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))")
        == []
    )
    assert page.locator("body").inner_text().count(EVIL) >= 15


def test_names_are_no_markup_in_markdown() -> None:
    class Elements(HTMLParser):
        seen: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: Any) -> None:
            self.seen.append(tag)

    names = [EVIL, "a | b", "[x](javascript:alert)", "`code`", "two\nlines # no title", "**bold**"]
    told = made(names).markdown()
    parser = Elements()
    parser.feed(told)
    assert parser.seen == []
    assert "\n# no title" not in told
    rows = [line for line in told.splitlines() if "javascript" in line and line.startswith("|")]
    assert rows
    assert all("\\[x\\]" in row for row in rows)
    assert plain("a | b") == "a \\| b"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_only_tables_and_commands_scroll_sideways(shown: Shown, scheme: str) -> None:
    many = made([f"a class of the name {n}" * 3 for n in range(30)], version="r" * 80)
    for one in (many, made([EVIL, "b"])):
        page = shown(one, width=360, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(shown: Shown, scheme: str) -> None:
    contrasts = shown(made(sure=1.0), color_scheme=scheme).evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert [one for one in contrasts if one[0] < 4.5] == []


def test_a_screen_reader_finds_its_way(shown: Shown) -> None:
    page = shown(made())
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(e => +e.localName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.locator("svg").count() == page.locator("[role=img][aria-label] > svg").count() == 4
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    titles = page.eval_on_selector_all("section[aria-labelledby] > h2", "all => all.map(e => e.parentElement.id)")
    assert titles == page.eval_on_selector_all("nav a", "all => all.map(e => e.hash.slice(1))")


def test_a_loss_far_above_all_others_does_not_flatten_the_curve() -> None:
    wild = [{"epoch": 1, "train_loss": 3.0, "valid_loss": 566.0, "accuracy": 0.2}, *HISTORY[1:]]
    assert charts.top(wild) < 10
    assert charts.top(HISTORY) == pytest.approx(1.08 * 2.2)
    assert charts.top([wild[0] | {"valid_loss": float("nan")}]) == pytest.approx(1.08 * 3)


def test_a_training_of_one_epoch_has_a_dot_and_of_many_a_line_alone() -> None:
    assert charts.accuracy(HISTORY[:1]).count("stroke-linecap: round") >= 1
    assert charts.accuracy([HISTORY[0] | {"epoch": n} for n in range(1, 40)]).count("stroke-linecap: round") == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"left_out": ["0a1b"]}}, "1 picture with two labels"),
        ({"data": {"left_out": ["0a1b", "2c3d"]}}, "2 pictures with two labels"),
        ({"data": {"available": 9000}}, "9,000"),
        ({"data": {"tag": ""}}, "no tag"),
    ],
)
def test_what_is_not_always_so_is_told_in_both(changes: dict[str, Any], sentence: str) -> None:
    one = made(**changes)
    assert sentence in one.markdown()
    assert sentence in one.html()
