"""The ways that are compared: ours, and how such a bucket is commonly sorted. Each returns seconds, or says why it cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.sorting.server import REPO, Server, environment

AIRFLOW = REPO / ".menagerie/venv/airflow/bin/python"


class CannotRun(Exception):
    """This way does not run here; the text says why."""


def ours_on_folders(source: Path, count: int) -> float:
    folders = [_new_folder(source) / name for name in ("to_predict", "models")]
    for folder in folders:
        folder.mkdir()
    uris = [f"file://{folder}" for folder in (source, *folders)]
    return _ours(uris, folders[1] / "result.json", count)


def ours_on(server: Server, source: str, count: int) -> float:
    buckets = [server.bucket(), server.bucket()]
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "result.json"
        uris = [f"gs://{bucket}" for bucket in (source, *buckets)]
        seconds = _ours(uris, result, count, STORAGE_EMULATOR_HOST=server.url)
    server.remove(*buckets)
    return seconds


def _ours(uris: list[str], result: Path, count: int, **variables: str) -> float:
    """`python -m model_service sort` from start to exit: with the start of Python, the imports and the plan."""
    source, to_predict, models = uris
    words = [sys.executable, "-m", "model_service", "sort", "--run=bench", f"--result=file://{result}"]
    words += [f"--source={source}", f"--to-predict={to_predict}", f"--models={models}"]
    begun = time.perf_counter()
    done = subprocess.run(words, cwd=REPO, env=environment(**variables), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    counts = json.loads(result.read_bytes()).get("counts", {}) if result.exists() else {}
    if done.returncode or counts["packed"] + counts["duplicates"] != count:
        raise SystemExit(f"sort did not take all {count} pictures: {counts}\n{done.stdout}{done.stderr}")
    return seconds


def naive_on_folders(source: Path, labels: list[str], count: int) -> float:
    """For each class list the bucket and copy each of its files, one after the other."""
    to, begun = _new_folder(source), time.perf_counter()
    for label in labels:
        (to / label).mkdir()
        for path in source.iterdir():
            if path.name.startswith(f"{label}_"):
                shutil.copy(path, to / label / path.name)
    seconds = time.perf_counter() - begun
    _expect(sum(1 for _ in to.glob("*/*")), count)
    return seconds


def naive_on(server: Server, source: str, labels: list[str], count: int) -> float:
    """For each class list the bucket, download and upload each of its objects, one after the other: what the original did."""
    to = server.bucket()
    into = server.client.bucket(to)
    with tempfile.NamedTemporaryFile() as local:
        begun = time.perf_counter()
        for label in labels:
            for blob in server.client.list_blobs(source):
                if blob.name.startswith(f"{label}_"):
                    blob.download_to_filename(local.name)
                    into.blob(f"{label}/{blob.name}").upload_from_filename(local.name)
        seconds = time.perf_counter() - begun
    _expect(server.count(to), count)
    server.remove(to)
    return seconds


_OPERATOR = """
import json, sys, time
from airflow.providers.google.cloud.transfers.gcs_to_gcs import GCSToGCSOperator
source, to = sys.argv[1:]
operator = GCSToGCSOperator(task_id="copy", source_bucket=source, source_object="*", destination_bucket=to)
begun = time.perf_counter()
operator.execute({})
print("\\n" + json.dumps(time.perf_counter() - begun))
"""


def operator_on(server: Server, source: str, count: int) -> float:
    """GCSToGCSOperator's execute, without Airflow's start; it copies within the storage system and does nothing else."""
    if not AIRFLOW.exists():
        raise CannotRun("there is no Airflow environment (make env)")
    to = server.bucket()
    with tempfile.TemporaryDirectory() as home:
        variables = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(
                {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "bench"}}
            ),
            "STORAGE_EMULATOR_HOST": server.url,
        }
        words = [str(AIRFLOW), "-c", _OPERATOR, source, to]
        done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(f"it failed: {_last_line(done)}")
    _expect(server.count(to), count)
    server.remove(to)
    return float(json.loads(done.stdout.splitlines()[-1]))


def gcloud_on(server: Server, source: str, count: int) -> float:
    """`gcloud storage cp -r` from start to exit; copies within the storage system, and nothing else."""
    if not shutil.which("gcloud"):
        raise CannotRun("gcloud is not installed")
    to = server.bucket()
    with tempfile.TemporaryDirectory() as home:
        variables = {
            "CLOUDSDK_CONFIG": home,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{server.url}/",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "CLOUDSDK_CORE_PROJECT": "bench",
        }
        words = ["gcloud", "storage", "cp", "-r", f"gs://{source}/*", f"gs://{to}/"]
        begun = time.perf_counter()
        try:
            done = subprocess.run(
                words, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600
            )
        except subprocess.TimeoutExpired:
            raise CannotRun("it did not end in 10 minutes") from None
        seconds = time.perf_counter() - begun
    if done.returncode or server.count(to) != count:
        raise CannotRun(f"it fails on this server: {_last_line(done)}")
    server.remove(to)
    return seconds


def _new_folder(source: Path) -> Path:
    """Left where it is until the bench ends: ext4 is slow to make files just after it has removed many."""
    return Path(tempfile.mkdtemp(dir=source.parent))


def _expect(found: int, count: int) -> None:
    if found != count:
        raise SystemExit(f"{found} objects arrived, not {count}")


def _last_line(done: subprocess.CompletedProcess[Any]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1][:150] if lines else "nothing said"
