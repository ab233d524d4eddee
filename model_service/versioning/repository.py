"""The registry's git repository, as a bare copy on this machine's disk: read, committed to, pushed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_service.addresses import scrubbed
from model_service.scratch import scratch
from model_service.versioning import local
from model_service.versioning.credentials import VARIABLE, check, environment
from model_service.versioning.programs import git

RUN = "Menagerie-Run"  # the trailer of each commit and tag: by which run it was made
_EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@dataclass(frozen=True)
class Change:
    """A commit to make: files (path → content) on top of the newest, its tag (or ""), what is said of it, by which run."""

    tag: str
    files: Mapping[str, bytes]
    message: str
    run: str


@contextlib.contextmanager
def opened(url: str, *, make: bool = False) -> Iterator[Repository]:
    """A copy of the registry with its whole history, which is small: data are elsewhere. Gone at the end.

    A registry in a folder that is not there counts as one without anything in it; with `make` it is made.
    Raises StepError when the address has a secret in it, or the registry cannot be read.
    """
    check(url)
    folder = local.folder(url)
    there = folder is None or local.there(folder)
    if folder is not None and make and not there:
        local.make(folder)
        there = True
    with scratch("registry") as room:
        yield Repository(url, room / "git", there)


class Repository:
    def __init__(self, url: str, folder: Path, there: bool) -> None:
        self.url, self._folder = url, folder
        self._environment = environment(url)
        if there:
            self._git("clone", "--quiet", "--bare", "--", url, str(folder), remedy=_reach(url))
        else:
            self._git("init", "--quiet", "--bare", str(folder))
        self.branch = self._in("symbolic-ref", "--short", "HEAD").decode().strip()
        self._fetched = self._refs()

    @property
    def newest(self) -> str:
        """The commit that its branch is at; "" when there is none yet."""
        return self._in("for-each-ref", "--format=%(objectname)", f"refs/heads/{self.branch}").decode().strip()

    def tags(self, pattern: str) -> list[str]:
        """Such as `dataset_v*`, the highest number last."""
        return (
            self._in("for-each-ref", "--sort=version:refname", "--format=%(refname:strip=2)", f"refs/tags/{pattern}")
            .decode()
            .split()
        )

    def run_of(self, tag: str) -> str:
        """By which run it was made; "" if a person did."""
        form = f"--format=%(contents:trailers:key={RUN},valueonly,separator=)"
        return self._in("for-each-ref", form, f"refs/tags/{tag}").decode().strip()

    def commit_of(self, tag: str) -> str:
        """ "" if there is no such tag."""
        return (
            self._in(
                "for-each-ref",
                "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)",
                f"refs/tags/{tag}",
            )
            .decode()
            .strip()
        )

    def parent_of(self, tag: str) -> str:
        """The commit before the tag's, "" for the first one."""
        return self._in("log", "-1", "--format=%P", f"refs/tags/{tag}").decode().split(" ")[0].strip()

    def names(self, commit: str, folder: str) -> list[str]:
        """The files below a folder, in name order."""
        said = self._in("ls-tree", "-r", "-z", "--name-only", commit, "--", f"{folder}/")
        return [name.decode() for name in said.split(b"\0") if name]

    def ever(self, folder: str) -> set[str]:
        """The files below a folder that there are, or ever were, up to the newest commit."""
        if not self.newest:
            return set()
        said = self._in(
            "log", "-z", "--format=", "--name-only", "--diff-filter=A", "--no-renames", self.newest, "--", f"{folder}/"
        )
        return {name.decode() for name in said.split(b"\0") if name}

    def subjects(self) -> list[str]:
        """The first line of each message, up to the newest commit, the last first."""
        return self._in("log", "--format=%s", self.newest).decode().splitlines() if self.newest else []

    def read(self, places: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Each file, by (commit or tag, path); None where there is none."""
        asked = "".join(f"{commit}:{path}\n" for commit, path in places).encode()
        said, found = self._in("cat-file", "--batch", given=asked), list[bytes | None]()
        for _ in places:
            line, _, said = said.partition(b"\n")
            if line.endswith(b" missing"):
                found.append(None)
                continue
            size = int(line.rsplit(b" ", 1)[1])
            found.append(said[:size])
            said = said[size + 1 :]
        return found

    def commit(self, change: Change) -> None:
        """On top of the newest, here; with its tag, annotated. `push` makes both known."""
        message = f"{change.message}\n\n{RUN}: {change.run}\n".encode()
        told = b"data %d\n%s\n" % (len(message), message)
        name, mail = (self._environment[f"GIT_COMMITTER_{word}"] for word in ("NAME", "EMAIL"))
        who = f"{name} <{mail}> now\n".encode()
        branch = f"refs/heads/{self.branch}".encode()
        lines = [b"commit " + branch + b"\nmark :1\ncommitter " + who, told]
        lines += [f"from {self.newest}\n".encode()] if self.newest else []
        for path, data in change.files.items():
            lines.append(f"M 100644 inline {path}\n".encode() + b"data %d\n%s\n" % (len(data), data))
        if change.tag:
            lines += [b"tag " + change.tag.encode() + b"\nfrom :1\ntagger " + who, told]
        self._in("fast-import", "--quiet", "--date-format=now", given=b"".join(lines))

    def push(self, tag: str) -> None:
        """The branch and the tag (if any), both or neither. Raises Failed, also when somebody else was faster."""
        refs = [f"refs/heads/{self.branch}"] + ([f"refs/tags/{tag}"] if tag else [])
        self._in("push", "--quiet", "--atomic", "origin", *refs, remedy=_write(self.url))

    def fetch(self) -> bool:
        """Take what there is now, and nothing else: what was committed here and not pushed is forgotten. Whether it moved."""
        before = self._fetched
        self._in("fetch", "--quiet", "--prune", "origin", *_EVERYTHING, remedy=_reach(self.url))
        self._fetched = self._refs()
        return self._fetched != before

    def may_push(self) -> None:
        """Raise Failed unless the server would let this account push. Nothing is pushed."""
        tree = self._in("mktree").decode().strip()  # of no files
        commit = self._in("commit-tree", "-m", "a probe", tree)
        refs = f"{commit.decode().strip()}:refs/heads/menagerie-doctor"
        self._in("push", "--quiet", "--dry-run", "origin", refs, remedy=_write(self.url))

    def _refs(self) -> bytes:
        return self._in("for-each-ref", "--format=%(refname) %(objectname)")

    def _in(self, *words: str, given: bytes = b"", remedy: str = "") -> bytes:
        return self._git(f"--git-dir={self._folder}", *words, given=given, remedy=remedy)

    def _git(self, *words: str, given: bytes = b"", remedy: str = "") -> bytes:
        return git(*words, environment=self._environment, given=given, remedy=remedy)


def _reach(url: str) -> str:
    return (
        f"check the address {scrubbed(url)} (MENAGERIE_REGISTRY), that it is reachable from here, and that its credentials, in "
        f"the folder that {VARIABLE} names, let this account read it (docs/versioning.md)"
    )


def _write(url: str) -> str:
    return f"let this account push branches and tags to {scrubbed(url)}: docs/versioning.md says how it gets its credentials"
