"""git and DVC as the plain programs that people use, and what they say when they fail."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from model_service.addresses import scrubbed
from model_service.errors import StepError

_SAID = 2000  # characters of what a program said that an error quotes: its last
_CHATTER = re.compile(rb"(?m)^(Having any troubles\?.*|Everything is up to date\.)$")  # DVC's, whatever happened
_ROOM = (
    "make room where the message says that there is none (the place of the data, or TMPDIR of this machine), then again"
)


class Failed(StepError):
    """A program ended with another code than 0; the text has what it said."""


def git(
    *words: str, environment: Mapping[str, str], given: bytes = b"", held: tuple[int, ...] = (), remedy: str = ""
) -> bytes:
    """What git prints. It holds on to the descriptors `held`, and so to their locks, even if this process is killed.

    Raises Failed, StepError when there is no git.
    """
    program = shutil.which("git")
    if program is None:
        raise StepError(
            "there is no git on this machine, and the data registry is a git repository",
            remedy="install git (apt-get install git), or use the image, which has it",
        )
    return run([program, *words], environment, given=given, held=held, remedy=remedy)


def dvc(*words: str, folder: Path, remedy: str = "") -> bytes:
    """What DVC prints, run in that folder. Raises Failed, StepError when there is no DVC."""
    if importlib.util.find_spec("dvc") is None:
        raise StepError(
            "there is no DVC in this environment, and the data registry is kept by it",
            remedy="make the environment again (`make env`: requirements.txt has dvc[gs]), or use the image train",
        )
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc/site"),  # else in /var/tmp, which may be read-only
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # a call by gRPC at each start, which helps nothing here
    }
    try:
        return run([sys.executable, "-m", "dvc", *words], environment, folder=folder, remedy=remedy)
    except Failed as error:
        if os.strerror(errno.ENOSPC) in error.message:
            error.remedy = _ROOM
        raise


def run(
    words: list[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    given: bytes = b"",
    held: tuple[int, ...] = (),
    remedy: str = "",
) -> bytes:
    """Its standard output. Ended with this process's step, unless that is killed; nothing breaks when it then goes on."""
    ran = subprocess.run(
        words, cwd=folder, env=environment, input=given, capture_output=True, pass_fds=held, check=False
    )
    if ran.returncode != 0:
        name = Path(words[0]).name if words[0] != sys.executable else words[2]
        verb = words[3] if name == words[2] else next(w for w in words[1:] if not w.startswith(("-", "/")))
        said = _CHATTER.sub(b"", ran.stderr + b"\n" + ran.stdout).decode(errors="replace")
        said = scrubbed(said.strip())[-_SAID:]
        raise Failed(f"{name} {verb} failed ({ran.returncode}): {said}", remedy=remedy, retry=True)
    return ran.stdout
