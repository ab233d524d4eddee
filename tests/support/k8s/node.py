"""The node pods run on: names, addresses, volumes and environments of their containers."""

from __future__ import annotations

import base64
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.k8s.access import Access
from tests.support.k8s.errors import Json
from tests.support.k8s.faults import Faults
from tests.support.k8s.logs import Logs
from tests.support.k8s.store import Store

REPOSITORY = Path(__file__).parents[3]
PYTHON = REPOSITORY / ".menagerie/venv/model/bin/python"
NAME = "gk3-menagerie-pool-1"
_SERVICE = re.compile(r"http://(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(?:\.cluster\.local)?(?::\d+)?")


class NotMounted(Exception):
    """A volume that cannot be mounted yet; the text is the event's message."""


def _addresses() -> Iterator[str]:
    """Loopback addresses, so that each pod has all ports to itself; Linux answers on 127.0.0.0/8."""
    second, third = random.randint(16, 250), random.randint(0, 250)
    while True:
        yield from (f"127.{second}.{third}.{last}" for last in range(1, 255))
        third = (third + 1) % 250


@dataclass
class Node:
    store: Store
    logs: Logs
    faults: Faults
    access: Access
    root: Path  # a folder for what pods have on disk
    kubeconfig: Callable[[str, str], str]  # its text, from a token and a namespace
    resolve: Callable[[str, str], str]  # URL of a Service, from its namespace and name
    backoff: float = 1.0  # seconds before the first restart of a container; doubles up to a tenfold
    addresses: Iterator[str] = field(default_factory=_addresses)

    def command(self, pod: Json, container: Json) -> tuple[list[str], dict[str, str]]:
        """The words and the environment to run a container with on this machine. Raises NotMounted."""
        home = self.root / pod["metadata"]["uid"]
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOSTNAME": pod["metadata"]["name"],
            "HOME": str(home / "tmp"),
            "TMPDIR": str(home / "tmp"),
            "KUBECONFIG": str(self._credentials(pod, home)),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        mounts = self._mounts(pod, container, home)
        given = dict(self._environment(pod, container))
        words = [*(container.get("command") or []), *(container.get("args") or [])]
        words = [re.sub(r"\$\(([A-Za-z_]\w*)\)", lambda m: given.get(m[1], m[0]), word) for word in words]
        words = [self._here(word, pod, mounts) for word in words]
        if words and Path(words[0]).name in ("python", "python3"):
            words[0] = str(PYTHON)
        given = {name: self._here(value, pod, mounts) for name, value in given.items()}
        for name in ("HOME", "TMPDIR"):
            given.pop(name, None)  # the container's /tmp is a folder of its own here
        return words, environment | given

    def _here(self, text: str, pod: Json, mounts: dict[str, Path]) -> str:
        """A word of the container's, as it has to be on this machine."""
        for path, folder in mounts.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w.-])", str(folder), text)
        text = text.replace("0.0.0.0", pod["status"]["podIP"])
        return _SERVICE.sub(lambda m: self.resolve(m["namespace"], m["service"]), text)

    def _credentials(self, pod: Json, home: Path) -> Path:
        """A kubeconfig of the pod's service account; the file is missing where no token is to be mounted."""
        path = home / "kubeconfig"
        space, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        of_account = (self.store.find(("serviceaccounts", space, account)) or {}).get("automountServiceAccountToken")
        of_pod = pod["spec"].get("automountServiceAccountToken")
        if (of_account if of_pod is None else of_pod) is not False:
            path.write_text(self.kubeconfig(self.access.token(space, account), space))
        return path

    def _mounts(self, pod: Json, container: Json, home: Path) -> dict[str, Path]:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        mounts = {}
        for mount in container.get("volumeMounts") or []:
            volume = volumes[mount["name"]]
            folder = home / "volumes" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in self._files(volume, pod["metadata"]["namespace"]).items():
                (folder / name).write_bytes(data)
            if mount["mountPath"].rstrip("/") not in (
                "/tmp",
                "/dev/shm",
            ):  # of the machine, too: tests' buckets are there
                mounts[mount["mountPath"].rstrip("/")] = folder
        return mounts

    def _files(self, volume: Json, namespace: str) -> dict[str, bytes]:
        if "emptyDir" in volume:
            return {}
        if "configMap" in volume:
            source, plural, name = volume["configMap"], "configmaps", volume["configMap"]["name"]
        elif "secret" in volume:
            source, plural, name = volume["secret"], "secrets", volume["secret"]["secretName"]
        else:
            raise NotMounted(f"the test kubelet does not mount volumes such as {volume}")
        found = self.store.find((plural, namespace, name))
        if found is None and not source.get("optional"):
            raise NotMounted(
                f'MountVolume.SetUp failed for volume "{volume["name"]}" : {plural[:-1]} "{name}" not found'
            )
        files = _data(found or {}, secret=plural == "secrets")
        items = source.get("items")
        return {item["path"]: files[item["key"]] for item in items} if items else files

    def _environment(self, pod: Json, container: Json) -> Iterator[tuple[str, str]]:
        space = pod["metadata"]["namespace"]
        for source in container.get("envFrom") or []:
            for key, data in self._values(source, "Ref", space).items():
                yield source.get("prefix", "") + key, data.decode()
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            if "fieldRef" in source:
                yield variable["name"], _field(pod, source["fieldRef"]["fieldPath"])
            elif source:
                reference = source.get("secretKeyRef") or source.get("configMapKeyRef") or {}
                yield variable["name"], self._values(source, "KeyRef", space)[reference["key"]].decode()
            else:
                yield variable["name"], variable.get("value") or ""

    def _values(self, source: Json, reference: str, namespace: str) -> dict[str, bytes]:
        """What a ConfigMap or Secret holds that a variable's source refers to."""
        for plural, kind in (("configmaps", "configMap"), ("secrets", "secret")):
            if name := (source.get(f"{kind}{reference}") or {}).get("name"):
                if (found := self.store.find((plural, namespace, name))) is None:
                    raise NotMounted(f'{plural[:-1]} "{name}" not found')
                return _data(found, secret=plural == "secrets")
        raise NotMounted(f"the test kubelet does not know such a source of variables: {source}")


def _data(thing: Json, *, secret: bool) -> dict[str, bytes]:
    binary = {key: base64.b64decode(value) for key, value in (thing.get("binaryData") or {}).items()}
    plain = {
        key: base64.b64decode(value) if secret else value.encode() for key, value in (thing.get("data") or {}).items()
    }
    return {**plain, **binary}


def _field(pod: Json, path: str) -> str:
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    value: object = pod
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)
