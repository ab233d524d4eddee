"""A step that runs as a pod: what is ours of it, whichever way the cluster is reached.

Airflow's operator creates the pod, finds it again after a restart, waits for it and brings its log. How the step went is
read from its result document alone: log streams break, tokens expire, pods are deleted. A document is a pod's own if it
differs from the one that stood there when the pod was created; the pod carries that one's fingerprint as an annotation.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import menagerie_contract as contract
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import PodLaunchFailedException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.compat.sdk import XCOM_RETURN_KEY, AirflowException, AirflowFailException
from kubernetes.client import models as k8s

from menagerie import documents, resources
from menagerie.launchers import autopsy, failures, pods, symptoms
from menagerie.launchers.pod_care import BEFORE, PodCare, fingerprint, is_ok
from menagerie.settings import settings

LAP = 60  # seconds after which a worker looks why a pod that the triggerer waits for has not started
LOOK = 5.0  # seconds between two looks of a worker at a pod that is starting


class PodStep(PodCare):
    """Runs `python -m model_service <argv>` in a pod and returns its result document, as the local launcher does."""

    template_fields: Sequence[str] = (*KubernetesPodOperator.template_fields, "argv")
    ui_color = "#dce6f2"

    def __init__(self, *, argv: list[str], **kwargs: Any) -> None:
        wanted = settings()
        super().__init__(
            namespace=wanted.namespace,
            deferrable=wanted.deferrable,
            poll_interval=wanted.poll,
            logging_interval=max(1, int(wanted.poll)),
            startup_timeout_seconds=LAP if wanted.deferrable else symptoms.STARTUP,
            on_finish_action="delete_succeeded_pod",
            termination_message_policy="FallbackToLogsOnError",
            container_name_log_prefix_enabled=False,
            **kwargs,
        )
        self.argv = argv

    # The pod.

    def _plan(self, context: Any) -> None:
        """The step, with what its pod gets in this run."""
        try:
            step = contract.parse(self.argv)
            changes = context["params"].get("pods") or {}
            self._row = resources.row(step)
            table = resources.override(
                settings().pods, changes, "the Param pods", only_by_settings=("service_account",)
            )
            self._resources = table[self._row]
        except (contract.ContractError, resources.ResourcesError) as error:
            raise AirflowFailException(f"{self.task_id} cannot be run: {error}") from error
        assert isinstance(step, contract.Batch)
        most = self.execution_timeout
        if most is not None and self._resources.deadline > most.total_seconds():
            raise AirflowFailException(
                f"the Param pods.{self._row}.deadline is {self._resources.deadline}, but the task itself ends after "
                f"{most.total_seconds():.0f} seconds; MENAGERIE_PODS sets the deadline of both"
            )
        self.name = pods.name(step.name, step.run)
        self.automount_service_account_token = self._row in pods.NEEDS_API
        self.termination_grace_period = pods.grace(self._resources)
        self._step = step

    def build_pod_request_obj(self, context: Any = None, *, dry_run: bool = False) -> k8s.V1Pod:
        step, wanted = self._step, settings()
        self.full_pod_spec = pods.pod(
            step=self._row,
            image=wanted.serve_image if self._row == "deploy" else wanted.image,
            argv=self.argv,
            resources=self._resources,
            labels=pods.labels(
                dag=context["ti"].dag_id, run=step.run, step=step.name, attempt=context["ti"].try_number
            ),
            annotations={BEFORE: self._before},
            registry_secret=wanted.registry_secret,
            tracking_secret=wanted.tracking_secret,
        )
        return super().build_pod_request_obj(context, dry_run=dry_run)

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Any) -> k8s.V1Pod:
        pod = super().get_or_create_pod(pod_request_obj, context)
        self._mine = pod
        self._before = pod.metadata.annotations[BEFORE]  # when it was found again: of the attempt that created it
        self.trigger_kwargs = {BEFORE: self._before}
        return pod

    # The wait.

    def execute(self, context: Any) -> dict[str, Any]:
        self._plan(context)
        earlier = documents.result(self._step.result)
        if is_ok(earlier) and not self._step.converges:
            self.log.info("%s has succeeded before: its result stands, no pod is needed", self._step.name)
            return self._say(context, earlier)
        self._before = fingerprint(earlier)
        start = super().execute

        def wait() -> None:
            if not self._meet_former_pods(context, earlier):
                start(context)

        return self._until_known(context, wait)

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        self._plan(context)
        self._before = event[BEFORE]
        self.trigger_kwargs = {BEFORE: self._before}
        self.pod = self._mine = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=event["name"], namespace=event["namespace"]))
        resume = super().trigger_reentry

        def wait() -> None:
            # After an error or a lap, Airflow's own way is to give up, or to hold this worker while the pod runs.
            pod = self._look()
            if event["status"] in ("success", "failed") or (pod is not None and symptoms.is_over(pod)):
                resume(context, event)
            else:
                self.log.info("The triggerer says: %s", event["message"])

        return self._until_known(context, wait, ends=event.get("_execution_deadline"))

    def _until_known(self, context: Any, wait: Callable[[], Any], ends: float | None = None) -> dict[str, Any]:
        """Wait until it is known how the step went. `ends`: seconds since the epoch at which the task's time is up."""
        while True:
            fault: Exception | None = None
            try:
                wait()
            except Exception as error:  # what it means is decided below, by the result and the pod
                fault = error
            try:
                result = documents.result(self._step.result)
            except documents.Damaged:
                self._part(succeeded=False)
                raise
            if result is not None and fingerprint(result) == self._before:
                result = None  # an earlier attempt's
            if is_ok(result):
                self._part(succeeded=True)
                return self._say(context, result)
            if self._mine is None:
                raise AirflowException(
                    f"{self._step.name} got no pod: {autopsy.answer(fault) if fault else 'nothing was said'}"
                ) from fault
            pod = self._look()
            late = ends is not None and time.time() >= ends
            if result is None and pod is not None and not late and self._goes_on(pod):
                self.log.warning("Pod %s goes on (%s), and so does this task", pod.metadata.name, fault or "a lap")
                if self.deferrable:
                    self.invoke_defer_method(context=context)
                time.sleep(self.poll_interval)
                wait = functools.partial(self.execute_sync, context)
                continue
            why = "ran out of the time that its task has" if late else ""
            failure = (
                failures.told(self._step.name, result)
                if result is not None
                else autopsy.error(self.client, pod, self._step.name, self._row, self._resources, why)
            )
            self._part(succeeded=False)
            raise failure from fault

    def _say(self, context: Any, result: dict[str, Any]) -> dict[str, Any]:
        """The result as the task's XCom: of its own accord, Airflow's operator pushes only what a sidecar has read."""
        context["ti"].xcom_push(XCOM_RETURN_KEY, result)
        return result

    def await_pod_start(self, pod: k8s.V1Pod) -> None:
        """Airflow's own gives up on a pod that waits for a node as on one that waits in vain."""
        told: set[str] = set()
        while True:
            found = self.pod_manager.read_pod(pod)
            seen = autopsy.events(self.client, pod.metadata.name, pod.metadata.namespace)
            for event in seen:
                if event.metadata.uid not in told:
                    self.log.info("%s: %s", event.reason, event.message)
                    told.add(event.metadata.uid)
            if found.status.phase not in ("Pending", "Unknown"):
                return
            if why := symptoms.stuck(found, seen, datetime.now(UTC)):
                raise PodLaunchFailedException(why)
            time.sleep(LOOK)
