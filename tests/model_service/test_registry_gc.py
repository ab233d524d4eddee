"""`registry gc`: old versions go, never one that is needed; killed anywhere, no model looks whole that is not."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import registry
from model_service.__main__ import main
from model_service.registry import pointer, removal, shelf, versions
from model_service.registry.shelf import Shelved
from model_service.storage import Blob, open_store
from tests.model_service.buckets import Buckets, local, make_buckets
from tests.model_service.forked import Child, Ended, Forks
from tests.model_service.versioned import Registry, said

DAY = 24 * 3600
NOW = 100 * DAY
FILES = {"model.onnx": b"onnx", "model.safetensors": bytes(1000), "tensorboard/events": b"curves"}


@pytest.fixture
def models(tmp_path: Path) -> str:
    """v1 to v6, written a week ago one after the other; v5 is champion, after v3."""
    models = make_buckets(tmp_path).models
    for n in range(1, 7):
        registry.save(models, f"v{n}", FILES, {"classes": ["cat"]})
    for version in ("v3", "v5"):
        promoted(models, version)
    for n in range(1, 7):
        aged(models, f"v{n}", 7 * DAY - n)
    return models


def promoted(models: str, version: str) -> None:
    now, seen = registry.champion(models)
    moved = registry.following(now, registry.card(models, version), run=version, verdict="better")
    registry.install(models, moved, seen)


def aged(models: str, version: str, seconds: float) -> None:
    """As if it had been written so long ago."""
    for path in local(f"{models}/resnet34/{version}").rglob("*"):
        os.utime(path, times=(time.time() - seconds,) * 2)


def argv(models: str, *words: str) -> list[str]:
    return ["registry", "gc", f"--models={models}", *words]


def collected(models: str, *words: str) -> None:
    assert main(argv(models, "--yes", "--registry=none", *words)) == 0


def there(models: str) -> list[str]:
    """The versions of which anything is left."""
    return sorted(one.version for one in shelf.versions(models))


def whole(models: str) -> list[str]:
    """The versions that look like models; each is whole."""
    found = sorted(one.version for one in shelf.versions(models) if one.finished)
    for version in found:
        assert all(registry.load(models, version, name) == data for name, data in FILES.items())
    return found


def test_without_yes_it_only_says_what_would_go_and_how_much(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv(models, "--keep=2", "--registry=none")) == 0
    told = capsys.readouterr().out
    fates = {words[0]: " ".join(words[5:]) for words in map(str.split, told.splitlines()) if words[0][0] == "v"}
    assert fates == {
        "v6": "stays: among the 2 newest",
        "v5": "stays: champion",
        "v3": "stays: to roll back to",
        **dict.fromkeys(("v1", "v2", "v4"), "goes"),
    }
    assert "3 versions of 6 would go, 0.0 MB\nnothing was removed; --yes removes them" in told
    assert there(models) == [f"v{n}" for n in range(1, 7)]


def test_with_yes_they_go_whole_and_the_rest_stays_whole(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    collected(models, "--keep=1")
    assert there(models) == whole(models) == ["v3", "v5", "v6"]
    assert "removed 3 versions" in capsys.readouterr().out
    collected(models, "--keep=0")
    assert there(models) == ["v3", "v5"]
    collected(models, "--keep=0")
    assert there(models) == ["v3", "v5"]


def test_what_is_tagged_is_only_known_with_a_registry_so_nothing_goes_without(
    models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv(models, "--keep=0", "--yes")) == 1
    refused = capsys.readouterr().err
    assert "which models are tagged is not known: nothing was removed" in refused
    assert "--registry=none" in refused
    assert main(argv(models, "--keep=0")) == 0
    assert "TAGS ARE NOT KNOWN" in capsys.readouterr().out
    assert len(there(models)) == 6


def test_a_registry_that_cannot_be_reached_stops_it(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv(models, "--keep=0", "--yes", "--registry=file:///nowhere/registry.git")) == 1
    assert "there is no data registry at file:///nowhere/registry.git" in capsys.readouterr().err
    assert main(argv(models, "--keep=0", "--yes", f"--registry={models}")) == 1, "a folder that is no repository"
    assert len(there(models)) == 6


def test_an_unfinished_version_goes_when_nobody_can_be_writing_it_any_more(models: str) -> None:
    for version in ("old", "young"):
        registry.save(models, version, FILES, {})
        local(f"{models}/resnet34/{version}/model.json").unlink()
    aged(models, "old", 2 * DAY)
    collected(models)
    assert "old" not in there(models)
    assert "young" in there(models)


def shelved(version: str, days: float, *, finished: bool = True, removing: bool = False) -> Shelved:
    names = ["model.onnx", *["model.json"] * finished, *["removing.json"] * removing]
    return Shelved(version, {name: Blob(name, 1, 1, created=NOW - days * DAY) for name in names})


ON_SHELF = [shelved(f"v{9 - n}", n) for n in range(9)]  # v9 is of today


@pytest.mark.parametrize(
    ("now", "tags", "parents", "keep", "stays"),
    [
        (None, {}, {}, 0, {"v9": "finished within a day"}),
        (None, {}, {}, 2, {"v9": "among the 2 newest", "v8": "among the 2 newest"}),
        (
            {"version": "v2", "previous": "v1"},
            {},
            {},
            0,
            {"v9": "finished within a day", "v2": "champion", "v1": "to roll back to"},
        ),
        (
            {"version": "v2", "previous": "v4", "earlier": ["v4", "v1"], "withdrawn": {"version": "v3"}},
            {},
            {},
            1,
            {
                "v9": "among the 1 newest",
                "v2": "champion",
                "v4": "to roll back to",
                "v3": "withdrawn, may still be served",
            },
        ),
        (
            {"version": "v5", "previous": None},
            {"v3": "model_v1", "gone": "model_v0"},
            {"v5": "v4", "v3": "v1", "v4": "v2", "v7": "v6"},
            1,
            {
                "v9": "among the 1 newest",
                "v5": "champion",
                "v4": "parent of v5",
                "v3": "model_v1",
                "v1": "parent of v3",
            },
        ),
    ],
    ids=["young", "newest", "champion and previous", "withdrawn", "tagged, and what they were trained from"],
)
def test_why_a_version_stays(
    now: dict[str, Any] | None, tags: dict[str, str], parents: dict[str, str], keep: int, stays: dict[str, str]
) -> None:
    cards = {one.version: {"parent": parents.get(one.version)} for one in ON_SHELF}
    found = removal.reasons(ON_SHELF, now, cards, tags, keep, NOW)
    assert {version: why for version, why in found.items() if why} == stays
    assert list(found) == [one.version for one in ON_SHELF]


def test_a_removal_that_was_begun_is_gone_on_with_unless_the_version_is_needed() -> None:
    on_shelf = [
        shelved("whole", 0.1, removing=True),
        shelved("cut", 0.1, finished=False, removing=True),
        shelved("tagged", 0.1, removing=True),
        shelved("tagged and cut", 0.1, finished=False, removing=True),
        shelved("champion", 9, removing=True),
        shelved("new", 0.1, finished=False),
    ]
    tags = {"tagged": "model_v1", "tagged and cut": "model_v2"}
    found = removal.reasons(on_shelf, {"version": "champion"}, {one.version: {} for one in on_shelf}, tags, 9, NOW)
    assert found == {
        "whole": "",
        "cut": "",
        "tagged": "model_v1",
        "tagged and cut": "",
        "champion": "champion",
        "new": "unfinished, and written to within a day",
    }


def test_a_version_promoted_before_it_goes_stays(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the mark: gc sees it when it looks again."""
    tell = removal._tell

    def meanwhile(*args: Any) -> None:
        tell(*args)
        promoted(models, "v2")

    monkeypatch.setattr(removal, "_tell", meanwhile)
    collected(models, "--keep=0")
    assert registry.champion(models)[0]["version"] == "v2"  # type: ignore[index]
    assert there(models) == whole(models) == ["v2", "v3", "v5"], "v3 was to stay when gc looked first"
    promoted(models, "v3")


def test_a_version_that_is_going_cannot_be_promoted(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the mark, and after gc has looked for the last time: who promotes sees the mark."""
    needed = removal._needed

    def meanwhile(step: contract.Registry, store: Any, place: str, one: Shelved) -> str:
        why = needed(step, store, place, one)
        if one.version == "v2":
            with pytest.raises(registry.BadModel, match="model v2 is being removed by gc"):
                promoted(models, "v2")
        return why

    monkeypatch.setattr(removal, "_needed", meanwhile)
    collected(models, "--keep=0")
    assert registry.champion(models)[0]["version"] == "v5"  # type: ignore[index]
    assert there(models) == whole(models) == ["v3", "v5"]


def test_a_training_that_finishes_in_that_moment_keeps_its_model(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local(f"{models}/resnet34/v1/model.json").unlink()
    tell = removal._tell

    def meanwhile(*args: Any) -> None:
        tell(*args)
        registry.save(models, "v1", FILES, {"classes": ["cat"]})

    monkeypatch.setattr(removal, "_tell", meanwhile)
    collected(models, "--keep=0")
    assert there(models) == whole(models) == ["v1", "v3", "v5"]


def test_a_training_that_comes_after_that_is_told(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local(f"{models}/resnet34/v1/model.json").unlink()
    names = removal._names

    def meanwhile(store: Any, place: str) -> Any:
        found = list(names(store, place))
        if place.endswith("/v1") and versions.REMOVING in found:
            with pytest.raises(registry.BadModel, match="model v1 is being removed"):
                registry.save(models, "v1", FILES, {"classes": ["cat"]})
        return found

    monkeypatch.setattr(removal, "_names", meanwhile)
    collected(models, "--keep=0")
    assert there(models) == whole(models) == ["v3", "v5"]


def test_killed_anywhere_no_model_looks_whole_that_is_not_and_the_next_one_finishes(
    tmp_path: Path, forks: Forks
) -> None:
    """At every point where the bucket changes."""
    models = make_buckets(tmp_path).models
    registry.save(models, "v2", FILES, {"classes": ["cat"]})
    promoted(models, "v2")

    def collect(point: int = 0) -> Ended:
        return forks.run(Child(argv(models, "--keep=0", "--yes", "--registry=none"), point))

    def one_more() -> None:
        registry.save(models, "v1", FILES, {"classes": ["cat"]})
        aged(models, "v1", 7 * DAY)

    one_more()
    uninterrupted = collect()
    assert uninterrupted.codes == [0]
    assert there(models) == ["v2"]
    for point in range(1, uninterrupted.points[0] + 1):
        one_more()
        assert collect(point).codes == [-9]
        assert "v2" in whole(models), point
        assert collect().codes == [0], point
        assert there(models) == whole(models) == ["v2"], point


def test_so_it_is_on_cloud_storage(stores: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "YOUNG", -1.0)  # nobody can set a bucket's clock
    for n in range(1, 5):
        registry.save(stores.models, f"v{n}", FILES, {"classes": ["cat"]})
    promoted(stores.models, "v1")
    promoted(stores.models, "v2")
    store = open_store(stores.models)
    card = store.stat("resnet34/v3/model.json")
    store.delete_if_generation(card.name, card.generation)
    collected(stores.models, "--keep=0")
    assert there(stores.models) == whole(stores.models) == ["v1", "v2"]


def test_what_the_data_registry_has_a_tag_for_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Registry(make_buckets(tmp_path))
    models = kept.buckets.models
    for version in ("v1", "v2", "v3"):
        registry.save(models, version, FILES, {"classes": ["cat"], "commit": "c0ffee", "weights": "none"})
        aged(models, version, 7 * DAY)
    promoted(models, "v1")
    kept.snapshot(model="v1")
    promoted(models, "v2")
    promoted(models, "v3")
    promoted(models, "v2")
    assert main(["registry", "list", f"--models={models}", f"--registry={kept.url}"]) == 0
    marks = [line.split()[7:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted(marks) == [["model_v1"], ["–", "champion"], ["–", "previous"]]
    assert main(argv(models, "--yes", "--keep=0", f"--registry={kept.url}")) == 0
    assert "stays: model_v1" in capsys.readouterr().out
    assert whole(models) == ["v1", "v2", "v3"]


@pytest.mark.parametrize("other", ["empty", "lost its tags", "another's"])
def test_a_registry_that_does_not_know_these_models_removes_none(
    tmp_path: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It answers, and has no tag for them."""
    kept = Registry(make_buckets(tmp_path))
    models = kept.buckets.models
    card = {"classes": ["cat"], "commit": "c0ffee", "weights": "none"}
    for version in ("v1", "v2"):
        registry.save(models, version, FILES, card)
        aged(models, version, 7 * DAY)
    kept.snapshot(model="v1")
    if other == "lost its tags":
        kept.git("tag", "--delete", "model_v1")
    elif other == "empty":
        shutil.rmtree(kept.folder)
        said("git", "init", "--quiet", "--bare", str(kept.folder))
    else:
        (tmp_path / "other").mkdir()
        models = make_buckets(tmp_path / "other").models
        registry.save(models, "v9", FILES, card)
        aged(models, "v9", 7 * DAY)
    before = whole(models)
    assert main(argv(models, "--yes", "--keep=0", f"--registry={kept.url}")) == 1
    refused = capsys.readouterr()
    assert "removed v" not in refused.out
    assert len(refused.err.strip().splitlines()) >= 2, "what is wrong, and what to do"
    assert whole(models) == before
    if other == "another's":
        assert "the data registry has no tag for any version in this bucket" in refused.err
        assert "--registry=none" in refused.err
        assert main(argv(models, "--keep=0", f"--registry={kept.url}")) == 0
        assert "--yes would be refused: the data registry has no tag" in capsys.readouterr().out


def test_a_champion_that_was_marked_is_unmarked(models: str) -> None:
    """As by a gc that was killed right after its mark, of a version that withdrawing the champion led to then."""
    local(f"{models}/resnet34/v3/removing.json").write_text("{}")
    collected(models, "--keep=9")
    assert not registry.removing(models, "v3")
    promoted(models, "v3")


def test_pointer_and_versions_are_told_apart(models: str) -> None:
    assert pointer.read(models)[0] is not None
    assert "champion.json" not in there(models)
