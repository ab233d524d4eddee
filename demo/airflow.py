"""Airflow on this machine: its parts, started with these dags and plugins, and its REST API."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from typing import Any

import httpx

from demo.config import ROOT, Config, DemoError
from demo.processes import Processes, any_port

PYTHON = ROOT / ".menagerie" / "venv" / "airflow" / "bin" / "python"
DAG = "animals_pipeline"
POOL = "menagerie_registry"  # one snapshot at a time
PARTS = ("api-server", "scheduler", "dag-processor")  # no triggerer: nothing is deferred locally


class Airflow:
    """A running Airflow, by its REST API (v2). `password` is of the user `admin`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.password = secrets.token_urlsafe(9)
        self._client = httpx.Client(base_url=config.airflow_url, timeout=30, trust_env=False)

    def start(self, processes: Processes) -> None:
        """Make the database and start the parts."""
        home = self._config.airflow_home
        home.mkdir(parents=True)
        passwords = home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({"admin": self.password}))
        environment = self._environment()
        migrated = subprocess.run(
            [str(PYTHON), "-m", "airflow", "db", "migrate"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if migrated.returncode:
            raise DemoError(
                f"Airflow's database could not be made:\n{migrated.stdout[-2000:]}{migrated.stderr[-2000:]}"
            )
        for part in PARTS:
            processes.start(f"airflow-{part}", [str(PYTHON), "-m", "airflow", part], environment, ROOT)

    def wait(self, processes: Processes, seconds: float = 180) -> None:
        """Until the API answers and knows the DAG; then make its pool and let it run."""
        deadline = time.monotonic() + seconds
        while not self._knows_dag():
            if name := processes.dead():
                raise DemoError(f"{name} ended by itself:\n{processes.words(name)}")
            if time.monotonic() > deadline:
                raise DemoError(f"Airflow did not come up in {seconds:.0f} s; its logs: {self._config.state / 'logs'}")
            time.sleep(0.5)
        pool = {"name": POOL, "slots": 1, "description": "the data registry", "include_deferred": True}
        self._ask("POST", "pools", json=pool)
        self._ask("PATCH", f"dags/{DAG}", json={"is_paused": False})

    def trigger(self, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        run = self._ask("POST", f"dags/{DAG}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def state(self, run_id: str) -> str:
        return str(self._ask("GET", f"dags/{DAG}/dagRuns/{run_id}")["state"])

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Task instances: task_id, map_index, state, start_date, duration (seconds)."""
        found = self._ask("GET", f"dags/{DAG}/dagRuns/{run_id}/taskInstances", params={"limit": 300})
        tasks: list[dict[str, Any]] = found["task_instances"]
        return tasks

    def log(self, run_id: str, task: dict[str, Any]) -> str:
        """A task's last error, as its log tells it."""
        path = f"dags/{DAG}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        content = self._ask("GET", path, params={"map_index": task["map_index"], "full_content": True})["content"]
        lines = [str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content]
        return "\n".join(lines[-25:])

    def _knows_dag(self) -> bool:
        try:
            if "Authorization" not in self._client.headers:
                answer = self._client.post("/auth/token", json={"username": "admin", "password": self.password})
                answer.raise_for_status()
                self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            return self._client.get(f"/api/v2/dags/{DAG}").status_code == 200
        except httpx.HTTPError:
            return False

    def _ask(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        answer = self._client.request(method, f"/api/v2/{path}", **kwargs)
        if answer.is_error:
            raise DemoError(f"Airflow's API says {answer.status_code} to {method} {path}: {answer.text[:500]}")
        body: dict[str, Any] = answer.json()
        return body

    def _environment(self) -> dict[str, str]:
        config = self._config
        return {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("AIRFLOW", "MENAGERIE_", "PYTHON", "MLFLOW_", "WANDB_"))
            },
            "PATH": f"{PYTHON.parent}:{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(config.airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(config.airflow_home / "passwords.json"),
            # These three belong together: the tasks talk to the API server by the last.
            "AIRFLOW__API__PORT": str(config.airflow_port),
            "AIRFLOW__API__BASE_URL": config.airflow_url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{config.airflow_url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(any_port()),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "MENAGERIE_BUCKETS": f"file://{config.buckets}/",
            "MENAGERIE_REGISTRY": config.registry,
            "MENAGERIE_REGISTRY_POOL": POOL,
            "MENAGERIE_SITE": config.site,
            "MENAGERIE_SITE_URL": config.site_url,
            "MENAGERIE_RETRY_DELAY": "5",
            "MENAGERIE_SCHEDULE": "none",  # the demo triggers its runs itself
        }
