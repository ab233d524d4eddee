"""An Airflow of the tests' own: a temporary AIRFLOW_HOME, this checkout's dags and plugins, buckets in a folder.

Airflow and Menagerie read their variables once: import this before either of them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
MODEL_PYTHON = REPO / ".menagerie/venv/model/bin/python"
HOME = Path(tempfile.mkdtemp(prefix="menagerie-airflow-"))
BUCKETS = HOME / "buckets"
REGISTRY = f"file://{HOME}/registry.git"
SITE = HOME / "site/site.json"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


SITE_URL = f"http://127.0.0.1:{_free_port()}"

for name in list(os.environ):
    if name.startswith(("AIRFLOW", "MENAGERIE_")) and not name.startswith("MENAGERIE_TEST_"):
        del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "MENAGERIE_BUCKETS": f"file://{BUCKETS}/",
    "MENAGERIE_SITE": f"file://{SITE}",
    "MENAGERIE_SITE_URL": SITE_URL,
    "MENAGERIE_REGISTRY": REGISTRY,
    "MENAGERIE_RETRY_DELAY": "0",
    "OMP_NUM_THREADS": "1",
}
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# What the environment says where steps are pods.
PODS = {
    "MENAGERIE_LAUNCHER": "gke",
    "MENAGERIE_BUCKETS": "gs://acme-",
    "MENAGERIE_CLUSTER": "projects/acme/locations/europe-west1/clusters/animals",
    "MENAGERIE_IMAGE": f"example.com/train@sha256:{'a' * 64}",
    "MENAGERIE_SERVE_IMAGE": f"example.com/serve@sha256:{'b' * 64}",
}
