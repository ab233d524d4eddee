"""What a pod leaves behind when its step fails, as the error of its task: why it ended, events, last words, remedy."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.client import models as k8s
from urllib3.exceptions import HTTPError

from menagerie.launchers import failures, symptoms
from menagerie.launchers.pods import CONTAINER
from menagerie.resources import Resources

QUOTED = 20  # lines of the log


def events(client: CoreV1Api, name: str, namespace: str) -> list[k8s.CoreV1Event]:
    found: list[k8s.CoreV1Event] = client.list_namespaced_event(
        namespace, field_selector=f"involvedObject.name={name},involvedObject.kind=Pod"
    ).items
    return found


def error(
    client: CoreV1Api, pod: k8s.V1Pod | None, step: str, row: str, resources: Resources, why: str = ""
) -> AirflowException:
    """Of a step whose pod left no result. `row`: of the table of resources. `why`: what is known already."""
    lines: list[str] = []
    said: list[str] = []
    remedy = ""
    if pod is not None:
        try:
            seen = events(client, pod.metadata.name, pod.metadata.namespace)
            said = symptoms.warnings(seen)
        except (ApiException, HTTPError) as refusal:
            seen = []
            said = [f"(its events cannot be read: {answer(refusal)})"]
        if stuck := symptoms.stuck(pod, seen, datetime.now(UTC)):
            return AirflowException(_text(f"{step} could not start: {stuck}", said, None, ""))
        lines = tail(client, pod)
    if not why:
        why, kind = symptoms.ended(pod, resources.deadline)
        remedy = more(row, kind, resources)
    return AirflowException(_text(f"{step} {why}", said, lines if pod is not None else None, remedy))


def tail(client: CoreV1Api, pod: k8s.V1Pod) -> list[str]:
    """The last lines of its log; when the log has gone with the node, those that the pod's status keeps."""
    try:
        response = client.read_namespaced_pod_log(
            pod.metadata.name, pod.metadata.namespace, container=CONTAINER, tail_lines=QUOTED, _preload_content=False
        )
        text: str = response.data.decode("utf-8", errors="backslashreplace")
    except (ApiException, HTTPError):
        end = symptoms.terminated(pod)
        text = (end.message or "") if end else ""
    return text.splitlines()[-QUOTED:]


def more(row: str, kind: str, resources: Resources) -> str:
    """How to give a step more memory, storage or time."""
    if not kind:
        return ""
    now: Any = getattr(resources, kind)
    change = f'{{"{row}": {{"{kind}": {_doubled(now)}}}}}'
    return f"give it more {kind} than {now}: {change} as the Param pods for one run, in MENAGERIE_PODS for every run"


def answer(error: BaseException) -> str:
    """The cluster's own words."""
    if not isinstance(error, ApiException):
        return str(error)
    found = re.search(r'"message":\s*"((?:[^"\\]|\\.)*)"', _decoded(error.body))
    return f"{error.status} {error.reason}" + (f": {found[1]}" if found else "")


def _decoded(body: Any) -> str:
    return body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body or "")


def _doubled(value: str | int) -> str:
    if isinstance(value, int):
        return str(2 * value)
    number = re.match(r"[\d.]+", value)
    assert number is not None  # resources.py has checked it
    return f'"{2 * float(number[0]):g}{value[number.end() :]}"'


def _text(what: str, said: list[str], lines: list[str] | None, remedy: str) -> str:
    parts = [failures.short(what, failures.MESSAGE)]
    if remedy:
        parts.append(f"Remedy: {remedy}")
    if said:
        parts.append("The cluster said:\n" + "\n".join(failures.short(one) for one in said))
    if lines is not None:
        parts.append(failures.last_words(lines))
    return "\n".join(parts)
