"""Launchers `gke` and `kubernetes`: the real operators over HTTP, against a cluster whose pods are processes.

Of the way to GKE only Google's own API is replaced: the cluster's address and the credentials.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from menagerie.launchers import pod_step, pods, reap, symptoms, visits
from menagerie.settings import settings

from tests.plugins.google import replace_google
from tests.plugins.pod_tasks import PodTask, in_task
from tests.support.k8s.cluster import Cluster

DIGEST = "europe-docker.pkg.dev/acme/menagerie/train@sha256:" + "a" * 64
SERVE = "europe-docker.pkg.dev/acme/menagerie/serve@sha256:" + "b" * 64
Make = Callable[..., PodTask]


# Airflow's clients leave connections, log streams and the session that renews a token to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
one = pytest.mark.parametrize("cluster", ["kubernetes"], indirect=True)
few = pytest.mark.parametrize("cluster", ["kubernetes", "gke, deferred"], indirect=True)  # where that says enough


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cluster]]:
    root = tmp_path_factory.mktemp("clusters")
    with Cluster(root / "plain") as plain, Cluster(root / "google", tls=True, token="of-google") as google:
        for cluster in (plain, google):
            for account in ("menagerie-step", "menagerie-deploy"):
                meta = {"name": account, "namespace": "menagerie"}
                cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        yield {"kubernetes": plain, "gke": google}
    gc.collect()  # so that no later test is blamed


@pytest.fixture(params=["kubernetes", "kubernetes, deferred", "gke", "gke, deferred"])
def cluster(
    request: pytest.FixtureRequest, clusters: dict[str, Cluster], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    launcher, _, deferred = request.param.partition(", ")
    cluster = clusters[launcher]
    connections = {
        "KUBERNETES": {"conn_type": "kubernetes", "extra": {"kube_config_path": str(cluster.kubeconfig)}},
        "GOOGLE_CLOUD": {"conn_type": "google_cloud_platform"},
    }
    variables = {
        "MENAGERIE_LAUNCHER": launcher,
        "MENAGERIE_CLUSTER": "projects/acme/locations/europe-west1/clusters/menagerie",
        "MENAGERIE_CLUSTER_ENDPOINT": "private",
        "MENAGERIE_IMAGE": DIGEST,
        "MENAGERIE_SERVE_IMAGE": SERVE,
        "MENAGERIE_DEFERRABLE": "true" if deferred else "false",
        "MENAGERIE_POLL": "1",
    } | {f"AIRFLOW_CONN_{name}_DEFAULT": json.dumps(value) for name, value in connections.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    replace_google(monkeypatch, cluster, cluster.token)
    monkeypatch.setattr(pod_step, "LOOK", 0.1)
    monkeypatch.setattr(visits, "PAUSE", 0.2)
    settings.cache_clear()
    yield cluster
    settings.cache_clear()


@pytest.fixture
def make(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the task of a step that runs the given code."""
    monkeypatch.setattr(pods, "COMMAND", ["python", str(tmp_path / "step.py")])

    def task(code: str, **more: Any) -> PodTask:
        return PodTask(cluster, tmp_path / "run", f"r{time.time_ns()}", **more).does(code)

    return task


# Success.


def test_the_result_document_is_what_the_task_returns_and_its_pod_is_deleted(make: Make) -> None:
    task = make("print('hello from the pod'); finish(status='ok', counts={'new': 3}, argv=sys.argv[1:])")
    result = task.attempt()
    assert result["counts"] == {"new": 3}
    assert result["argv"] == task.operator().argv
    assert task.pushed["return_value"] == result
    task.cluster.wait(lambda: task.pods() == [])
    assert task.created() == 1


def test_the_pods_lines_are_in_the_tasks_log(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    task = make("print('a first line'); wait_for('go'); print('a last line'); finish(status='ok')")
    threading.Timer(2.5, (task.folder / "go").touch).start()
    assert task.attempt()["status"] == "ok"
    said = capfd.readouterr().out
    assert said.count("a first line") == 1
    # Airflow reads the last second again when the stream has ended before the container's status says so.
    assert said.count("a last line") in (1, 2)


@one
def test_a_step_that_has_succeeded_before_needs_no_pod(make: Make) -> None:
    task = make("finish(status='ok')")
    task.result.write_text('{"status": "ok", "attempt": "an earlier one"}')
    assert task.attempt(2)["attempt"] == "an earlier one"
    assert task.created() == 0


@few
def test_deploy_is_proved_anew_when_it_is_cleared(make: Make) -> None:
    task = make("finish(status='ok')", step="deploy")
    task.result.write_text('{"status": "ok", "attempt": "an earlier one"}')
    assert task.attempt(2)["attempt"] != "an earlier one"
    task.result.write_text('{"status": "ok", "attempt": "an earlier one"}')
    with pytest.raises(AirflowException, match="deploy ended with code 3 and without a result"):
        task.does("sys.exit(3)").attempt(3)


# The pod.


@few
def test_the_pod_is_what_was_asked_for(make: Make) -> None:
    task = make("wait_for('go'); finish(status='ok')", params={"pods": {"train": {"memory": "2Gi", "cpu": "3"}}})
    waiting = threading.Thread(target=task.attempt)
    waiting.start()
    (pod,) = task.cluster.wait(task.pods)
    (task.folder / "go").touch()
    waiting.join()
    spec, (container,), labels = pod["spec"], pod["spec"]["containers"], pod["metadata"]["labels"]
    assert container["image"] == DIGEST
    assert container["args"] == task.operator().argv
    assert container["resources"] == {
        "requests": {"cpu": "3", "memory": "2Gi", "ephemeral-storage": "10Gi"},
        "limits": {"memory": "2Gi", "ephemeral-storage": "10Gi"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["serviceAccountName"] == "menagerie-step"
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 12 * 3600
    assert spec["terminationGracePeriodSeconds"] == pods.GRACE
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    wanted = pods.labels(dag="animals_pipeline", run=task.run, step="train", attempt=1)
    assert wanted.items() <= labels.items()
    assert labels["dag_id"] == "animals_pipeline"


@one
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"memory": "much"}}, "the Param pods.train.memory is 'much'; set it to memory, such as 16Gi"),
        ({"trian": {"cpu": "8"}}, "the Param pods names a step 'trian'; the steps are plan, sort, predict"),
        (
            {"train": {"service_account": "menagerie-deploy"}},
            "service_account cannot be set for one run; MENAGERIE_PODS",
        ),
        ({"train": {"deadline": 99999}}, "MENAGERIE_PODS sets the deadline of both"),
    ],
)
def test_an_override_that_cannot_be_fails_at_once(make: Make, changes: dict[str, Any], said: str) -> None:
    task = make("", params={"pods": changes})
    with pytest.raises(AirflowFailException) as failure:
        task.attempt()
    assert said in str(failure.value)
    assert task.created() == 0


@one
def test_deploy_runs_the_serving_image_and_may_talk_to_the_cluster(make: Make) -> None:
    task = make("sys.exit(3)", step="deploy")
    with pytest.raises(AirflowException):
        task.attempt()
    spec = task.pod()["spec"]
    assert spec["containers"][0]["image"] == SERVE
    assert spec["serviceAccountName"] == "menagerie-deploy"
    assert spec["automountServiceAccountToken"] is True


# Failure.


@few
def test_a_failed_step_is_quoted_with_its_remedy_and_tried_again(make: Make) -> None:
    error = {"message": "the bucket does not answer", "remedy": "look at the network", "retry": True}
    task = make(f"finish(status='failed', error={error}); sys.exit(1)")
    with pytest.raises(AirflowException) as failure:
        task.attempt()
    assert str(failure.value) == "train failed: the bucket does not answer\nRemedy: look at the network"
    assert not isinstance(failure.value, AirflowFailException)
    assert task.pod()["status"]["phase"] == "Failed"  # kept, to be looked at
    assert task.pod()["metadata"]["labels"]["already_checked"] == "True"
    assert task.does("finish(status='ok')").attempt(2)["status"] == "ok"
    assert task.created() == 2


@one
def test_a_failure_that_no_retry_cures_fails_the_task_at_once(make: Make) -> None:
    error = {"message": "no pictures at all", "remedy": "", "retry": False}
    with pytest.raises(AirflowFailException, match="train failed: no pictures at all"):
        make(f"finish(status='failed', error={error}); sys.exit(1)").attempt()


@one
def test_an_earlier_attempts_failure_is_not_taken_for_this_ones(make: Make) -> None:
    task = make("print('line', 1); sys.exit('cannot import torch')")
    error = {"message": "the disk was full", "remedy": "", "retry": False}
    task.result.write_text(json.dumps({"status": "failed", "error": error}))
    with pytest.raises(AirflowException) as failure:
        task.attempt()
    assert str(failure.value) == (
        "train ended with code 1 and without a result\nIts last words:\nline 1\ncannot import torch"
    )


@few
def test_a_pod_that_says_it_succeeded_without_a_result_has_failed(make: Make) -> None:
    with pytest.raises(AirflowException, match="train ended with code 0 and without a result"):
        make("print('all is well')").attempt()


@few
def test_a_step_that_runs_out_of_memory_is_told_how_to_get_more(make: Make) -> None:
    task = make("print('batch 1'); wait_for('never')")
    fault = task.cluster.fault("oom", {"menagerie.dev/run": task.run}, at_line="batch 1")
    with pytest.raises(AirflowException) as failure:
        task.attempt()
    assert len(fault.hits) == 1
    assert str(failure.value).startswith(
        "train ran out of memory (OOMKilled, exit code 137)\n"
        'Remedy: give it more memory than 16Gi: {"train": {"memory": "32Gi"}} as the Param pods for one run, '
        "in MENAGERIE_PODS for every run\n"
    )
    assert str(failure.value).endswith("Its last words:\nbatch 1")


@few
def test_an_evicted_pod_is_named_and_a_retry_starts_another(make: Make) -> None:
    task = make("print('batch 1'); wait_for('go'); finish(status='ok')")
    task.cluster.fault("evict", {"menagerie.dev/run": task.run}, at_line="batch 1")
    with pytest.raises(AirflowException, match="train was evicted from its node: The node was low on resource") as e:
        task.attempt()
    assert '{"train": {"storage": "20Gi"}}' in str(e.value)
    (task.folder / "go").touch()
    assert task.attempt(2)["status"] == "ok"
    assert task.created() == 2


@few
def test_a_spot_node_that_is_taken_away(make: Make) -> None:
    task = make("print('batch 1'); wait_for('never')")
    task.cluster.fault("preempt", {"menagerie.dev/run": task.run}, at_line="batch 1")
    with pytest.raises(AirflowException, match=r"train was taken off its node .*imminent node shutdown.*A retry"):
        task.attempt()


@few
def test_a_pod_that_is_deleted_under_the_task(make: Make) -> None:
    task = make("print('batch 1'); wait_for('never')")
    task.cluster.fault("vanish", {"menagerie.dev/run": task.run}, at_line="batch 1")
    with pytest.raises(AirflowException, match="train lost its pod"):
        task.attempt()


@few
def test_a_pod_that_is_gone_after_its_success_has_succeeded(make: Make) -> None:
    task = make("finish(status='ok'); print('done'); wait_for('never')")
    task.cluster.fault("vanish", {"menagerie.dev/run": task.run}, at_line="done")
    assert task.attempt()["status"] == "ok"
    assert task.created() == 1


# A pod that does not start.


@few
def test_an_image_that_cannot_be_pulled_fails_fast_with_the_reason(make: Make) -> None:
    task = make("finish(status='ok')")
    task.cluster.fault("image-pull", {"menagerie.dev/run": task.run})
    begun = time.monotonic()
    with pytest.raises(AirflowException) as failure:
        task.attempt()
    assert time.monotonic() - begun < 15
    said = str(failure.value)
    assert said.startswith("train could not start: Image cannot be pulled, unable to start: ")
    assert f"{DIGEST}: not found" in said
    assert "The cluster said:\nFailed: " in said
    task.cluster.wait(lambda: task.pods() == [])  # it would pull for ever
    assert task.attempt(2)["status"] == "ok"


@few
def test_a_pod_that_no_node_can_take_fails_with_the_schedulers_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symptoms, "PATIENCE", 1)
    monkeypatch.setattr(pod_step, "LAP", 1)
    task = make("finish(status='ok')")
    why = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available"
    task.cluster.fault("unschedulable", {"menagerie.dev/run": task.run}, message=why)
    with pytest.raises(AirflowException) as failure:
        task.attempt()
    assert f"train could not start: no node can take it, and the cluster makes none that could: {why}" in str(
        failure.value
    )
    assert "NotTriggerScaleUp: pod didn't trigger scale-up" in str(failure.value)


@few
def test_a_pod_waits_for_a_node_for_twenty_minutes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symptoms, "PATIENCE", 0)
    monkeypatch.setattr(symptoms, "STARTUP", 4)
    monkeypatch.setattr(pod_step, "LAP", 1)
    task = make("finish(status='ok')")
    task.cluster.fault("unschedulable", {"menagerie.dev/run": task.run})
    begun = time.monotonic()
    with pytest.raises(AirflowException, match=r"it got no node within 0 minutes: 0/3 nodes .* Insufficient cpu"):
        task.attempt()
    assert time.monotonic() - begun > 3


@few
def test_a_damaged_result_is_named_with_the_way_out_and_its_pod_is_parted_with(make: Make) -> None:
    task = make("result.write_text('{'); sys.exit(1)")
    said = r"result\.json is not a step's result: it is damaged\. Delete it and clear the task\."
    with pytest.raises(AirflowFailException, match=said):
        task.attempt()
    assert task.pod()["metadata"]["labels"]["already_checked"] == "True"
    with pytest.raises(AirflowFailException, match=said):
        task.attempt(2)
    assert task.created() == 1
    task.result.unlink()
    assert task.does("finish(status='ok')").attempt(3)["status"] == "ok"


@one
def test_of_a_very_long_line_the_beginning_is_quoted(make: Make) -> None:
    with pytest.raises(AirflowException) as failure:
        make("print('y' * 1_000_000); sys.exit(3)").attempt()
    assert str(failure.value) == (
        f"train ended with code 3 and without a result\nIts last words:\n{'y' * 500}… (999500 more)"
    )


@one
@pytest.mark.parametrize("run", ["-", "---", "_.-", "x" * 240])
def test_any_name_of_a_run_makes_a_pod_that_is_found_again(make: Make, run: str) -> None:
    task = make("sys.exit(3)")
    task.run = run
    with pytest.raises(AirflowException, match="ended with code 3"):
        task.attempt()
    selector = f"menagerie.dev/run={pods.label(run)},run_id={pods.label(run)},already_checked=True"
    assert len(task.cluster.pods(selector)) == 1


# Interruptions.


@one
def test_events_that_cannot_be_read_for_a_moment_fail_no_attempt(
    make: Make, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make("wait_for('go'); finish(status='ok')")
    look = pod_step.PodStep._look

    def looked(self: Any) -> Any:
        """Just after a look, the API breaks down."""
        found = look(self)
        cluster.refuse("GET", "/events", 500, "InternalError", times=3)
        (task.folder / "go").touch()
        return found

    def broken(self: Any, pod: Any) -> None:
        task.cluster.wait(task.is_running)
        raise ValueError("the log breaks off")

    monkeypatch.setattr(pod_step.PodStep, "_look", looked)
    monkeypatch.setattr(pod_step.PodStep, "await_pod_start", broken)
    assert task.attempt()["status"] == "ok"
    assert task.created() == 1


@few
def test_the_api_goes_away_in_mid_run_and_no_second_pod_is_started(make: Make) -> None:
    task = make("print('batch 1'); wait_for('go'); finish(status='ok')")

    def outage() -> None:
        task.cluster.wait(task.is_running)
        time.sleep(1)
        task.cluster.restart_api(2.0)
        (task.folder / "go").touch()

    threading.Thread(target=outage).start()
    assert task.attempt()["status"] == "ok"
    assert task.created() == 1


@few
def test_a_log_that_breaks_off_is_no_failure(make: Make) -> None:
    task = make("print('\\n'.join(f'batch {n}' for n in range(50))); time.sleep(1); finish(status='ok')")
    task.cluster.fault("cut-log", {"menagerie.dev/run": task.run}, after=3)
    assert task.attempt()["status"] == "ok"
    assert task.created() == 1


def die_in_mid_run(task: PodTask) -> None:
    """A worker that starts the step's pod and is killed; on its way out it can do nothing."""
    worker = os.fork()
    if worker == 0:
        try:
            task.deferred = lambda: time.sleep(60)
            task.attempt()
        finally:
            os._exit(1)
    task.cluster.wait(task.is_running)
    time.sleep(0.5)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)


@few
def test_a_worker_dies_and_the_retry_takes_up_the_running_pod(make: Make) -> None:
    task = make("wait_for('go'); finish(status='ok')")
    die_in_mid_run(task)
    threading.Timer(1.0, (task.folder / "go").touch).start()
    result = task.attempt(2)
    assert result["status"] == "ok"
    assert task.created() == 1


@few
def test_a_worker_dies_and_the_pod_fails_so_the_retry_starts_another(make: Make) -> None:
    task = make("wait_for('go'); sys.exit(3)")
    die_in_mid_run(task)
    (task.folder / "go").touch()
    task.cluster.wait(lambda: task.pod()["status"]["phase"] == "Failed")
    assert task.does("finish(status='ok')").attempt(2)["status"] == "ok"
    assert task.created() == 2


@few
def test_a_worker_dies_and_deploy_succeeds_unseen(make: Make) -> None:
    task = make("wait_for('go'); finish(status='ok')", step="deploy")
    die_in_mid_run(task)
    (task.folder / "go").touch()
    task.cluster.wait(lambda: task.pod()["status"]["phase"] == "Succeeded")
    assert task.attempt(2)["status"] == "ok"
    assert task.created() == 1


@pytest.mark.parametrize("cluster", ["kubernetes, deferred", "gke, deferred"], indirect=True)
def test_a_task_whose_time_is_up_ends_its_pod(make: Make) -> None:
    task = make("print('batch 1'); wait_for('never')")
    started, resumed = task.operator(), task.operator()
    with pytest.raises(TaskDeferred) as deferral:
        in_task(started, lambda: started.execute(task.context(1)))
    task.cluster.wait(task.is_running)
    told = {"status": "timeout", "message": "execution_timeout", "_execution_deadline": int(time.time())}
    event = told | {"name": task.pod()["metadata"]["name"], "namespace": "menagerie"} | started.trigger_kwargs
    with pytest.raises(AirflowException, match="train ran out of the time that its task has"):
        in_task(
            resumed, lambda: resumed.resume_execution(deferral.value.method_name, {"event": event}, task.context(1))
        )
    task.cluster.wait(lambda: task.pods() == [])


@few
def test_a_killed_task_deletes_its_pod(make: Make) -> None:
    task = make("wait_for('never')")
    killed = task.operator()

    def run() -> None:
        with contextlib.suppress(AirflowException, TaskDeferred):
            in_task(killed, lambda: killed.execute(task.context(1)))

    running = threading.Thread(target=run)
    running.start()
    task.cluster.wait(task.is_running)
    time.sleep(0.3)
    killed.on_kill()
    task.cluster.wait(lambda: task.pods() == [])
    running.join(20)
    assert not running.is_alive()


# The reaper.


def a_pod(task: PodTask, run: str) -> None:
    """One that runs, of which no task knows any more."""
    container = {"name": "base", "image": DIGEST, "command": ["sleep", "600"]}
    labels = pods.labels(dag="animals_pipeline", run=run, step="predict", attempt=1)
    meta = {"name": f"left-{run}", "namespace": "menagerie", "labels": labels}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5}
    task.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


@few
def test_the_reaper_leaves_of_its_run_only_what_failed(make: Make) -> None:
    task = make("sys.exit(3)")
    with pytest.raises(AirflowException):
        task.attempt()
    failed, other = task.pod()["metadata"]["name"], f"{task.run}-other"
    for run in (task.run, other):
        a_pod(task, run)
    task.cluster.wait(lambda: len(task.pods()) == 2)
    reaper = reap(task_id="reap")
    assert in_task(reaper, lambda: reaper.execute(task.context(1))) == 1
    task.cluster.wait(lambda: [pod["metadata"]["name"] for pod in task.pods()] == [failed])
    assert len(task.cluster.pods(f"menagerie.dev/run={other}")) == 1
    task.run = other
    assert in_task(reaper, lambda: reaper.execute(task.context(1))) == 1
    task.cluster.wait(lambda: task.pods() == [])
