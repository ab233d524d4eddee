"""Events: what `kubectl describe` shows below an object."""

from __future__ import annotations

import secrets

from tests.support.k8s.errors import Json
from tests.support.k8s.store import Store, now


def record(store: Store, about: Json, kind: str, reason: str, message: str, component: str = "kubelet") -> None:
    """Add a Normal or Warning event; the same one again is counted, not repeated."""
    meta = about["metadata"]
    for event in store.all("events", meta.get("namespace", "")):
        same = (event["involvedObject"].get("uid"), event["reason"], event["message"]) == (meta["uid"], reason, message)
        if same:
            key = ("events", meta.get("namespace", ""), event["metadata"]["name"])
            store.edit(key, lambda e: e.update(count=e["count"] + 1, lastTimestamp=now()))
            return
    name = f"{meta['name']}.{secrets.token_hex(8)}"
    involved = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"], "uid": meta["uid"]}
    involved |= {"namespace": meta.get("namespace", ""), "resourceVersion": meta["resourceVersion"]}
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": meta.get("namespace", "")},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "eventTime": None,
    }
    store.create(("events", meta.get("namespace", ""), name), event)
