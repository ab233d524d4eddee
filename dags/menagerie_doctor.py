"""The doctor: looks at everything the pipeline needs, from where it is needed, and shows one table with remedies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import TriggerRule, dag
from airflow.providers.standard.decorators.python import python_task
from menagerie import checkup
from menagerie.launchers import launch, reap
from menagerie.settings import settings

DOC = """
### Is everything there that a run needs?

Trigger it after an installation, after an upgrade, and when a run fails for no reason of its own. The log of the task
**table** has the whole table, with a remedy for each row that failed; nothing is changed, but for probe objects below
`.menagerie-doctor/` that are written and deleted again.

- **coordinator**: settings, versions, the way to the buckets and to the cluster, as Airflow sees them.
- **steps**: buckets, data registry, champion, versions, memory, as the steps see them, in a pod of their image and account.
- **deploy** (with pods): the cluster, the Role and the website, as the deploy step sees them, in a pod of the website's image.

A pod that starts proves that its image can be pulled; one that does not start says why in the error of its task.
"""

ALL, TO_PREDICT, PREDICTED, MODELS = (
    settings().bucket(name) for name in ("animals_all", "animals_to_predict", "animals_predicted", "animals_models")
)
RUN = "{{ run_id | run_name }}"


def result(task: str, run: str) -> str:
    return contract.result(MODELS, run, f"doctor-{task}")


@dag(
    dag_id="menagerie_doctor",
    description="Check buckets, permissions, images, cluster, website and versions",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0},  # what fails now is what is wanted
    doc_md=DOC,
    tags=["menagerie"],
    user_defined_filters={"run_name": contract.run_name},
)
def menagerie_doctor() -> None:
    @python_task(execution_timeout=timedelta(minutes=10))
    def coordinator() -> list[dict[str, str]]:
        return checkup.coordinator(settings())

    everywhere = {"run": RUN, "models": MODELS}
    buckets = {"source": ALL, "to_predict": TO_PREDICT, "predicted": PREDICTED}
    in_pods, url, namespace = settings().in_pods, settings().site_url, settings().namespace
    steps = contract.Doctor(
        **everywhere,
        **buckets,
        result=result("steps", RUN),
        registry=settings().registry,
        url="" if in_pods else url,
    )
    looks = {"steps": launch(steps, task_id="steps")}
    if in_pods:  # a doctor that is told a namespace runs as deploy does
        deploy = contract.Doctor(**everywhere, result=result("deploy", RUN), namespace=namespace, url=url)
        looks["deploy"] = launch(deploy, task_id="deploy")

    @python_task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(minutes=10))
    def table(ti: Any, run_id: str) -> None:
        """The rows of all, whichever of them failed."""
        rows = ti.xcom_pull(task_ids="coordinator") or [checkup.without_rows("coordinator")]
        for task in looks:
            uri = result(task, contract.run_name(run_id))
            rows += checkup.of_step(task, ti.xcom_pull(task_ids=task), uri)
        print("\n".join(checkup.table(rows)))
        checkup.conclude(rows)

    end = table()
    [coordinator(), *looks.values()] >> end
    if in_pods:
        list(looks.values()) >> reap(task_id="reap")


menagerie_doctor()
