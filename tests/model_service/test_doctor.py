"""`python -m model_service doctor`: what it finds, what it says to do, and that no check takes the others down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import registry, selftest
from model_service.__main__ import main
from model_service.doctor import buckets as bucket_checks
from model_service.doctor import champion, checks, checks_of, cluster, ledger, machine, website
from model_service.doctor.checks import Check, Finding, Row
from model_service.errors import StepError
from model_service.storage import Blob, Store, open_store
from tests.model_service.buckets import Buckets, local, make_buckets, read_json
from tests.model_service.websites import Place, running
from tests.support.gcs import Fault, GcsServer

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def asked(buckets: Buckets, **arguments: Any) -> contract.Doctor:
    """A doctor of all four buckets."""
    uris = {"source": buckets.source, "to_predict": buckets.to_predict, "predicted": buckets.predicted}
    return contract.Doctor(models=buckets.models, **(uris | arguments))


def command(step: contract.Doctor, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "model_service", *step.argv()],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": "plugins"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@contextmanager
def answering(answer: Callable[[str, str], tuple[int, Any]], clock: float = 0) -> Iterator[str]:
    """A server whose every answer is `answer(method, path)`, as JSON; `clock`: how far it is ahead, in seconds."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            status, document = answer(self.command, self.path)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = reply

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + clock, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# The command.


def test_it_prints_a_table_and_writes_nothing(buckets: Buckets) -> None:
    ran = command(asked(buckets, registry=f"file://{buckets.root}/registry.git"))
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = {line[9:28].strip(): line.split()[0] for line in ran.stdout.splitlines()}
    assert lines == {
        "versions": "ok",
        "memory": "ok",
        "scratch space": "ok",
        "graphics cards": "ok",
        "clock": "skipped",
        "bucket models": "ok",
        "bucket source": "ok",
        "bucket to_predict": "ok",
        "bucket predicted": "ok",
        "ledger": "ok",
        "champion": "ok",
        "registry": "ok",
        "registry data": "ok",
        "website": "skipped",
        "cluster": "skipped",
    }
    assert files(buckets.root) == []


@pytest.mark.parametrize("forgets", ["", "swapped"])
def test_no_folder_of_probes_is_left(buckets: Buckets, forgets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_checks, "open_store", lambda uri: Careless(open_store(uri), forgets))
    for check in checks_of(asked(buckets)):
        if check.name.startswith("bucket"):
            with nullcontext() if not forgets else pytest.raises(bucket_checks.Unguarded):
                check.examine()
    assert list(buckets.root.rglob(".menagerie-doctor")) == []


def test_a_folder_with_another_doctors_probe_stays(buckets: Buckets) -> None:
    other = local(buckets.predicted) / ".menagerie-doctor" / "other"
    other.parent.mkdir()
    other.write_bytes(b"probe")
    assert bucket_checks.examine(buckets.predicted).state == "ok"
    assert files(local(buckets.predicted)) == [other]


def test_a_check_that_fails_is_1_and_the_others_are_made(buckets: Buckets) -> None:
    local(buckets.predicted).rmdir()
    ran = command(asked(buckets))
    assert ran.returncode == 1
    assert f"failed   bucket predicted   {buckets.predicted} is not a folder" in ran.stdout
    assert f"remedy: Create the folder {buckets.root}/animals_predicted" in ran.stdout
    assert "ok       bucket to_predict" in ran.stdout
    assert "1 of 15 checks failed: bucket predicted: file://" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_result_has_every_row(buckets: Buckets) -> None:
    step = asked(buckets, result=contract.result(buckets.models, "r1", "doctor"))
    assert main(step.argv()) == 0
    result = read_json(step.result)
    assert result["status"] == "ok"
    assert result["counts"] == {"ok": 10, "skipped": 5}
    assert [row["check"] for row in result["outputs"]["rows"]] == [check.name for check in checks_of(step)]
    assert set(result["outputs"]["rows"][0]) == {"check", "state", "found", "remedy"}


def test_a_result_has_every_row_also_when_a_check_fails_and_the_next_time_all_is_looked_at_anew(
    buckets: Buckets,
) -> None:
    step = asked(buckets, result=contract.result(buckets.models, "r1", "doctor"))
    predicted = local(buckets.predicted)
    predicted.rmdir()
    assert main(step.argv()) == 1
    result = read_json(step.result)
    assert result["status"] == "failed"
    assert result["error"]["class"] == "Unwell"
    assert result["error"]["retry"] is False
    assert f"Create the folder {predicted}" in result["error"]["remedy"]
    assert [row["check"] for row in result["outputs"]["rows"] if row["state"] == "failed"] == ["bucket predicted"]

    predicted.mkdir()
    assert main(step.argv()) == 0
    shutil.rmtree(predicted)
    assert main(step.argv()) == 1


def test_a_bucket_that_takes_no_result_is_a_row_of_the_table(buckets: Buckets) -> None:
    step = asked(buckets, result=contract.result(buckets.models, "r1", "doctor"))
    local(buckets.models).rmdir()
    ran = command(step)
    assert ran.returncode == 1
    assert "failed   bucket models" in ran.stdout
    assert "ok       bucket source" in ran.stdout


def test_only_the_doctor_may_leave_its_result_out(buckets: Buckets, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(contract.Promote(run="r1", models=buckets.models, result="", candidate="v1").argv()) == 1
    assert "is not an object" in capsys.readouterr().err


# How checks are run.


def test_a_check_that_breaks_down_is_a_row() -> None:
    def explain() -> Finding:
        raise StepError("the lamp is dark", remedy="change the lamp")

    def stumble() -> Finding:
        raise KeyError("lamp")

    rows = checks.run(
        [Check("one", explain), Check("two", stumble, "look"), Check("three", lambda: Finding("ok", "!"))]
    )
    assert rows == [
        Row("one", "failed", "the lamp is dark", "change the lamp"),
        Row("two", "failed", "KeyError: 'lamp'", "look"),
        Row("three", "ok", "!", ""),
    ]


def test_a_check_that_hangs_is_left_behind() -> None:
    forever, begun = threading.Event(), time.monotonic()

    def hang() -> Finding:
        forever.wait(60)
        return Finding("ok", "at last")

    rows = checks.run([Check("slow", hang, "wake it", limit=0.1), Check("quick", lambda: Finding("ok", "!"))])
    forever.set()
    assert rows == [Row("slow", "failed", "no answer within 0.1 s", "wake it"), Row("quick", "ok", "!", "")]
    assert time.monotonic() - begun < 5


def test_the_table_is_aligned_and_the_remedy_stands_below() -> None:
    assert list(checks.table([Row("a", "ok", "fine", ""), Row("longer", "failed", "broken", "mend it")])) == [
        "ok       a       fine",
        "failed   longer  broken",
        "                 remedy: mend it",
    ]


# Buckets.


def test_a_bucket_that_may_be_read_only_is_found_out() -> None:
    read_only = next(path for path in ("/proc/sys", "/dev/fd") if os.path.isdir(path))  # also for root
    with pytest.raises(StepError) as error:
        bucket_checks.examine(f"file://{read_only}")
    assert error.value.message.startswith(f"file://{read_only}")


def test_probes_stay_where_the_step_may_write(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[str] = []
    monkeypatch.setattr(bucket_checks, "probe", lambda store, name: probed.append(f"{store.uri}/{name}"))
    everything = checks_of(asked(buckets))
    deploys = checks_of(contract.Doctor(models=buckets.models, namespace="menagerie"))
    for check in (*everything, *deploys):
        if check.name.startswith("bucket"):
            check.examine()
    assert [uri.rpartition("/")[0].removeprefix(f"file://{buckets.root}/") for uri in probed] == [
        "animals_models/runs/.menagerie-doctor",
        "animals_models/.menagerie-doctor",
        "animals_all/_quarantine/.menagerie-doctor",
        "animals_all/_held/.menagerie-doctor",
        "animals_to_predict/.menagerie-doctor",
        "animals_predicted/.menagerie-doctor",
        "animals_models/runs/.menagerie-doctor",
    ]


class Careless:
    """A store that forgets to look at generations in one of its operations."""

    def __init__(self, store: Store, forgets: str) -> None:
        self._store, self._forgets, self.uri = store, forgets, store.uri

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write_if_absent(self, name: str, data: bytes) -> Blob:
        if self._forgets == "wrote":
            self._store.delete_if_generation(name, self._live(name))
        return self._store.write_if_absent(name, data)

    def compare_and_swap(self, name: str, data: bytes, generation: int) -> Blob:
        return self._store.compare_and_swap(name, data, self._live(name) if self._forgets == "swapped" else generation)

    def delete_if_generation(self, name: str, generation: int) -> None:
        self._store.delete_if_generation(name, self._live(name) if self._forgets == "deleted" else generation)

    def _live(self, name: str) -> int:
        return next((blob.generation for blob in self._store.list(name)), 0)


@pytest.mark.parametrize("forgets", ["wrote", "swapped", "deleted"])
def test_a_bucket_that_does_not_guard_its_objects_is_found_out(buckets: Buckets, forgets: str) -> None:
    store: Any = Careless(open_store(buckets.models), forgets)
    with pytest.raises(bucket_checks.Unguarded, match=f"{forgets} .*nothing would keep two runs"):
        bucket_checks.probe(store, "probe")
    assert files(buckets.root) == []


@pytest.fixture
def google() -> Iterator[GcsServer]:
    with GcsServer() as server:
        for name in ("animals_all", "animals_to_predict", "animals_predicted", "animals_models"):
            server.make_bucket(f"acme-{name}")
        yield server


def on(google: GcsServer) -> subprocess.CompletedProcess[str]:
    names = {"source": "all", "to_predict": "to_predict", "predicted": "predicted", "models": "models"}
    uris = {argument: f"gs://acme-animals_{name}" for argument, name in names.items()}
    return command(contract.Doctor(**uris), STORAGE_EMULATOR_HOST=google.url)


def test_on_cloud_storage_the_probes_are_made_and_rights_that_no_step_needs_are_a_warning(google: GcsServer) -> None:
    ran = on(google)
    assert (ran.returncode, ran.stderr) == (0, "")
    for line in [line for line in ran.stdout.splitlines() if " bucket " in line]:
        assert line.startswith("warning  ")  # whoever asks this server owns its buckets
        assert "listed; written, swapped and deleted, guarded by generations" in line
        assert "storage.buckets.delete, storage.buckets.setIamPolicy" in line
        assert line.endswith("storage.objects.delete") == ("bucket source" in line)
    assert google.operations()["objects.delete"] >= 5
    assert {call.name.rpartition("/")[0] for call in google.calls if call.operation == "objects.delete"} == {
        ".menagerie-doctor",
        "runs/.menagerie-doctor",
        "_quarantine/.menagerie-doctor",
        "_held/.menagerie-doctor",
    }


def test_on_cloud_storage_a_right_that_is_missing_is_found_out(google: GcsServer) -> None:
    google.inject(Fault("objects.insert acme-animals_predicted", status=403, times=None))
    ran = on(google)
    assert ran.returncode == 1
    assert "failed   bucket predicted   gs://acme-animals_predicted/.menagerie-doctor/" in ran.stdout
    assert "remedy: Grant this identity roles/storage.objectUser on gs://acme-animals_predicted" in ran.stdout
    assert "warning  bucket to_predict" in ran.stdout


def test_what_does_not_know_of_rights_is_no_worse_a_bucket(google: GcsServer) -> None:
    google.inject(Fault("testIamPermissions acme-animals_models", status=404, times=None))
    ran = on(google)
    assert ran.returncode == 0
    assert "ok       bucket models      gs://acme-animals_models: listed; written, swapped and deleted" in ran.stdout


def test_an_account_that_may_do_more_than_its_step_needs_is_a_warning(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_checks, "permitted", lambda store, wanted: list(wanted))
    finding = bucket_checks.examine(buckets.models)
    assert finding.state == "warning"
    assert "storage.buckets.delete, storage.buckets.setIamPolicy" in finding.found
    assert "infra/identity.tf" in finding.remedy


# The ledger.


def test_before_the_first_sort_there_is_no_ledger(buckets: Buckets) -> None:
    assert ledger.examine(buckets.models) == Finding("ok", "nothing has been sorted yet")


def test_what_is_committed_is_counted(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    buckets.put_squares(1, first=9)
    buckets.sorted("r2")
    finding = ledger.examine(buckets.models)
    assert finding == Finding("ok", "batches: 2, pictures: 9, files: 1; all are there")


@pytest.mark.parametrize("pattern", ["batches/r1/*/manifest.parquet", "ledger/*.parquet"])
def test_something_committed_that_is_gone_is_named(buckets: Buckets, pattern: str) -> None:
    buckets.put_squares(2)
    buckets.sorted()
    (path,) = local(buckets.models).glob(pattern)
    path.unlink()
    with pytest.raises(ledger.Lost, match=f"1 of 2 files that are committed are gone: file://{path}") as error:
        ledger.examine(buckets.models)
    assert "Restore" in error.value.remedy


def test_a_damaged_head_is_found_out(buckets: Buckets) -> None:
    path = local(contract.ledger_head(buckets.models))
    path.parent.mkdir()
    path.write_bytes(b"{}")
    with pytest.raises(StepError, match=r"ledger/head\.json is damaged"):
        ledger.examine(buckets.models)


# The champion.


def promote(buckets: Buckets, version: str) -> None:
    registry.move_champion(buckets.models, {"version": version, "previous": None, "run": "r1"}, 0)


def test_before_the_first_run_there_is_no_champion(buckets: Buckets) -> None:
    assert champion.examine(buckets.models) == Finding("ok", "no champion yet: the first run trains one")


def test_a_champion_that_is_whole_is_told_with_its_self_test(buckets: Buckets) -> None:
    buckets.save_model("v1")
    promote(buckets, "v1")
    finding = champion.examine(buckets.models)
    assert finding.state == "ok"
    assert finding.found.startswith("v1: ")
    assert finding.found.endswith("self-test pictures")


def test_a_champion_of_an_earlier_release_has_no_self_test(buckets: Buckets) -> None:
    registry.save(buckets.models, "v1", {"model.onnx": b"not looked into"}, {})
    promote(buckets, "v1")
    finding = champion.examine(buckets.models)
    assert finding.state == "warning"
    assert "no self-test" in finding.found
    assert "retrain=always" in finding.remedy


def test_a_champion_with_a_damaged_file_is_found_out(buckets: Buckets) -> None:
    buckets.save_model("v1")
    promote(buckets, "v1")
    (local(contract.model(buckets.models, "v1")) / selftest.FILE).write_bytes(b"damaged")
    with pytest.raises(registry.BadModel, match="sha256 differs"):
        champion.examine(buckets.models)


def test_a_champion_that_was_withdrawn_is_told_with_the_reason(buckets: Buckets) -> None:
    buckets.save_model("v1")
    promote(buckets, "v1")
    registry.withdraw(buckets.models, "v1", "r1", "it answered nonsense")
    finding = champion.examine(buckets.models)
    assert finding.state == "warning"
    assert finding.found == "no champion: v1 was withdrawn by run r1: it answered nonsense"


# The website and the clock.


def test_the_real_website_before_its_first_model(buckets: Buckets) -> None:
    with running(Place(buckets.root)) as url:
        assert website.examine(url, buckets.models).state == "ok"
        promote(buckets, "v1")
        finding = website.examine(url, buckets.models)
    assert finding.state == "failed"
    assert "is up and serves no model: no model has been deployed yet" in finding.found
    assert "deploy=true" in finding.remedy


def test_a_website_has_an_address_of_the_web(buckets: Buckets) -> None:
    finding = website.examine("ftp://127.0.0.1", buckets.models)
    assert finding.state == "failed"
    assert "http://" in finding.remedy


@pytest.mark.parametrize(
    ("status", "body", "state", "said"),
    [
        (200, {"model": "v1", "refused": None}, "ok", "serves the champion, v1"),
        (200, {"model": "v0", "refused": None}, "warning", "serves v0; the champion is v1"),
        (200, {"model": "v0", "refused": {"version": "v1"}}, "warning", "serves v0 and refused v1"),
        (503, {"model": None, "error": "no-model"}, "failed", "serves no model: no-model"),
        (404, {}, "failed", "HTTP 404"),
        (200, ["something else"], "failed", "is not Menagerie's website"),
    ],
)
def test_what_a_website_says_is_compared_with_the_champion(
    buckets: Buckets, status: int, body: Any, state: str, said: str
) -> None:
    promote(buckets, "v1")
    with answering(lambda method, path: (status, body)) as url:
        finding = website.examine(url, buckets.models)
    assert finding.state == state
    assert said in finding.found


def test_a_website_that_is_down_is_a_fault_only_if_there_is_something_to_serve(buckets: Buckets) -> None:
    nowhere = "http://127.0.0.1:1"
    assert website.examine(nowhere, buckets.models).state == "ok"
    promote(buckets, "v1")
    finding = website.examine(nowhere, buckets.models)
    assert finding.state == "failed"
    assert "127.0.0.1:1 does not answer" in finding.found
    assert "deploy=true" in finding.remedy


@pytest.mark.parametrize(
    ("ahead", "state", "said"), [(0, "ok", "within"), (3600, "failed", "behind"), (-3600, "failed", "ahead of")]
)
def test_a_wrong_clock_is_found_out_by_another_one(ahead: float, state: str, said: str) -> None:
    with answering(lambda method, path: (200, {}), clock=ahead) as url:
        finding = website.clock(url, ["file:///b"])
    assert finding.state == state
    assert said in finding.found


def test_with_buckets_on_google_its_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda method, path: (404, {}), clock=3600) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        assert website.clock("", ["", "gs://acme-animals_all"]).state == "failed"


# The cluster.

MANIFEST = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: menagerie-deploy}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: menagerie-deploy}
rules:
  - {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
  - {apiGroups: [apps], resources: [deployments], verbs: [patch], resourceNames: [animals-website, canary]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: of-somebody-else}
rules:
  - {apiGroups: [""], resources: [secrets], verbs: [get]}
"""


def test_the_cluster_is_asked_for_each_right_of_the_role() -> None:
    assert list(cluster.needs(MANIFEST, "zoo")) == [
        {"namespace": "zoo", "resource": "pods", "verb": "get"},
        {"namespace": "zoo", "resource": "pods", "verb": "list"},
        {"namespace": "zoo", "resource": "pods", "verb": "get", "subresource": "log"},
        {"namespace": "zoo", "resource": "pods", "verb": "list", "subresource": "log"},
        {"namespace": "zoo", "resource": "deployments", "verb": "patch", "group": "apps", "name": "animals-website"},
        {"namespace": "zoo", "resource": "deployments", "verb": "patch", "group": "apps", "name": "canary"},
    ]


def test_the_shipped_role_has_rules_to_ask_for() -> None:
    wanted = list(cluster.needs(cluster.RBAC.read_text(), "menagerie"))
    assert {"namespace": "menagerie", "resource": "pods", "verb": "get", "subresource": "log"} in wanted
    assert any(one["resource"] == "deployments" and one["verb"] == "patch" for one in wanted)


def test_without_a_cluster_the_remedy_says_where_one_is_looked_for(buckets: Buckets, tmp_path: Path) -> None:
    ran = command(contract.Doctor(models=buckets.models, namespace="menagerie"), KUBECONFIG=f"{tmp_path}/none")
    assert ran.returncode == 1
    assert f"failed   cluster            ConfigError: Configuration file {tmp_path}/none not found" in ran.stdout
    assert "remedy: Run this in a pod of the service account menagerie-deploy, or point KUBECONFIG" in ran.stdout


# The machine.


def test_versions_name_the_images_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENAGERIE_COMMIT", "0123abc")
    finding = machine.versions()
    assert finding.state == "ok"
    assert finding.found.startswith(f"contract {contract.VERSION}, commit 0123abc, Python 3.11.")


def test_a_library_that_is_missing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEEDED", ("openvino", "no-such-library"))
    finding = machine.versions()
    assert finding.state == "failed"
    assert "missing: no-such-library" in finding.found


def test_an_image_without_torch_serves_and_deploys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TRAINING", ("no-such-torch",))
    finding = machine.versions()
    assert finding.state == "ok"
    assert "serves and deploys only" in finding.found


@pytest.mark.parametrize(
    ("limit", "state", "said"),
    [("max\n", "ok", "without a limit"), ("500000000\n", "warning", "0.5 GB, the container's limit")],
)
def test_a_containers_memory_is_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, state: str, said: str
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(machine, "_CGROUPS", (f"{tmp_path}/memory.max", f"{tmp_path}/none"))
    finding = machine.memory()
    assert finding.state == state
    assert said in finding.found


def test_graphics_cards_are_listed_as_the_driver_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.cards() == Finding("ok", "none: steps use the CPU")
    driver.write_text('#!/bin/sh\necho "GPU 0: NVIDIA L4 (UUID: GPU-1)"\n')
    driver.chmod(0o755)
    assert machine.cards() == Finding("ok", "GPU 0: NVIDIA L4")
    driver.write_text('#!/bin/sh\necho "no devices were found"; exit 6\n')
    assert machine.cards().state == "warning"
