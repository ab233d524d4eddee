"""An operator's care for the pods of its task: those that earlier attempts left, the one that is watched, its end."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TypeGuard

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import ApiException
from kubernetes.client import models as k8s
from urllib3.exceptions import HTTPError

from menagerie.launchers import autopsy, pods, symptoms, visits

BEFORE = "menagerie.dev/result-before"  # annotation, and key of the trigger's events: see `fingerprint`


def fingerprint(result: dict[str, Any] | None) -> str:
    """Of the result that stood there before a pod: one that differs from it is the pod's own."""
    return "" if result is None else hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def is_ok(result: dict[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    return result is not None and result["status"] == "ok"


class PodCare(KubernetesPodOperator):
    _before = ""  # fingerprint of the result that stood there before the pod
    _mine: k8s.V1Pod | None = None  # the pod, as it was when it was last met

    @staticmethod
    def _get_ti_pod_labels(context: Any = None, include_try_number: bool = True) -> dict[str, str]:
        """Airflow's own labels, by which it finds a pod again; its values can begin with a dash, which Kubernetes refuses."""
        found = KubernetesPodOperator._get_ti_pod_labels(context, include_try_number)
        return {key: pods.begun(value) for key, value in found.items()}

    def cleanup(self, pod: Any, remote_pod: Any, xcom_result: Any = None, context: Any = None) -> None:
        """Nothing yet: what becomes of a pod is decided once its result has been read, by `_part`."""

    def _meet_former_pods(self, context: Any, earlier: dict[str, Any] | None) -> bool:
        """Of pods that attempts before this one left: True if one has succeeded unseen. At most one is left to be found."""
        selector = self._build_find_pod_label_selector(context)
        found = self.client.list_namespaced_pod(self.namespace, label_selector=selector).items
        alive = []
        for pod in sorted(found, key=lambda one: one.metadata.creation_timestamp):
            before = (pod.metadata.annotations or {}).get(BEFORE, "")
            if not symptoms.is_over(pod) and not pod.metadata.deletion_timestamp:
                alive.append(pod)
            elif is_ok(earlier) and before != fingerprint(earlier):
                self.log.info("Pod %s has succeeded while nobody watched", pod.metadata.name)
                self._mine, self._before = pod, before
                return True
            else:
                self.patch_already_checked(pod)  # so that it is not found again: this attempt has a pod of its own
        for pod in alive[:-1]:
            self.patch_already_checked(pod)
            visits.discard(self.client, pod, self.termination_grace_period)
        return False

    def _look(self) -> k8s.V1Pod | None:
        return visits.look(lambda: self.client, self._mine, self._refresh_cached_properties)

    def _goes_on(self, pod: k8s.V1Pod) -> bool:
        if symptoms.is_over(pod) or pod.metadata.deletion_timestamp:
            return False
        seen = visits.ask(
            lambda: autopsy.events(self.client, pod.metadata.name, pod.metadata.namespace),
            self._refresh_cached_properties,
        )
        return symptoms.stuck(pod, seen, datetime.now(UTC)) is None

    def _part(self, *, succeeded: bool) -> None:
        """Delete the pod, but keep one that failed for people to look at, marked so that no retry takes it up again."""
        pod = self._mine
        if pod is None:
            return
        try:
            if not succeeded:
                self.patch_already_checked(pod)
                found = self._look()
            if succeeded or (found is not None and not symptoms.is_over(found)):
                visits.discard(self.client, pod, self.termination_grace_period)
        except (ApiException, HTTPError) as refusal:
            self.log.warning("Pod %s is left to the reaper: %s", pod.metadata.name, autopsy.answer(refusal))
