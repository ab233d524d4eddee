"""Refusals of the API server, each a `Status` document as Kubernetes words it."""

from __future__ import annotations

from typing import Any

from kmock import KubernetesError

Refusal = KubernetesError
Json = dict[str, Any]


class Unfaithful(Exception):
    """A test wants what a real cluster does and this one does not: teach it, or it proves nothing."""


def refusal(status: int, reason: str, message: str, **details: Any) -> Refusal:
    """Of HTTP code `status`; `reason` as in `metav1.StatusReason`."""
    return Refusal(status=status, reason=reason, message=message, details={**details, "code": status})


def bad_request(message: str) -> Refusal:
    return refusal(400, "BadRequest", message)


def not_found(plural: str, name: str) -> Refusal:
    return refusal(404, "NotFound", f'{plural} "{name}" not found', name=name, kind=plural)


def forbidden(message: str) -> Refusal:
    return refusal(403, "Forbidden", message)


def exists(plural: str, name: str) -> Refusal:
    return refusal(409, "AlreadyExists", f'{plural} "{name}" already exists', name=name, kind=plural)


def conflict(plural: str, name: str, why: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {plural} "{name}": {why}'
    return refusal(409, "Conflict", message, name=name, kind=plural)


def stale(plural: str, name: str) -> Refusal:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(plural, name, why)


def invalid(kind: str, name: str, field: str, why: str) -> Refusal:
    message = f'{kind} "{name}" is invalid: {field}: {why}'
    causes = [{"field": field, "message": why, "reason": "FieldValueInvalid"}]
    return refusal(422, "Invalid", message, name=name, kind=kind, causes=causes)


def gone(asked: int, oldest: int) -> Refusal:
    return refusal(410, "Expired", f"too old resource version: {asked} ({oldest})")


def document(error: Refusal) -> Json:
    """The Status object of a refusal."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": error.status,
        "reason": error.reason,
        "message": error.message,
        "details": error.details,
    }
