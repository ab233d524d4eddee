"""Where a rollout stands, which ReplicaSet to go back to, and what may be removed: pure, as tables."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_service.deploy import manifests, removal, rollout
from model_service.deploy.blame import blames
from model_service.deploy.canary import Aborted, Stuck, Unasked
from model_service.deploy.cluster import Unreachable
from model_service.deploy.documents import model_before, next_site, readable, served_before
from model_service.deploy.kubernetes import address
from model_service.deploy.revisions import (
    PROVED,
    REVISION,
    Release,
    Revisions,
    going_back,
    name_of,
    noting,
    release,
    revisions,
)
from model_service.deploy.smoke import Refused, Unreached
from model_service.errors import StepError
from model_service.site import Site

Object = dict[str, Any]

IMAGE = f"serve@sha256:{'a' * 64}"


def template(document: str, image: str = IMAGE, hashed: str = "") -> Object:
    labels = {"app.kubernetes.io/name": "animals-website"} | ({"pod-template-hash": hashed} if hashed else {})
    pod = {
        "containers": [{"name": "website", "image": image}],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "site", "configMap": {"name": document}}],
    }
    return {"metadata": {"labels": labels, "creationTimestamp": None}, "spec": pod}


def deployment(
    revision: int = 1, proved: str | None = None, document: str = "animals-website-site-a", **status: Any
) -> Object:
    annotations = {REVISION: str(revision)} | ({} if proved is None else {PROVED: proved})
    meta = {"name": "animals-website", "namespace": "zoo", "uid": "d", "generation": 3, "annotations": annotations}
    status = {"observedGeneration": 3} | status
    return {"metadata": meta, "spec": {"replicas": 2, "template": template(document)}, "status": status}


def replicaset(name: str, revision: int, owner: str = "d", document: str = "", image: str = IMAGE) -> Object:
    return {
        "metadata": {
            "name": name,
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"template": template(f"animals-website-site-{document or name}", image, hashed=name)},
    }


def pod(reason: str = "", restarts: int = 0, ended: Object | None = None, scheduled: bool = True) -> Object:
    state = {"waiting": {"reason": reason, "message": "because"}} if reason else {"running": {}}
    container = {"restartCount": restarts, "state": state, "lastState": {"terminated": ended} if ended else {}}
    conditions = [] if scheduled else [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [container], "conditions": conditions}}


def test_a_status_of_another_generation_says_nothing() -> None:
    done = deployment(observedGeneration=2, updatedReplicas=2, replicas=2, availableReplicas=2)
    assert not rollout.judge(done, []).done


@pytest.mark.parametrize(
    ("updated", "replicas", "available", "done"),
    [(2, 2, 2, True), (1, 2, 2, False), (2, 3, 3, False), (2, 2, 1, False), (0, 2, 2, False)],
    ids=["all", "one is still old", "an old one is left over", "one is not ready", "none yet"],
)
def test_done_is_every_pod_new_and_available(updated: int, replicas: int, available: int, done: bool) -> None:
    status = {"updatedReplicas": updated, "replicas": replicas, "availableReplicas": available}
    assert rollout.judge(deployment(**status), [pod()]).done is done


def test_a_deadline_that_has_passed_is_a_failure() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    assert "no progress" in rollout.judge(deployment(conditions=[late]), []).failed


@pytest.mark.parametrize(
    ("found", "trouble", "failed"),
    [
        (pod(), "", ""),
        (pod("ContainerCreating"), "", ""),
        (pod("ImagePullBackOff"), "pod p: ImagePullBackOff: because", ""),
        (pod("CrashLoopBackOff"), "pod p: CrashLoopBackOff: because", ""),
        (
            pod("CrashLoopBackOff", 1, {"reason": "OOMKilled", "exitCode": 137}),
            "pod p: CrashLoopBackOff: because (ended with OOMKilled, exit code 137)",
            "pod p: CrashLoopBackOff: because (ended with OOMKilled, exit code 137)",
        ),
    ],
    ids=["runs", "is made", "image", "crashed once", "crashed again"],
)
def test_what_keeps_a_pod_from_starting(found: Object, trouble: str, failed: str) -> None:
    progress = rollout.judge(deployment(), [pod(), found])
    assert (progress.trouble, progress.failed) == (trouble, failed)
    assert trouble in progress.line


def test_a_pod_without_a_node_is_waited_for_and_said_so() -> None:
    progress = rollout.judge(deployment(), [pod(scheduled=False)])
    assert "pod p: Unschedulable" in progress.line
    assert not progress.failed
    assert not progress.trouble


def test_a_quota_that_forbids_pods_is_said() -> None:
    full = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert "FailedCreate: exceeded quota" in rollout.judge(deployment(conditions=[full]), []).line


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL", 0.01)
    monkeypatch.setattr(rollout, "PATIENCE", 0.2)


def going(monkeypatch: pytest.MonkeyPatch, *steps: rollout.Progress) -> None:
    """A rollout that goes through these steps, and stays at the last."""
    left = list(steps)
    monkeypatch.setattr(rollout, "see", lambda *_: left.pop(0) if len(left) > 1 else left[0])


def wait(seconds: float = 5.0) -> None:
    rollout.wait(None, "animals-website", Release("", ""), time.monotonic() + seconds)  # type: ignore[arg-type]


BACK_OFF = rollout.Progress("1 of 2", trouble="pod p: ImagePullBackOff")
DONE = rollout.Progress("2 of 2", done=True)


def test_a_trouble_that_passes_is_waited_out(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    going(monkeypatch, BACK_OFF, BACK_OFF, rollout.Progress("1 of 2"), BACK_OFF, DONE)
    wait()


def test_a_trouble_that_stays_is_not(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    going(monkeypatch, BACK_OFF)
    with pytest.raises(rollout.Failed, match="pod p: ImagePullBackOff"):
        wait()


def test_a_rollout_that_does_not_end_in_time_says_where_it_stands(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    going(monkeypatch, rollout.Progress("1 of 2"))
    with pytest.raises(rollout.Failed, match="did not end in time: 1 of 2"):
        wait(0.1)


def test_the_log_says_what_changes_and_is_not_silent_for_long(
    quick: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rollout, "ALOUD", 0.05)
    first = rollout.Progress("1 of 2")
    going(monkeypatch, *[first] * 15, DONE)
    with caplog.at_level("INFO"):
        wait()
    assert 2 <= caplog.messages.count("animals-website: 1 of 2") <= 6
    assert caplog.messages[-1] == "animals-website: 2 of 2"


def test_only_the_deployments_own_replicasets_count() -> None:
    there = revisions(deployment(2), [replicaset("one", 1), replicaset("two", 2), replicaset("alien", 3, "other")])
    assert there.current == replicaset("two", 2)
    assert there.back() == replicaset("one", 1)
    assert revisions(None, []) == Revisions(None, [])


SETS = [replicaset("one", 1), replicaset("two", 2), replicaset("three", 3)]


@pytest.mark.parametrize(
    ("revision", "proved", "before", "is_proved"),
    [
        (3, None, "two", False),  # deploy did not make it: as kubectl rollout undo
        (3, "", None, False),  # deploy made it, and nothing was ever proved
        (3, "two one", "two", False),
        (3, "one", "one", False),  # two was deployed and failed, or was killed
        (3, "three one", "one", True),
        (3, "three", None, True),
        (3, "gone one", "one", False),  # its ReplicaSet is past the history's limit
    ],
)
def test_going_back_leads_to_what_was_proved(
    revision: int, proved: str | None, before: str | None, is_proved: bool
) -> None:
    there = revisions(deployment(revision, proved), SETS)
    assert name_of(there.back()) == (before or "")
    assert there.is_proved is is_proved


def test_going_back_never_leads_to_what_is_skipped() -> None:
    unmade = revisions(deployment(3), SETS)
    assert name_of(unmade.back(lambda r: name_of(r) == "two")) == "one"
    proved = revisions(deployment(3, "three two one"), SETS)
    assert name_of(proved.back(lambda r: name_of(r) == "two")) == "one"


@pytest.mark.parametrize(
    ("document", "image", "is_proved"),
    [("two", IMAGE, True), ("two", f"serve@sha256:{'b' * 64}", False), ("three", IMAGE, False)],
    ids=["restarted", "another image", "another model"],
)
def test_a_restart_of_what_was_proved_is_proved(document: str, image: str, is_proved: bool) -> None:
    again = replicaset("again", 3, document=document, image=image)
    assert revisions(deployment(3, "two one"), [*SETS[:2], again]).is_proved is is_proved


def test_while_the_controller_has_not_seen_the_change_nothing_is_current() -> None:
    unseen = deployment(3, "three", observedGeneration=2)
    there = revisions(unseen, SETS)
    assert there.current is None
    assert not there.is_proved


def test_going_back_applies_the_template_and_leaves_the_number_of_pods_alone() -> None:
    live = deployment(3, "two one")
    config = going_back(live, SETS[1], ["two", "one"])
    assert config["spec"]["template"] == {"metadata": {"labels": template("x")["metadata"]["labels"]}} | {
        "spec": SETS[1]["spec"]["template"]["spec"]
    }
    assert "replicas" not in config["spec"]
    assert "status" not in config
    assert config["metadata"]["annotations"] == {PROVED: "two one"}  # not the controller's own
    assert release(SETS[1]) == Release("animals-website-site-two", IMAGE)
    assert "pod-template-hash" in SETS[1]["spec"]["template"]["metadata"]["labels"]  # what was read is not changed


def test_a_note_of_nothing_is_a_note_too() -> None:
    assert noting({"metadata": {}}, [])["metadata"]["annotations"] == {PROVED: ""}
    assert "annotations" not in noting({"metadata": {}}, None)["metadata"]


KNOWN = {f"animals-website-site-{name}": Site(f"v{name}", "v0") for name in ("one", "two", "three")}


def test_a_model_that_was_deployed_before_gets_the_same_document_again() -> None:
    assert next_site("vtwo", "vthree", KNOWN.values()) == Site("vtwo", "v0")
    assert next_site("vfour", "vthree", KNOWN.values()) == Site("vfour", "vthree")
    assert next_site("vone", None, []) == Site("vone")


@pytest.mark.parametrize(
    ("model", "proved", "expected"),
    [
        ("vfour", None, "vthree"),  # nothing is known of proofs: what is served now
        ("vfour", "three two", "vthree"),
        ("vfour", "two one", "vtwo"),  # three is served but failed, or was killed
        ("vthree", "three two", "v0"),  # the same again
        ("vtwo", "three two", "vthree"),
    ],
)
def test_what_was_served_before_is_what_was_proved_last(model: str, proved: str | None, expected: str) -> None:
    live = deployment(3, proved, "animals-website-site-three")
    assert served_before(model, revisions(live, SETS), KNOWN) == expected


@pytest.mark.parametrize(
    ("sets", "proved", "withdrawn", "before"),
    [
        (SETS, "three two one", None, "two"),
        (SETS, "three two one", "vtwo", "one"),
        ([*SETS, replicaset("restarted", 4, document="three")], "three two one", None, "two"),
        ([*SETS, replicaset("image", 4, document="three", image="other")], "image three one", None, "one"),
        ([SETS[2], replicaset("restarted", 4, document="three")], "three", None, ""),
        ([*SETS, replicaset("nameless", 4)], "nameless three", None, "three"),
    ],
    ids=[
        "the one before",
        "it was withdrawn",
        "after a restart",
        "after another image",
        "only itself",
        "unknown model",
    ],
)
def test_an_operator_goes_back_to_another_model(
    sets: list[Object], proved: str, withdrawn: str | None, before: str
) -> None:
    document: str = release(sets[-1]).document
    there = revisions(deployment(len(sets) if len(sets) != 2 else 4, proved, document), sets)
    assert name_of(model_before(there, KNOWN, withdrawn)) == before


def test_a_document_that_cannot_be_read_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    newer = '{"version": "v9", "previous": null, "of_a_newer_release": 1}'
    data: list[Object | None] = [{"site.json": newer}, {"site.json": "{"}, {"other": "x"}, None, {"site.json": "[]"}]
    maps = [config_map(f"animals-website-site-{n}") | {"data": one} for n, one in enumerate(data)]
    assert readable([*maps, config_map("something-else")]) == {"animals-website-site-0": Site("v9")}
    assert [f"ConfigMap animals-website-site-{n}" in text for n, text in enumerate(caplog.messages, 1)] == [True] * 4


SOUND: Object = {"another": True, "same_image": True, "ready": True}


@pytest.mark.parametrize(
    ("error", "differs", "blamed"),
    [
        (Refused("wrong answers"), {}, True),
        (Refused("wrong answers"), {"same_image": False}, True),
        (Refused("too slow"), {"another": False}, False),
        (rollout.Failed("crash loop"), {"ready": False}, True),
        (rollout.Failed("ImagePullBackOff"), {"ready": False, "same_image": False}, False),
        (rollout.Failed("ImagePullBackOff"), {"ready": False, "another": False}, False),
        (Aborted("it disagrees"), {}, True),
        (Stuck("crash loop"), {}, True),
        (Stuck("ImagePullBackOff"), {"same_image": False}, False),
        (Unasked("the Service did not lead there"), {}, False),
        (Unreached("nobody answers"), {}, False),
        (Unreached("its pods crash at the first question"), {"ready": False}, True),
        (Unreachable("no API"), {}, False),
        (StepError("forbidden"), {}, False),
        (ValueError("a mistake in deploy"), {}, False),
    ],
)
def test_a_model_is_withdrawn_only_for_what_is_its_own_fault(error: Exception, differs: Object, blamed: bool) -> None:
    assert blames(error, **SOUND | differs) is blamed


def test_nothing_was_served_before_the_first() -> None:
    assert served_before("vone", Revisions(), {}) is None


def test_the_website_is_asked_at_its_service_unless_told_otherwise() -> None:
    inside = "http://animals-website.zoo.svc.cluster.local"
    assert address("", "zoo") == address("http://127.0.0.1:5000", "zoo") == inside
    assert address("https://zoo.example.org", "zoo") == "https://zoo.example.org"


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def config_map(name: str, age: timedelta = timedelta(days=1), manager: str = "menagerie") -> Object:
    created = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = dict(manifests.LABELS)
    managed = [{"manager": manager}]
    return {"metadata": {"name": name, "labels": labels, "managedFields": managed, "creationTimestamp": created}}


def test_documents_nothing_refers_to_are_removed_and_no_others() -> None:
    maps = [
        config_map("animals-website-site-one"),  # an old ReplicaSet still has it
        config_map("animals-website-site-old"),
        config_map("animals-website-site-new", timedelta(minutes=5)),  # its Deployment may be on its way
        config_map("animals-website-site-by-hand", manager="kubectl-create"),
        config_map("something-else"),
    ]
    assert removal.unreferenced(maps, SETS, NOW) == ["animals-website-site-old"]


@pytest.mark.parametrize(
    ("labels", "manager", "ours"),
    [
        (manifests.LABELS, "menagerie", True),
        (manifests.LABELS, "kubectl", False),
        ({"app.kubernetes.io/name": "animals-website"}, "menagerie", False),
        (None, "menagerie", False),
    ],
)
def test_ours_is_what_has_our_labels_and_our_field_manager(labels: Any, manager: str, ours: bool) -> None:
    assert removal.is_ours({"metadata": {"labels": labels, "managedFields": [{"manager": manager}]}}) is ours
