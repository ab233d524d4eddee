"""snapshot: batches and models get tags that plain git and DVC can use; each once, whatever else happens."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import yaml

from model_service import registry, versioning
from model_service.__main__ import main
from model_service.doctor import versioned
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.shards import BadShard
from model_service.versioning import whole
from model_service.versioning.repository import opened
from tests.model_service.buckets import NAMES, Buckets, local, make_buckets
from tests.model_service.cloud import Cloud
from tests.model_service.forked import Child, Ended, Forks
from tests.model_service.proofs import many
from tests.model_service.versioned import Registry, content, dvc, said


@pytest.fixture
def kept(tmp_path: Path) -> Registry:
    return Registry(make_buckets(tmp_path))


def sort(kept: Registry, run: str, first: int = 1) -> str:
    kept.buckets.put_squares(3, first)
    kept.buckets.sorted(run, holdout=0.4)
    return kept.buckets.batch(run)


def save_model(kept: Registry, version: str, **card: Any) -> None:
    """What a snapshot looks at: its files, and a card that says how it was made."""
    basis = {"classes": ["cat", "dog"], "commit": "c0ffee", "weights": "none"}
    files = {"model.onnx": version.encode(), "tensorboard/events": b"curves"}
    registry.save(kept.buckets.models, version, files, basis | card)


def verdict_on(candidate: str, **more: Any) -> str:
    return json.dumps({"promote": True, "candidate": candidate, "champion": None, "reason": "the first"} | more)


def write_pointer(clone: Path, batch: str, meta: str = "{manifest: abc, place: 0}") -> Path:
    """A batch's .dvc file, as somebody may write it by hand."""
    place = clone / "batches" / f"{batch}.dvc"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"outs: []\nmeta: {meta}\n")
    return place


def of_bucket(buckets: Buckets, prefix: str) -> dict[str, bytes]:
    return {name.removeprefix(prefix): data for name, data in buckets.tree(buckets.models, prefix).items()}


def test_batches_join_the_dataset_and_plain_dvc_brings_them_back(kept: Registry) -> None:
    one = sort(kept, "r1")
    assert kept.snapshot("r1").outputs == {"tag": "dataset_v1", "batches": [one]}
    two = sort(kept, "r2", first=11)
    assert kept.snapshot("r2").outputs == {"tag": "dataset_v2", "batches": [two]}
    before = content(kept.folder)

    assert kept.snapshot("r3").outputs == {"tag": "dataset_v2", "batches": []}, "there is nothing to add"
    assert kept.snapshot("r2").outputs == {"tag": "dataset_v2", "batches": [two]}, "as its first attempt"
    assert content(kept.folder) == before

    clone = kept.clone()
    dvc("pull", folder=clone)
    for batch in (one, two):
        assert content(clone / "batches" / batch) == of_bucket(kept.buckets, f"batches/{batch}/")
    assert said("git", "status", "--porcelain", folder=clone) == ""
    sha256 = {batch.name: batch.manifest for batch in read_head(kept.buckets.models).batches}
    assert versioning.dataset(kept.url, "dataset_v1") == {one: sha256[one]}
    assert versioning.dataset(kept.url, "dataset_v2") == sha256
    assert versioning.latest(kept.url) == "dataset_v2"
    assert "Menagerie-Run: r2" in kept.git("log", "-1", "--format=%B", "dataset_v2")


def test_what_runs_before_have_left_out_is_added_too_on_cloud_storage_as_well(cloud: Cloud, tmp_path: Path) -> None:
    """A run may end between sort and snapshot. Whoever comes later adds its batch, once."""
    kept = Registry(Buckets(tmp_path, tuple(cloud.take() for _ in NAMES)))
    batches = [sort(kept, run, first) for run, first in (("r1", 1), ("r2", 11))]

    assert kept.snapshot("r2").outputs == {"tag": "dataset_v1", "batches": batches}

    clone = kept.clone()
    dvc("pull", folder=clone)
    for batch in batches:
        assert content(clone / "batches" / batch) == of_bucket(kept.buckets, f"batches/{batch}/")
    assert [name for name in kept.buckets.tree(kept.buckets.models) if name.startswith("dvc/files/md5/")]
    assert (
        versioned.data(kept.url, kept.buckets.models).found == f"{kept.buckets.models}/dvc: written, read and deleted"
    )


def test_a_model_has_a_tag_by_which_plain_dvc_gets_and_compares_it(kept: Registry) -> None:
    """Its files, its parameters, its metrics; and one tag, however often it is promoted."""
    buckets = kept.buckets
    for version, rate, right in (("a", 0.1, 0.5), ("b", 0.2, 0.75)):
        training = {"seed": 7, "learning_rate": rate}
        save_model(
            kept, version, training=training, data={"tag": "dataset_v3", "shards": {}}, metrics={"accuracy": right}
        )
        judged = {"overall": {"candidate": right, "champion": None}, "pictures": 8}
        uri = contract.verdict(buckets.models, version)
        local(uri).parent.mkdir(parents=True)
        local(uri).write_text(verdict_on(version, **judged))
        assert kept.snapshot(version, model=version, verdict=uri).outputs == {
            "tag": f"model_v{'ab'.index(version) + 1}"
        }
    assert kept.snapshot("again", model="a").outputs == {"tag": "model_v1"}
    assert kept.tags() == ["model_v1", "model_v2"]

    dvc("get", kept.url, "models/resnet34", "--rev", "model_v1", "-o", "got", folder=buckets.root)
    assert content(buckets.root / "got") == of_bucket(buckets, "resnet34/a/")
    clone = kept.clone()
    metrics = json.loads(dvc("metrics", "diff", "model_v1", "model_v2", "--json", folder=clone))["metrics.json"]
    assert metrics["holdout.overall"] == {"old": 0.5, "new": 0.75, "diff": 0.25}
    assert metrics["validation.accuracy"]["diff"] == 0.25
    params = json.loads(dvc("params", "diff", "model_v1", "model_v2", "--json", folder=clone))["params.yaml"]
    assert params["training.learning_rate"] == {"old": 0.1, "new": 0.2, "diff": 0.1}
    assert params["version"] == {"old": "a", "new": "b"}
    assert list(yaml.safe_load((clone / "params.yaml").read_text()))[:4] == ["version", "run", "dataset", "pictures"]

    model = versioning.model(kept.url, "model_v2")
    assert (model.version, model.dataset, model.params["seed"], model.params["commit"]) == (
        "b",
        "dataset_v3",
        7,
        "c0ffee",
    )
    assert model.metrics["holdout"] == {"overall": 0.75, "pictures": 8}
    assert versioning.tagged_models(kept.url) == {"a": "model_v1", "b": "model_v2"}


def test_without_a_registry_it_succeeds_and_says_so(kept: Registry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        assert kept.snapshot(registry="").outputs == {"tag": "", "batches": []}
        assert kept.snapshot(registry="", model="a").outputs == {"tag": ""}
    assert "WARNING: no data registry (MENAGERIE_REGISTRY) is set" in caplog.text


def test_before_the_first_batch_there_is_no_dataset(kept: Registry) -> None:
    assert kept.snapshot().outputs == {"tag": "", "batches": []}
    assert versioning.latest(kept.url) == ""


def test_a_batch_that_somebody_took_out_of_the_dataset_stays_out(kept: Registry) -> None:
    one = sort(kept, "r1")
    kept.snapshot("r0", models=make_other(kept.buckets.root).models)  # begins the registry
    clone = kept.clone()
    pointer = write_pointer(clone, one)
    kept.by_hand(clone, "dataset_v1")
    pointer.unlink()
    kept.by_hand(clone, "dataset_v2")

    assert kept.snapshot("r2").outputs == {"tag": "dataset_v2", "batches": []}
    assert versioning.dataset(kept.url, "dataset_v1") == {one: "abc"}
    assert versioning.dataset(kept.url, "dataset_v2") == {}


def test_nothing_is_tagged_of_a_batch_that_is_not_whole(kept: Registry) -> None:
    sort(kept, "r1")
    shard = local(kept.buckets.shards()[0])
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")

    with pytest.raises(BadShard, match="sha256 differs"):
        kept.snapshot()
    assert kept.tags() == []


def test_nor_of_data_that_dvc_could_not_push(kept: Registry) -> None:
    sort(kept, "r1")
    (kept.buckets.root / "full").write_text("no folder")

    with pytest.raises(StepError, match=rf"dvc push failed.*Not a directory: '{kept.buckets.root}/full/") as error:
        kept.snapshot(remote=f"file://{kept.buckets.root}/full")
    assert error.value.retry
    assert "let this account create and read objects" in error.value.remedy
    assert kept.tags() == []


def test_the_registry_says_where_its_data_are(kept: Registry, tmp_path: Path) -> None:
    sort(kept, "r1")
    kept.snapshot("r1", remote=f"file://{tmp_path}/elsewhere")
    kept.snapshot("r0", remote=f"file://{tmp_path}/elsewhere")
    assert any((tmp_path / "elsewhere/files/md5").iterdir())
    assert not (local(kept.buckets.models) / "dvc").exists()

    def refused(run: str) -> None:
        with pytest.raises(StepError, match=r"but the registry's data are in .*/elsewhere"):
            kept.snapshot(run, remote=f"file://{tmp_path}/a-third")

    refused("r1")  # though nothing is new
    sort(kept, "r2", first=11)
    refused("r2")


@pytest.mark.parametrize("remote", ["s3://bucket/data", "data", "gs://"])
def test_no_other_place_is_one_for_data(kept: Registry, remote: str) -> None:
    sort(kept, "r1")
    with pytest.raises(StepError, match="is no"):
        kept.snapshot(remote=remote)


def test_the_verdict_must_be_the_models_own(kept: Registry) -> None:
    save_model(kept, "a")
    uri = f"file://{kept.buckets.root}/verdict.json"
    with pytest.raises(StepError, match="is not there"):
        kept.snapshot(model="a", verdict=uri)
    local(uri).write_text('{"candidate": "a"}')
    with pytest.raises(StepError, match="damaged, no verdict: it has no 'promote'"):
        kept.snapshot(model="a", verdict=uri)
    local(uri).write_text(verdict_on("b"))
    with pytest.raises(StepError, match="is the verdict of b, not of a"):
        kept.snapshot(model="a", verdict=uri)


def test_snapshots_at_the_same_moment_have_numbers_of_their_own_and_nothing_is_lost(
    kept: Registry, forks: Forks, tmp_path: Path
) -> None:
    """Of runs of one pipeline whose registry is not even there yet, data and models at once."""
    batches = {sort(kept, run, first) for run, first in (("r1", 1), ("r2", 11))}
    for version in "ab":
        save_model(kept, version)
    steps = [kept.step("r1"), kept.step("r2"), kept.step("a", model="a"), kept.step("b", model="b")]

    ended = forks.run(*(Child(step.argv()) for step in steps))

    assert ended.codes == [0] * len(steps)
    assert kept.tags() == ["dataset_v1", "model_v1", "model_v2"]
    assert len(kept.git("log", "--format=%H").split()) == 1 + 3
    results = [kept.buckets.result(step)["outputs"] for step in steps]
    assert sorted(result["tag"] for result in results) == ["dataset_v1", "dataset_v1", "model_v1", "model_v2"]
    assert sorted(len(result["batches"]) for result in results[:2]) == [0, 2], "a batch is added once"
    in_ledger = {batch.name: batch.manifest for batch in read_head(kept.buckets.models).batches}
    assert versioning.dataset(kept.url, "dataset_v1") == in_ledger
    assert versioning.tagged_models(kept.url).keys() == {"a", "b"}
    clone = kept.clone()
    dvc("pull", folder=clone)
    for batch in batches:
        assert content(clone / "batches" / batch) == of_bucket(kept.buckets, f"batches/{batch}/")


def test_a_batch_of_a_run_beside_it_is_not_taken_for_another_pipelines(kept: Registry) -> None:
    """Which was sorted and versioned while this one was on its way: the ledger is read again after the registry."""
    sort(kept, "r1")
    with opened(kept.url, make=True) as repository:
        whole.ours(repository, kept.buckets.models)
        kept.snapshot("r1")
        repository.fetch()
        whole.ours(repository, kept.buckets.models)
        assert repository.newest


def test_two_pipelines_cannot_have_one_registry(kept: Registry, tmp_path: Path) -> None:
    """Neither could train on the other's batches. It is said before anything is pushed or tagged."""
    theirs = Registry(make_other(tmp_path))
    batch = sort(kept, "r1")
    kept.snapshot("r1")
    sort(theirs, "r2", first=11)
    save_model(theirs, "a")
    before = content(kept.folder)

    for arguments in ({}, {"model": "a"}):
        with pytest.raises(
            StepError, match=f"registry is another bucket's: it has 1 batches .* such as {batch}"
        ) as error:
            theirs.snapshot("r2", registry=kept.url, **arguments)
        assert not error.value.retry
        assert "give each pipeline a registry of its own" in error.value.remedy
    assert content(kept.folder) == before
    assert not (local(theirs.buckets.models) / "dvc").exists()


def test_nor_if_they_begin_it_at_the_same_moment(kept: Registry, forks: Forks, tmp_path: Path) -> None:
    theirs = Registry(make_other(tmp_path))
    (one,), (two,) = ([sort(each, run, first)] for each, run, first in ((kept, "r1", 1), (theirs, "r2", 11)))
    steps = [kept.step("r1"), dataclasses.replace(theirs.step("r2"), registry=kept.url)]

    ended = forks.run(*(Child(step.argv()) for step in steps))

    assert sorted(ended.codes) == [0, 1]
    assert kept.tags() == ["dataset_v1"]
    assert list(versioning.dataset(kept.url, "dataset_v1")) == [(one, two)[ended.codes.index(0)]]
    failed = (kept, theirs)[ended.codes.index(1)].buckets.result(steps[ended.codes.index(1)])
    assert "is another bucket's" in failed["error"]["message"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.mark.usefixtures("impatient")
def test_a_registry_whose_tags_are_gone_is_not_begun_again(kept: Registry) -> None:
    """Neither is a run told that there is no dataset, nor does a number name another one than before."""
    for run, first in (("r1", 1), ("r2", 11)):
        sort(kept, run, first)
        kept.snapshot(run)
        save_model(kept, run)
        kept.snapshot(run, model=run)
    clone = kept.clone()

    def lost(*tags: str) -> None:
        kept.git("tag", "--delete", *tags)

    lost(*kept.tags())
    for arguments, told in ({}, "dataset_v2, but no tag"), ({"model": "r1"}, "model_v2, but no tag"):
        with pytest.raises(StepError, match=f"has lost its tags: its history has {told}") as error:
            kept.snapshot("r3", **arguments)
        assert "push them from a clone that has them" in error.value.remedy
    sort(kept, "r3", first=21)
    with pytest.raises(StepError, match="has lost its tags"):
        kept.snapshot("r3")
    assert kept.tags() == []

    said("git", "push", "--quiet", "origin", "--tags", folder=clone)  # what the remedy says
    assert kept.snapshot("r3").outputs["tag"] == "dataset_v3"
    lost("dataset_v3")
    with pytest.raises(StepError, match="its history has dataset_v3, but the newest tag is dataset_v2"):
        kept.snapshot("r4")


@pytest.mark.usefixtures("impatient")
def test_nor_is_one_whose_history_has_other_words(kept: Registry) -> None:
    batch = sort(kept, "r1")
    kept.snapshot("r0", models=make_other(kept.buckets.root).models)  # begins it
    clone = kept.clone()
    write_pointer(clone, batch)
    kept.by_hand(clone, "mine")
    with pytest.raises(StepError, match=rf"its history has batches/{batch}\.dvc, but no tag dataset_v\*"):
        kept.snapshot("r2")


def test_nothing_is_built_on_a_damaged_batch(kept: Registry) -> None:
    batch = sort(kept, "r1")
    kept.snapshot("r0", models=make_other(kept.buckets.root).models)  # begins the registry
    clone = kept.clone()
    damages = ("{manifest: 5, place: 0}", "{manifest: abc, place: x}", "{manifest: abc}", "[]", "7")
    for number, meta in enumerate(damages, 1):
        write_pointer(clone, batch, meta)
        kept.by_hand(clone, f"dataset_v{number}")
        named = rf":batches/{batch}\.dvc does not say which manifest its batch has"
        with pytest.raises(StepError, match=named) as error:
            kept.snapshot("r2")
        assert not error.value.retry
        with pytest.raises(StepError, match=f"dataset_v{number}{named}"):
            versioning.dataset(kept.url, f"dataset_v{number}")


def make_other(root: Path) -> Buckets:
    (root / "other").mkdir()
    return make_buckets(root / "other")


def test_killed_anywhere_and_run_again_the_end_is_the_same(kept: Registry, forks: Forks) -> None:
    """Before and after each program that it runs, in the midst of one, and once more when it is run again."""
    batch, drawn = sort(kept, "r1"), random.Random(6)
    store, buckets = local(kept.buckets.models) / "dvc", kept.buckets

    def snapshot(**kill: Any) -> Ended:
        return forks.run(Child(kept.step("r1").argv(), **kill))

    def state() -> dict[str, Any]:
        tags = {tag: kept.git("ls-tree", "-r", tag) for tag in kept.tags()}
        return {"tags": tags, "commits": kept.git("log", "--format=%B"), "data": content(store), "result": outputs()}

    def outputs() -> Any:
        return json.loads(local(kept.step("r1").result).read_bytes())["outputs"]

    def forget() -> None:
        for path in (kept.folder, store):
            shutil.rmtree(path, ignore_errors=True)
        local(kept.step("r1").result).unlink(missing_ok=True)

    whole = snapshot()
    assert whole.codes == [0]
    expected = state()
    assert expected["result"] == {"tag": "dataset_v1", "batches": [batch]}

    (points,) = whole.points
    stretches = min(many(1, points), points)
    strides = [(n * points // stretches + 1, (n + 1) * points // stretches) for n in range(stretches)]
    kills: list[list[dict[str, Any]]] = [[{"point": drawn.randint(*stride)}] for stride in strides]
    for _ in range(many(1, 60)):
        moment = {"delay": drawn.uniform(0.001, whole.seconds)}
        kills += [[moment, {"point": drawn.randint(1, points)}]]
    for case in kills:
        forget()
        assert {code for kill in case for code in snapshot(**kill).codes} <= {-9, 0}
        assert snapshot().codes == [0], case
        assert state() == expected, case
        assert not list(buckets.root.glob(".registry*")), case
    print(f"killed in {len(kills)} ways, {points} points")


@pytest.mark.parametrize(
    "secret", ["hunter2", "hun/ter2", "hun ter2", "hun'ter2", 'hun"ter2', "hun@ter2", "hun:ter2", "hun#ter2"]
)
def test_its_result_tells_what_went_wrong_without_the_secret(
    kept: Registry, capfd: pytest.CaptureFixture[str], secret: str
) -> None:
    step = dataclasses.replace(kept.step(), registry=f"https://user:{secret}@git.example/registry")

    assert main(step.argv()) == 1

    result = json.loads(local(step.result).read_bytes())
    assert "--registry=https://***@git.example/registry" in result["error"]["message"]
    assert "--registry=https://***@git.example/registry" in result["argv"]
    assert "MENAGERIE_REGISTRY_CREDENTIALS" in result["error"]["remedy"]
    out, err = capfd.readouterr()
    shown = json.dumps(result) + out + err
    assert "hun" not in shown
    assert "ter2" not in shown
