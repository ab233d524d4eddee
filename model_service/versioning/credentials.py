"""How git is let in: by files in a mounted folder, which only git and ssh themselves read.

The folder that MENAGERIE_REGISTRY_CREDENTIALS names has what Kubernetes' own kinds of Secrets have: `password` (a token) and
perhaps `username`, for https (kubernetes.io/basic-auth); or `ssh-privatekey` (kubernetes.io/ssh-auth) and `known_hosts`.
Without the variable git asks whom it always asks on this machine: its credential helpers, the ssh agent.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from model_service.addresses import may_have_a_secret, scrubbed
from model_service.errors import StepError

VARIABLE = "MENAGERIE_REGISTRY_CREDENTIALS"
USERNAME = "x-access-token"  # what GitHub wants beside a token; others take any name
# Reads the files when git asks, so that their content is in no variable and no command line.
_HELPER = '!f() {{ test "$1" = get || exit 0; echo "username={username}"; echo "password=$(cat {password})"; }}; f'
_SETTINGS = {
    "commit.gpgSign": "false",
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1000",  # bytes a second, for
    "http.lowSpeedTime": "60",  # seconds: then git gives up, and the step may be tried again
    "init.defaultBranch": "main",
    "tag.gpgSign": "false",
}


def check(url: str) -> None:
    """Raise StepError for an address that may have a secret in it: command lines and results are for everybody to see."""
    if may_have_a_secret(url):
        raise StepError(
            f"the registry's address, {scrubbed(f'--registry={url}')}, has a name or a token in it (an @, a ?): command "
            "lines and results would show it",
            remedy=f"give the address without it, and the token in a file `password` of the folder that {VARIABLE} names "
            "(docs/versioning.md); then make a new token, since this one is known",
        )


def environment(url: str) -> dict[str, str]:
    """Git's environment for this address. Raises StepError when the folder of credentials is not there."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    kept |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    for role in ("AUTHOR", "COMMITTER"):
        kept[f"GIT_{role}_NAME"] = kept.get(f"GIT_{role}_NAME") or "Menagerie"
        kept[f"GIT_{role}_EMAIL"] = kept.get(f"GIT_{role}_EMAIL") or "menagerie@localhost"
    settings = list(_SETTINGS.items())
    if folder := os.environ.get(VARIABLE):
        settings += _of_files(url, Path(folder), kept)
    first = int(kept.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(settings, first):
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return kept | {"GIT_CONFIG_COUNT": str(first + len(settings))}


def _of_files(url: str, folder: Path, environment: dict[str, str]) -> list[tuple[str, str]]:
    """Settings for git, and in its environment how it calls ssh."""
    password, key, hosts = (folder / name for name in ("password", "ssh-privatekey", "known_hosts"))
    if not password.is_file() and not key.is_file():
        raise StepError(
            f"{VARIABLE} names {folder}, which has neither a file `password` nor `ssh-privatekey`",
            remedy="mount a Secret that has one of them (docs/versioning.md), or unset the variable",
        )
    if key.is_file():
        words = ["ssh", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]
        words += ["-o", "ServerAliveInterval=15"]
        if hosts.is_file():
            words += ["-o", f"UserKnownHostsFile={hosts}", "-o", "StrictHostKeyChecking=yes"]
        environment["GIT_SSH_COMMAND"] = shlex.join(words)
    if not password.is_file():
        return []
    name = folder / "username"
    username = f"$(cat {shlex.quote(str(name))})" if name.is_file() else USERNAME
    helper = _HELPER.format(username=username, password=shlex.quote(str(password)))
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc}"  # nobody else is told, wherever the host leads
    return [(f"credential.{host}.helper", ""), (f"credential.{host}.helper", helper)]
