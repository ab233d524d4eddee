"""Deployments to a cluster: proved through the Service, taken back when they fail, while the website answers throughout.

One website lives through all of these tests and is asked all the time; v1 and v2 take turns.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.websites import Load, Website, ended, until, website

WEBSITE = {"app.kubernetes.io/name": "animals-website"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    root: Path = tmp_path_factory.mktemp("rollout")
    with website(root) as found:
        yield found


def test_a_first_model_that_fails_is_taken_away_again(empty: Website) -> None:
    empty.champion("odd")
    ran = empty.deploy("odd")
    assert ran.code == 1
    assert "fails the self test of model odd: it gives a picture of" in ran.error
    assert "its Deployment was removed" in ran.error
    assert "the website listens on" in ran.error  # the last log lines
    assert ran.result["error"]["retry"] is False
    assert empty.live() is None
    assert empty.champion() is None
    again = empty.deploy("odd")
    assert "model odd was withdrawn" in again.error


def test_a_first_model_killed_before_its_proof_is_not_left_when_it_fails_the_next_time(empty: Website) -> None:
    empty.champion("odd")
    process, _ = empty.begin("odd")
    until(empty.live)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ran = empty.deploy("odd")
    assert "its Deployment was removed" in ran.error
    assert empty.live() is None


@pytest.fixture(scope="module")
def load(empty: Website) -> Iterator[Load]:
    """v1 is deployed, and asked from now on."""
    empty.champion("v1")
    ran = empty.deploy("v1")
    assert ran.code == 0, ran.log
    assert ran.result["outputs"].items() >= {"url": empty.url, "version": "v1", "previous": None}.items()
    with Load(empty.url) as load:
        yield load


@pytest.fixture
def site(empty: Website, load: Load) -> Iterator[Website]:
    """v1 or v2 is served; what was asked while the test ran was answered."""
    yield empty
    assert load.failed == []


def other(version: str) -> str:
    return {"v1": "v2", "v2": "v1"}[version]


def test_the_same_again_is_proved_anew_and_changes_nothing(site: Website) -> None:
    before, sets = site.live(), site.replicasets()
    ran = site.deploy(site.served())
    assert ran.code == 0, ran.log
    assert "the self test is passed" in ran.log
    assert site.replicasets() == sets
    after = site.live()
    assert after.metadata.generation == before.metadata.generation


def test_a_model_whose_answers_are_wrong_is_rolled_back(site: Website) -> None:
    now, before = site.served(), site.document()
    site.champion("odd", now)
    ran = site.deploy("odd")
    assert ran.code == 1
    assert "fails the self test of model odd" in ran.error
    assert f"the website went back to model {now}" in ran.error
    assert "event Started" in ran.error
    assert site.document() == before
    assert site.served() == now
    champion = site.champion()
    assert champion is not None
    assert champion["version"] == now
    assert champion["withdrawn"]["version"] == "odd"
    site.champion("v1")
    again = site.deploy(now)  # nothing stands in the way of the next one: all fields are still deploy's
    assert again.code == 0, again.log


@pytest.mark.parametrize(
    ("fault", "said", "seconds"),
    [
        ("image-pull", "ImagePull", 5.0),
        ("crash", "CrashLoopBackOff", 60.0),
        ("hang", "did not end in time: 1 of 1 pods are of this version, 1 of 2 available", 5.0),
    ],
)
def test_pods_that_do_not_come_up_are_rolled_back_with_their_reasons(
    site: Website, fault: str, said: str, seconds: float
) -> None:
    now, before = site.served(), site.document()
    struck = site.fake.fault(fault, WEBSITE)
    ran = site.deploy(other(now), timeout=seconds)
    assert ran.code == 1
    assert said in ran.error
    assert struck.hits[0] in ran.error
    assert "went back to" in ran.error
    assert ran.result["error"]["retry"] is False
    assert site.document() == before
    assert site.served() == now


def test_an_image_that_cannot_be_pulled_says_nothing_against_the_model(site: Website) -> None:
    now, new_image = site.served(), site.image.replace("0" * 64, "1" * 64)
    for model in (now, other(now)):
        site.champion(model, now)
        site.fake.fault("image-pull", WEBSITE)
        ran = site.deploy(model, timeout=5.0, image=new_image)
        assert ran.code == 1
        assert f"went back to model {now}" in ran.error
        assert "no longer the champion" not in ran.error
        champion = site.champion()
        assert champion is not None
        assert champion["version"] == model
        assert site.served() == now
    site.champion("v1")


def test_an_address_that_leads_nowhere_says_nothing_against_the_model(site: Website) -> None:
    now = site.served()
    site.champion(other(now), now)
    ran = site.deploy(other(now), url="http://127.0.0.1:1")
    assert ran.code == 1
    assert f"went back to model {now}" in ran.error
    assert "http://127.0.0.1:1" in ran.result["error"]["remedy"]
    champion = site.champion()
    assert champion is not None
    assert champion["version"] == other(now)
    assert site.served() == now
    site.champion("v1")


def test_an_api_server_that_restarts_in_mid_rollout_is_waited_for(site: Website) -> None:
    cluster, now, before = site.fake, site.served(), site.document()
    site.scale(2)
    process, result = site.begin(other(now))
    until(lambda: site.document() != before)
    cluster.restart_api(2.0)
    ran = ended(process, result)
    assert ran.code == 0, ran.log
    assert "asking again" in ran.log
    assert ran.result["counts"]["pods"] == 2  # the autoscaler's word stands
    assert site.served() == other(now)
    site.scale(1)


def test_an_api_server_that_stays_away_is_nothing_against_the_model_and_the_next_attempt_carries_on(
    site: Website,
) -> None:
    cluster, now, before = site.fake, site.served(), site.document()
    site.champion(other(now), now)
    process, result = site.begin(other(now), timeout=3.0)
    until(lambda: site.document() != before)
    cluster.stop_api()
    ran = ended(process, result)
    cluster.start_api()
    assert ran.code == 1
    assert "the cluster's API does not" in ran.error
    assert ran.result["error"]["retry"] is True
    champion = site.champion()
    assert champion is not None
    assert champion["version"] == other(now)
    again = site.deploy(other(now))
    assert again.code == 0, again.log
    assert again.result["outputs"]["previous"] == now


def test_a_deployment_killed_between_apply_and_smoke_test_is_carried_on(site: Website) -> None:
    now, before = site.served(), site.document()
    process, _ = site.begin(other(now))
    until(lambda: site.document() != before)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    sets = site.replicasets()
    ran = site.deploy(other(now))
    assert ran.code == 0, ran.log
    assert ran.result["outputs"]["previous"] == now
    assert site.replicasets() == sets
    assert site.served() == other(now)


def test_status_shows_what_is_served_and_rollback_goes_back(site: Website) -> None:
    now, before = site.served(), other(site.served())
    site.champion(now, before)
    status = site.operate("--status")
    assert status.code == 0, status.log
    for words in (
        f"serves   model {now} (proved)",
        f"back to  model {before}",
        "1 of 1 pods",
        f"{site.url}: serves {now}",
        "POD",
        "READY",
    ):
        assert words in status.log
    ran = site.operate("--rollback", f"--models={site.models}")
    assert ran.code == 0, ran.log
    assert f"the website serves model {before} again; model {now} is no longer the champion" in ran.log
    assert site.served() == before
    assert f"model {now} was withdrawn" in site.deploy(now).error
    site.champion("v1")
    assert "back to  nothing" in site.operate("--status").log  # for what was taken back is not gone back to


def test_after_a_restart_rollback_leads_to_the_other_model_and_status_says_so(site: Website) -> None:
    before = site.served()
    now = other(before)
    assert site.deploy(now).code == 0
    site.champion(now, before)
    sets = site.replicasets()
    restarted = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-21T00:00:00Z"}}}
    body = {"spec": {"template": restarted}}
    site.apps.patch_namespaced_deployment("animals-website", site.namespace, body, field_manager="kubectl-rollout")
    until(lambda: site.replicasets() != sets)
    slow = site.deploy(now, max_p95=0.0001)
    assert "left as it is" in slow.result["error"]["remedy"]
    status = site.operate("--status").log
    assert f"serves   model {now} (proved)" in status
    assert f"back to  model {before}" in status
    ran = site.operate("--rollback", f"--models={site.models}")
    assert f"the website serves model {before} again; model {now} is no longer the champion" in ran.log
    champion = site.champion()
    assert champion is not None
    assert champion["version"] == before == site.served()
    site.champion("v1")


def test_a_config_map_of_somebody_else_stops_nothing(site: Website) -> None:
    labels = WEBSITE | {"app.kubernetes.io/managed-by": "menagerie"}
    meta = {"name": "animals-website-site-odd", "labels": labels}
    site.fake.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"notes": "x"}})
    ran = site.deploy(site.served())
    assert ran.code == 0, ran.log
    assert "passed over: ConfigMap animals-website-site-odd" in ran.log


def test_of_two_deployments_at_once_the_later_has_its_way(site: Website) -> None:
    now, before = site.served(), site.document()
    site.fake.fault("hang", WEBSITE)  # or the first might be done before the second begins
    early, result = site.begin(other(now))
    until(lambda: site.document() != before)
    late = site.deploy(now)
    first = ended(early, result)
    assert (first.code, late.code) == (1, 0), first.log + late.log
    assert "another deployment has taken over" in first.error
    assert site.served() == now


def test_a_field_that_somebody_else_set_is_not_taken_by_force(site: Website) -> None:
    body = {"spec": {"revisionHistoryLimit": 7}}
    site.apps.patch_namespaced_deployment("animals-website", site.namespace, body, field_manager="kubectl-edit")
    before = site.live()
    ran = site.deploy(other(site.served()))
    assert ran.code == 1
    assert ".spec.revisionHistoryLimit (set by kubectl-edit)" in ran.error
    assert site.live().spec == before.spec  # found in a dry run: nothing was changed
    body = {"spec": {"revisionHistoryLimit": 3}}
    site.apps.patch_namespaced_deployment("animals-website", site.namespace, body, field_manager="kubectl-edit")


def test_a_host_is_routed_in_the_way_asked_for_and_in_no_other(site: Website) -> None:
    cluster, routes = site.fake, ("Gateway", "HTTPRoute", "Ingress", "ManagedCertificate")
    for expose, made in (("gateway", routes[:2]), ("ingress", routes[2:])):
        ran = site.deploy(site.served(), host="zoo.example.org", expose=expose)
        assert ran.code == 0, ran.log
        assert tuple(kind for kind in routes if cluster.objects(kind)) == made
    assert site.deploy(site.served()).code == 0
    assert not any(cluster.objects(kind) for kind in routes)


def test_a_right_that_is_missing_is_named_before_anything_is_changed(site: Website) -> None:
    site.fake.refuse("PATCH", "/networkpolicies/", 403, "Forbidden")
    before = site.live()
    ran = site.deploy(other(site.served()))
    assert ran.code == 1
    assert "verb patch on networkpolicies of networking.k8s.io" in ran.error
    assert "menagerie-deploy" in ran.result["error"]["remedy"]
    assert site.live().spec == before.spec


def test_a_proved_version_that_fails_later_is_left_for_nothing_was_changed(site: Website) -> None:
    before = site.live()
    ran = site.deploy(site.served(), tolerance=0.0)
    assert ran.code == 1
    assert "fails the self test" in ran.error
    assert "left as it is" in ran.result["error"]["remedy"]
    assert ran.result["error"]["retry"] is True
    assert site.live().metadata.generation == before.metadata.generation


def test_a_canary_that_does_well_is_promoted(site: Website) -> None:
    now, seen = site.served(), threading.Event()

    def look() -> None:
        until(site.has_canary)
        seen.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    ran = site.deploy(other(now), canary_percent=10, canary_minutes=0.05, max_p95=10.0)
    watcher.join()
    assert ran.code == 0, ran.log
    assert seen.is_set()
    assert "canary: 1 pods" in ran.log
    assert "the canary did well" in ran.log
    assert not site.has_canary()
    assert site.served() == other(now)


def test_a_canary_that_disagrees_is_taken_back_and_the_website_never_changed(site: Website) -> None:
    now, before = site.served(), site.live()
    site.champion("rival", now)
    ran = site.deploy("rival", canary_percent=50, canary_minutes=0.1)
    assert ran.code == 1
    assert "the canary is taken back: it agrees with the champion on" in ran.error
    assert "the website itself was not changed" in ran.error
    assert not site.has_canary()
    assert site.live().metadata.generation == before.metadata.generation
    champion = site.champion()
    assert champion is not None
    assert champion["version"] == now


def test_a_canary_without_minutes_is_asked_all_the_same(site: Website) -> None:
    now = site.served()
    ran = site.deploy(other(now), canary_percent=10, canary_minutes=0.0, max_p95=10.0)
    assert ran.code == 0, ran.log
    assert "the canary did well" in ran.log


def test_a_canary_left_by_a_killed_deployment_is_removed_by_the_next(site: Website) -> None:
    now = site.served()
    process, _ = site.begin(other(now), canary_percent=10, canary_minutes=5.0)
    until(site.has_canary)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert site.deploy(now).code == 0
    assert not site.has_canary()


def test_every_request_of_all_this_time_was_answered(load: Load) -> None:
    load.stop()
    assert load.answers > 500
    assert load.failed == []


def test_teardown_removes_what_deploy_made_and_nothing_else(tmp_path: Path, empty: Website) -> None:
    cluster = empty.fake
    labels = WEBSITE | {"app.kubernetes.io/managed-by": "menagerie"}
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "somebodys", "labels": labels}}
    cluster.apply(mine)
    ran = empty.operate("--teardown")
    assert ran.code == 0, ran.log
    assert "removed: Deployment animals-website" in ran.log
    assert "left alone: ConfigMap somebodys, which deploy did not make" in ran.log
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"):
        assert cluster.objects(kind) == []
    assert {one["metadata"]["name"] for one in cluster.objects("ConfigMap")} == {
        "somebodys",
        "animals-website-site-odd",
    }
    assert {a["metadata"]["name"] for a in cluster.objects("ServiceAccount")} == {
        "default",
        "menagerie-step",
        "menagerie-deploy",
    }
    assert empty.operate("--status").code == 1
