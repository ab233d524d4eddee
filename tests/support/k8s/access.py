"""Who asks, and what they may do: bearer tokens and role-based access control over the stored Roles."""

from __future__ import annotations

from tests.support.k8s.errors import Json, refusal
from tests.support.k8s.store import Store

ADMIN = "system:admin"


class Access:
    """Tokens: one for the administrator, one for each service account (`token`)."""

    def __init__(self, store: Store, admin_token: str) -> None:
        self._store = store
        self._tokens = {admin_token: ADMIN}

    def admit(self, token: str, user: str = ADMIN) -> str:
        self._tokens[token] = user
        return token

    def token(self, namespace: str, account: str) -> str:
        """What Kubernetes mounts into a pod of that service account."""
        return self.admit(f"token-of-{namespace}-{account}", f"system:serviceaccount:{namespace}:{account}")

    def user(self, header: str) -> str:
        """Raises a refusal (401)."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or token not in self._tokens:
            raise refusal(401, "Unauthorized", "Unauthorized")
        return self._tokens[token]

    def allows(self, user: str, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """`resource` is the plural, with its subresource: `pods/log`."""
        if user == ADMIN:
            return True
        rules: list[Json] = []
        for plural, space in (("rolebindings", namespace), ("clusterrolebindings", "")):
            for binding in self._store.all(plural, space):
                if any(_is(subject, user) for subject in binding.get("subjects") or []):
                    role = binding["roleRef"]
                    where = ("clusterroles", "") if role["kind"] == "ClusterRole" else ("roles", space)
                    found = self._store.find((*where, role["name"]))
                    rules += (found or {}).get("rules") or []
        return any(_covers(rule, verb, group, resource, name) for rule in rules)


def _is(subject: Json, user: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user == f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    return bool(subject["kind"] == "User" and subject["name"] == user)


def _covers(rule: Json, verb: str, group: str, resource: str, name: str) -> bool:
    def has(field: str, value: str) -> bool:
        return bool({value, "*"} & set(rule.get(field, [])))

    names = rule.get("resourceNames") or []
    return (
        has("verbs", verb) and has("apiGroups", group) and has("resources", resource) and (not names or name in names)
    )
