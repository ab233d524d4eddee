"""Models at rest: whole or not at all, trusted by hash, never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import menagerie_contract as contract
import pytest

from model_service import registry
from model_service.registry import BadModel, pointer
from model_service.storage import Conflict, Exists
from tests.model_service.buckets import local, read_json

FILES = {"model.onnx": b"onnx", "model.safetensors": bytes(1000)}


TOLD = {"card.md": b"made at noon", "tensorboard/events": b"at noon"}


def _preprocessed(**changed: object) -> dict[str, object]:
    sound = {"version": "1", "size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    return {"classes": ["cat"], "data": {"shards": {}}, "preprocessing": sound | changed}


@pytest.fixture
def models(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def test_a_version_is_its_files_and_a_card_that_lists_them(models: str) -> None:
    card = registry.save(models, "v1", FILES, {"classes": ["cat", "Ёж"]})
    assert registry.card(models, "v1") == card
    assert {name: entry["bytes"] for name, entry in card["files"].items()} == {
        "model.onnx": 4,
        "model.safetensors": 1000,
    }
    assert (card["version"], card["classes"]) == ("v1", ["cat", "Ёж"])
    assert all(registry.load(models, "v1", name) == data for name, data in FILES.items())


def test_the_same_version_again_is_no_error_also_by_a_later_attempt(models: str) -> None:
    first = registry.save(models, "v1", FILES, {"created": "at noon", "commit": "abc"})
    assert registry.save(models, "v1", FILES, {"created": "at one", "commit": "def"}) == first
    assert registry.card(models, "v1") == first


def test_of_files_that_tell_of_it_those_of_the_attempt_that_was_killed_stay(models: str) -> None:
    first = registry.save(models, "v1", FILES, {}, TOLD)
    local(f"{models}/resnet34/v1/model.json").unlink()
    again = registry.save(models, "v1", FILES, {}, {name: data + b" and later" for name, data in TOLD.items()})
    assert again == first
    assert set(again["files"]) == {*FILES, *TOLD}
    assert all(registry.load(models, "v1", name) == data for name, data in TOLD.items())


def test_a_version_that_is_being_removed_is_not_saved_again(models: str) -> None:
    registry.save(models, "v1", FILES, {})
    local(f"{models}/resnet34/v1/removing.json").write_text("{}")
    with pytest.raises(BadModel, match=r"model v1 is being removed: .*/removing\.json says so") as caught:
        registry.save(models, "v1", FILES, {})
    assert "gc --yes" in caught.value.remedy


def test_an_attempt_that_was_killed_before_its_card_is_finished_by_the_next(models: str) -> None:
    registry.save(models, "v1", FILES, {})
    local(f"{models}/resnet34/v1/model.json").unlink()
    with pytest.raises(BadModel, match=r"no model v1: .*model\.json does not exist"):
        registry.card(models, "v1")
    registry.save(models, "v1", FILES, {})
    assert registry.load(models, "v1", "model.onnx") == b"onnx"


@pytest.mark.parametrize(
    ("files", "card", "other"),
    [({"model.onnx": b"new!"}, {}, "model.onnx"), ({"model.onnx": b"onnx"}, {"classes": ["dog"]}, "model.json")],
)
def test_another_model_under_the_same_version_is_refused(
    models: str, files: dict[str, bytes], card: dict[str, object], other: str
) -> None:
    registry.save(models, "v1", {"model.onnx": b"onnx"}, {})
    with pytest.raises(BadModel, match=f"exists already with another {other}; nothing was overwritten"):
        registry.save(models, "v1", files, card)
    assert registry.load(models, "v1", "model.onnx") == b"onnx"


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"0nnx"), "its sha256 differs"),
        (lambda folder: (folder / "model.onnx").unlink(), "is not whole"),
        (lambda folder: (folder / "model.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "model.json").write_text("[]"), r"model\.json is damaged: it is no JSON object"),
        (lambda folder: (folder / "model.json").write_text("{}"), r"model\.json is damaged: it has no 'files'"),
        (lambda folder: (folder / "model.json").write_text('{"files": {}}'), r"damaged: it is the card of None"),
        (lambda folder: (folder / "model.json").write_text('{"files": ["model.onnx"]}'), "'files' does not give each"),
        (
            lambda folder: (folder / "model.json").write_text('{"files": {"model.onnx": {}}}'),
            "'files' does not give each",
        ),
        (lambda folder: (folder / "model.json").unlink(), "no model v1"),
        (lambda folder: (folder / "model.json").write_text('{"version": "v1", "files": {}}'), "has no file model.onnx"),
    ],
)
def test_a_model_that_is_not_what_its_card_says_is_refused(models: str, damage: object, complaint: str) -> None:
    registry.save(models, "v1", FILES, {})
    damage(local(f"{models}/resnet34/v1"))  # type: ignore[operator]
    with pytest.raises(BadModel, match=complaint) as caught:
        registry.load(models, "v1", "model.onnx")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("card", "wrong"),
    [
        ({}, "it has no 'classes'"),
        ({"classes": "cat"}, "'classes' is no list of labels"),
        ({"classes": []}, "'classes' is no list of labels"),
        ({"classes": ["cat", 1]}, "'classes' is no list of labels"),
        ({"classes": ["cat", "dog", "cat"]}, "'classes' has 'cat' twice"),
        ({"classes": ["cat"]}, "it has no 'data'"),
        ({"classes": ["cat"], "data": {}}, "'data' does not tell the shards trained on"),
        ({"classes": ["cat"], "data": []}, "'data' does not tell the shards trained on"),
        ({"classes": ["cat"], "data": {"shards": {}}, "preprocessing": {}}, "'preprocessing' does not say its version"),
        (_preprocessed(size="32"), "'preprocessing' has the size '32', no number of pixels"),
        (_preprocessed(size=0), "'preprocessing' has the size 0, no number of pixels"),
        (_preprocessed(mean=[0.5]), "'preprocessing' has no three numbers as its mean"),
        (_preprocessed(std=None), "'preprocessing' has no three numbers as its std"),
        (_preprocessed(std=[0.2, 0, 0.2]), "'preprocessing' has a std of 0"),
    ],
)
def test_a_card_of_another_shape_is_refused_where_it_is_read(models: str, card: dict[str, object], wrong: str) -> None:
    registry.save(models, "v1", FILES, card)
    with pytest.raises(BadModel, match=rf"v1/model\.json is damaged: {wrong}") as caught:
        registry.card(models, "v1", "classes", "data")
    assert "retrain=always" in caught.value.remedy


def test_the_champion_moves_only_from_where_it_was_seen(models: str) -> None:
    assert registry.champion(models) == (None, 0)
    registry.move_champion(models, {"version": "v1"}, 0)
    with pytest.raises(Exists):
        registry.move_champion(models, {"version": "late"}, 0)
    pointer, seen = registry.champion(models)
    assert pointer == {"version": "v1"}
    registry.move_champion(models, {"version": "v2"}, seen)
    with pytest.raises(Conflict):
        registry.move_champion(models, {"version": "late"}, seen)
    assert read_json(f"{models}/resnet34/champion.json") == {"version": "v2"}


def test_the_champion_moves_to_a_version_that_is_there_or_not_at_all(models: str) -> None:
    registry.save(models, "v1", FILES, {})
    first = registry.following(None, registry.card(models, "v1"), run="r1", verdict="the first")
    gone = first | {"version": "v9"}
    with pytest.raises(BadModel, match="no model v9"):
        registry.install(models, gone, 0)
    assert registry.champion(models) == (None, 0)
    registry.install(models, first, 0)
    now, seen = registry.champion(models)
    assert now == first
    registry.save(models, "v2", FILES, {})
    local(f"{models}/resnet34/v2/removing.json").write_text("{}")
    second = registry.following(now, registry.card(models, "v2"), run="r2", verdict="better")
    with pytest.raises(BadModel, match="model v2 is being removed"):
        registry.install(models, second, seen)
    assert registry.champion(models)[0] == first


def test_the_pointer_remembers_the_champions_before_and_each_once(models: str) -> None:
    now = registry.following(None, registry.save(models, "v1", FILES, {}), run="r", verdict="the first")
    for version in ("v2", "v3", "v2"):
        now = registry.following(now, registry.save(models, version, FILES, {}), run="r", verdict="better")
    assert (now["version"], now["previous"], now["earlier"]) == ("v2", "v3", ["v3", "v1"])
    taken = pointer.back(now, registry.card(models, "v1"), {"version": "v2", "run": "r", "why": "bad"})
    assert (taken["version"], taken["previous"], taken["earlier"]) == ("v1", None, [])
    assert registry.earlier({"version": "v2", "previous": "v1"}) == ["v1"], "of an earlier release"


def champion(models: str, version: str | None, previous: str | None) -> None:
    """Move the pointer there, whatever it says now."""
    _, seen = registry.champion(models)
    registry.move_champion(models, {"version": version, "previous": previous, "run": "r2"}, seen)


def test_a_withdrawn_champion_gives_way_to_the_one_before_it(models: str) -> None:
    registry.save(models, "v1", FILES, {})
    champion(models, "v2", "v1")
    assert registry.withdraw(models, "v2", "r2", "it crashes")
    pointer, _ = registry.champion(models)
    assert pointer is not None
    assert pointer.pop("promoted").endswith("+00:00")
    assert pointer == {
        "version": "v1",
        "previous": None,
        "earlier": [],
        "sha256": registry.hashes(registry.card(models, "v1")),
        "run": None,
        "verdict": "v2 was withdrawn",
        "withdrawn": {"version": "v2", "run": "r2", "why": "it crashes"},
    }
    assert registry.withdrawn(models) == {"version": "v2", "run": "r2", "why": "it crashes"}


def test_a_withdrawn_first_champion_leaves_none_and_its_pointer_can_be_moved_on(models: str) -> None:
    champion(models, "v1", None)
    assert registry.withdraw(models, "v1", "r1", "it crashes")
    assert read_json(f"{models}/resnet34/champion.json")["version"] is None
    found, seen = registry.champion(models)
    assert found is None
    assert seen != 0
    champion(models, "v2", None)
    assert registry.champion(models)[0] == {"version": "v2", "previous": None, "run": "r2"}
    assert registry.withdrawn(models) is None


def test_only_the_champion_can_be_withdrawn_and_only_once(models: str) -> None:
    assert not registry.withdraw(models, "v1", "r1", "never was")
    registry.save(models, "v1", FILES, {})
    champion(models, "v2", "v1")
    assert not registry.withdraw(models, "v1", "r1", "is not")
    assert registry.withdraw(models, "v2", "r2", "is")
    assert not registry.withdraw(models, "v2", "r2", "was")
    assert registry.withdrawn(models) == {"version": "v2", "run": "r2", "why": "is"}


def test_a_withdrawn_champion_gives_way_to_what_the_website_serves(models: str) -> None:
    for version in ("v1", "v2"):
        registry.save(models, version, FILES, {})
    champion(models, "v3", "v2")
    assert registry.withdraw(models, "v3", "r3", "taken back", serves="v2")
    assert registry.withdraw(models, "v2", "r3", "taken back again", serves="v1")
    pointer, _ = registry.champion(models)
    assert pointer is not None
    assert pointer["version"] == "v1"
    champion(models, "v3", "v2")
    assert registry.withdraw(models, "v3", "r3", "taken back", serves="of another bucket")
    assert read_json(f"{models}/resnet34/champion.json")["version"] == "v2"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"version": 1}'])
def test_a_damaged_pointer_is_named_and_never_taken_for_no_champion(models: str, text: str) -> None:
    path = local(f"{models}/resnet34/champion.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for read in (registry.champion, registry.withdrawn, lambda where: registry.withdraw(where, "v1", "r", "why")):
        with pytest.raises(BadModel, match=r"resnet34/champion\.json is damaged") as caught:
            read(models)
        assert "older generation" in caught.value.remedy


def test_a_champion_moved_in_that_moment_stays(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    champion(models, "v1", None)
    move = registry.move_champion

    def another_run_is_quicker(where: str, pointer: dict[str, object], generation: int) -> None:
        move(where, {"version": "v9", "previous": "v1", "run": "r9"}, generation)
        move(where, pointer, generation)

    monkeypatch.setattr(pointer, "move_champion", another_run_is_quicker)
    assert not registry.withdraw(models, "v1", "r1", "it crashes")
    assert read_json(f"{models}/resnet34/champion.json")["version"] == "v9"


def test_what_the_judge_says_of_int8_is_said_once_and_is_no_part_of_the_model(models: str) -> None:
    card = registry.save(models, "v1", FILES, {})
    assert registry.int8(models, "v1") is None
    said = {
        "accepted": False,
        "reason": "it loses",
        "accuracy": {"f32": 0.9, "int8": 0.8},
        "agreement": 0.9,
        "pictures": 9,
    }
    assert registry.save_int8(models, "v1", said) == registry.int8(models, "v1") == said
    assert registry.save_int8(models, "v1", said | {"accepted": True}) == said
    assert registry.card(models, "v1") == card
    assert registry.save(models, "v1", FILES, {}) == card, "another attempt of training"


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "it names no version"),
        ("null", "it names no version"),
        ({}, "it names no version"),
        ({"version": 5}, "it names no version"),
        ({"version": "v1", "previous": 7}, "'previous' is no text"),
        ({"version": "v1", "earlier": "abc"}, "'earlier' is no list of versions"),
        ({"version": "v1", "earlier": [5]}, "'earlier' is no list of versions"),
        ({"version": "v1", "withdrawn": "x"}, "'withdrawn' does not say which version"),
        ({"version": "v1", "withdrawn": {"version": "v0"}}, "'withdrawn' does not say which version"),
        ({"version": "v1", "run": []}, "'run' is no text"),
        ({"version": "v1", "verdict": {}}, "'verdict' is no text"),
    ],
)
def test_a_pointer_that_is_damaged_is_named(models: str, said: object, wrong: str) -> None:
    uri = contract.champion(models)
    local(uri).parent.mkdir()
    local(uri).write_text(said if isinstance(said, str) else json.dumps(said))
    for ask in (pointer.read, pointer.champion, pointer.withdrawn):
        with pytest.raises(BadModel, match=f"{uri} is damaged: .*{wrong}") as caught:
            ask(models)
        assert "Restore an older generation" in caught.value.remedy
        assert not caught.value.retry


def test_a_pointer_of_an_earlier_release_has_fewer_parts(models: str) -> None:
    registry.move_champion(models, {"version": "v2", "previous": "v1"}, 0)
    assert registry.earlier(pointer.read(models)[0]) == ["v1"]
