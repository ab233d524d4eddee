"""What a client may do with the cluster's objects, by the rules of the Kubernetes API; no HTTP here."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import Any

from tests.support.k8s import defaults, garbage, managed_fields, patches, scales, schema
from tests.support.k8s.errors import Json, bad_request, conflict, forbidden, invalid, refusal, stale
from tests.support.k8s.store import Key, Store

APPLY = "application/apply-patch+yaml"
SERVERS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names, as in Kubernetes: no vowels


@dataclass(frozen=True)
class Resource:
    api_version: str
    plural: str
    kind: str
    namespaced: bool
    subresources: frozenset[str]


@dataclass(frozen=True)
class Asked:
    """One request: what it is about, and the parameters of a write."""

    resource: Resource
    key: Key
    subresource: str = ""
    manager: str = ""
    content_type: str = ""
    params: tuple[tuple[str, str], ...] = ()

    def param(self, name: str, default: str = "") -> str:
        return dict(self.params).get(name, default)


class Verbs:
    def __init__(self, store: Store) -> None:
        self.store = store

    def create(self, asked: Asked, body: Json) -> Json:
        thing = self._read(asked, body, creating=True)
        thing.pop("status", None)
        return self._create(asked, managed_fields.track(None, defaults.complete(thing), asked.manager))

    def replace(self, asked: Asked, body: Json) -> Json:
        before = self.store.get(asked.key)
        if asked.subresource == "scale":
            return scales.scale(self._update(asked, before, scales.scaled(before, body)))
        return self._update(asked, before, self._read(asked, body))

    def patch(self, asked: Asked, body: Any) -> Json:
        if asked.content_type == APPLY:
            return self.apply(asked, body)
        before = self.store.get(asked.key)
        if asked.subresource == "scale":
            wanted = patches.patch(scales.scale(before), body, asked.content_type)
            return scales.scale(self._update(asked, before, scales.scaled(before, wanted)))
        return self._update(asked, before, self._read(asked, patches.patch(before, body, asked.content_type)))

    def apply(self, asked: Asked, body: Json) -> Json:
        """Server-side apply: creates the object, or changes the fields the manager owns."""
        if not asked.param("fieldManager"):
            why = "Required value: is required for apply patch"
            raise invalid("PatchOptions.meta.k8s.io", "", "fieldManager", why)
        config = copy.deepcopy(body)
        if (config.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        live = self.store.find(asked.key)
        config.setdefault("metadata", {}).setdefault("name", asked.key[2])
        if asked.resource.namespaced:
            config["metadata"].setdefault("namespace", asked.key[1])
        self._same(asked, config)
        if unknown := schema.check(config) if live is None else schema.check(_whole(live, config)):
            kind = f"{config['apiVersion']}, Kind={config['kind']}"
            why = f"failed to create typed patch object ({'/'.join(asked.key[1:])}; {kind})"
            raise refusal(500, "InternalError", f"{why}: {unknown[0]}: field not declared in schema")
        if live is None and asked.subresource:
            self.store.get(asked.key)
        if (
            live is not None
            and config["metadata"].get("resourceVersion", live["metadata"]["resourceVersion"])
            != (live["metadata"]["resourceVersion"])
        ):
            raise stale(asked.resource.plural, asked.key[2])
        force = asked.param("force") in ("true", "True", "1")
        if not asked.subresource and "status" in asked.resource.subresources:
            config.pop("status", None)
        new = managed_fields.apply(live, config, asked.manager, force=force, subresource=asked.subresource)
        new = defaults.complete(new)
        if live is None:
            return self._create(asked, new)
        return self._write(asked, live, new)

    def delete(self, asked: Asked, options: Json | None) -> Json | None:
        """The object while it still is there, None when it is gone."""
        thing = self.store.get(asked.key)
        options = dict(options or {})
        if policy := asked.param("propagationPolicy"):
            options.setdefault("propagationPolicy", policy)
        if seconds := asked.param("gracePeriodSeconds"):
            options.setdefault("gracePeriodSeconds", int(seconds))
        return thing if _dry(asked) else garbage.delete(self.store, asked.key, options)

    def _read(self, asked: Asked, body: Any, *, creating: bool = False) -> Json:
        if not isinstance(body, dict):
            raise bad_request("the body of the request is no object")
        thing: Json = copy.deepcopy(body)
        meta = thing.setdefault("metadata", {})
        thing.setdefault("apiVersion", asked.resource.api_version)
        thing.setdefault("kind", asked.resource.kind)
        if creating and not meta.get("name"):
            if not meta.get("generateName"):
                raise invalid(asked.resource.kind, "", "metadata.name", "Required value: name or generateName")
            meta["name"] = meta["generateName"][:58] + "".join(random.choices(_LETTERS, k=5))
        if asked.resource.namespaced:
            meta.setdefault("namespace", asked.key[1])
        self._same(asked, thing, creating=creating)
        if creating and meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        unknown = schema.check(thing)
        if unknown and asked.param("fieldValidation") == "Strict":
            raise bad_request(f"strict decoding error: {', '.join(unknown)}")
        return schema.prune(thing)

    def _same(self, asked: Asked, thing: Json, *, creating: bool = False) -> None:
        """Refuse an object that is not what the URL names."""
        meta = thing["metadata"]
        if (thing.get("apiVersion"), thing.get("kind")) != (asked.resource.api_version, asked.resource.kind):
            got, wanted = (
                (thing.get("apiVersion"), thing.get("kind")),
                (asked.resource.api_version, asked.resource.kind),
            )
            raise bad_request(f"the object provided is {got}, which is not what the URL names: {wanted}")
        if meta.get("namespace", "") != asked.key[1]:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if not creating and meta.get("name") != asked.key[2]:
            raise bad_request(f"the name of the object ({meta.get('name')}) does not match the URL ({asked.key[2]})")

    def _create(self, asked: Asked, thing: Json) -> Json:
        meta, plural = thing["metadata"], asked.resource.plural
        if asked.resource.namespaced:
            self.store.get(("namespaces", "", asked.key[1]))
        if plural == "pods":
            account = thing["spec"]["serviceAccountName"]
            if self.store.find(("serviceaccounts", asked.key[1], account)) is None:
                where = f"{asked.key[1]}/{account}"
                why = f'error looking up service account {where}: serviceaccount "{account}" not found'
                raise forbidden(f'pods "{meta["name"]}" is forbidden: {why}')
            thing["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        if plural == "services" and thing["spec"].get("type") != "ExternalName":
            address = f"10.96.{random.randint(0, 255)}.{random.randint(1, 254)}"
            thing["spec"].setdefault("clusterIP", address)
        if thing["kind"] in defaults.COUNTED:
            meta["generation"] = 1
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(name, None)
        defaults.forbid(None, thing)
        return thing if _dry(asked) else self.store.create((plural, asked.key[1], meta["name"]), thing)

    def _update(self, asked: Asked, before: Json, after: Json) -> Json:
        version = after["metadata"].get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise stale(asked.resource.plural, asked.key[2])
        uid = after["metadata"].get("uid")
        if uid and uid != before["metadata"]["uid"]:
            raise conflict(asked.resource.plural, asked.key[2], f"Precondition failed: UID in object meta: {uid}")
        if asked.subresource == "status":
            after = before | {"status": after.get("status", {})}
        elif "status" in asked.resource.subresources:
            after = {k: v for k, v in after.items() if k != "status"}
            after |= {"status": before["status"]} if "status" in before else {}
        for name in SERVERS:
            after["metadata"] = {k: v for k, v in after["metadata"].items() if k != name}
            after["metadata"] |= {name: before["metadata"][name]} if name in before["metadata"] else {}
        after = defaults.complete(after)
        if asked.resource.plural == "services":
            after["spec"].setdefault("clusterIP", before["spec"].get("clusterIP"))
        tracked = managed_fields.track(before, after, asked.manager, asked.subresource)
        return self._write(asked, before, tracked)

    def _write(self, asked: Asked, before: Json, after: Json) -> Json:
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        defaults.forbid(before, after)
        if after["kind"] in defaults.COUNTED and _spec(before) != _spec(after):
            after["metadata"]["generation"] = before["metadata"].get("generation", 1) + 1
        if _dry(asked):
            return after
        written = self.store.replace(asked.key, after)
        garbage.release(self.store, asked.key)
        return written


def _whole(live: Json, config: Json) -> Json:
    """A partial configuration with what the type requires, so that only its own mistakes are found."""
    return managed_fields.apply({k: v for k, v in live.items() if k != "status"}, config, "check", force=True)


def _spec(thing: Json) -> Json:
    return {key: value for key, value in thing.items() if key not in ("metadata", "status")}


def _dry(asked: Asked) -> bool:
    return asked.param("dryRun") == "All"
