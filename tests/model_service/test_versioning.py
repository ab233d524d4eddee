"""The registry's git: whom it lets in and what it tells of that; pushes at the same time; what its tags say."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_service import addresses, versioning
from model_service.doctor import versioned
from model_service.errors import StepError
from model_service.versioning import contents, credentials, local, programs
from model_service.versioning.programs import Failed
from model_service.versioning.publishing import publish
from model_service.versioning.repository import Change, Repository, opened
from tests.model_service.versioned import said

TOKEN = "t0ken'$(x)"  # with what a shell would take for its own


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    local.make(tmp_path / "registry.git")
    return tmp_path / "registry.git"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Git over HTTP, by git's own program, for who knows the token."""
    root = tmp_path / "served"
    root.mkdir()
    local.make(root / "registry.git")
    said("git", f"--git-dir={root}/registry.git", "config", "http.receivepack", "true")
    backend = Path(said("git", "--exec-path").strip()) / "git-http-backend"
    wanted = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            variables = {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
                "REMOTE_USER": "x-access-token",
                "PATH": os.environ["PATH"],
            }
            ran = subprocess.run([backend], env=variables, input=body, capture_output=True, check=False)
            head, _, data = ran.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/registry.git"
        http.shutdown()
        thread.join()


def mounted(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Path:
    """The folder of credentials, as Kubernetes mounts a Secret."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", "-")).write_text(text)
    monkeypatch.setenv(credentials.VARIABLE, str(folder))
    return folder


def add(repository: Repository, name: str) -> str:
    """A dataset with one more batch; its tag."""

    def propose() -> Change:
        tag = contents.following(contents.newest(repository, contents.DATASETS), contents.DATASETS)
        facts = {"manifest": f"sha256 of {name}", "place": 0}
        return Change(tag, {contents.pointer(name): contents.described(b"outs: []\n", facts)}, tag, "r1")

    return publish(repository, propose)


def test_a_token_from_a_mounted_file_lets_git_in(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mounted(tmp_path / "sec'ret", monkeypatch, password=f"{TOKEN}\n")
    with opened(server) as repository:
        assert add(repository, "r1/00000-a") == "dataset_v1"
    assert versioning.dataset(server, "dataset_v1") == {"r1/00000-a": "sha256 of r1/00000-a"}
    assert versioned.registry(server).state == "ok"

    environment = credentials.environment(server)
    assert TOKEN not in "".join(environment.values()), "it is in a file alone"
    (folder / "password").write_text("another")
    with pytest.raises(StepError) as error:
        versioning.latest(server)
    assert error.value.retry
    assert credentials.VARIABLE in error.value.remedy
    assert "another" not in str(error.value)


def test_without_credentials_git_does_not_wait_for_somebody_to_type_them(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no credential helper of whoever runs this
    with pytest.raises(Failed, match=r"git clone failed.*terminal prompts disabled"):
        versioning.latest(server)


def test_the_token_is_for_the_registrys_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path / "secret", monkeypatch, password=TOKEN, username="robot\n")

    def asked(host: str) -> str:
        environment = credentials.environment("https://git.example/registry") | {"HOME": str(tmp_path)}
        words = ["git", "credential", "fill"]
        given = f"protocol=https\nhost={host}\n\n"
        return subprocess.run(words, env=environment, input=given, capture_output=True, text=True, check=False).stdout

    assert f"username=robot\npassword={TOKEN}\n" in asked("git.example")
    assert TOKEN not in asked("elsewhere.example")


def test_a_key_and_known_hosts_are_for_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mounted(tmp_path / "secret", monkeypatch, ssh_privatekey="key")
    (folder / "known_hosts").write_text("host key")
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nexit 255\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    with pytest.raises(Failed):
        versioning.latest("git@git.example:team/registry.git")

    called = (tmp_path / "called").read_text()
    assert f"-i {folder}/ssh-privatekey" in called
    assert f"UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes" in called


def test_a_folder_without_credentials_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path / "secret", monkeypatch)
    with pytest.raises(StepError, match="neither a file `password` nor `ssh-privatekey`"):
        versioning.latest("https://git.example/registry")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/r",
        "https://hunter2@host/r",
        "http://hunter2@host/r",
        "HTTPS://hunter2@host/r",
        "ssh://git:hunter2@host/r",
        "ssh://git:hunter2/hunter2@host/r",
        "https://user:hunter2/hunter2@host/r",
        "https://user:hunter2 hunter2@host/r",
        "https://us'er:hunter2@host/r",
        'https://user:hunter2"hunter2@host/r',
        "https://user:hunter2@hunter2@host/r",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # git is never told
    with pytest.raises(StepError, match=r"://\*\*\*@host/r") as error:
        versioning.latest(url)
    assert "hunter2" not in f"{error.value}{error.value.remedy}"
    for text in (url, f"--registry={url}", f"it is at '{url}': no\nit is"):
        assert "hunter2" not in addresses.scrubbed(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/r.git?private_token=hunter2",
        "https://host/r.git?private_token=hunter2@hunter2",
        "https://user:hunter2?hunter2@host/r",
        "user:hunter2@host:r.git",
        "user:hunter2/hunter2@host:r.git",
    ],
)
def test_so_is_one_that_hides_it_elsewhere(url: str) -> None:
    with pytest.raises(StepError, match="has a name or a token in it") as error:
        versioning.latest(url)
    assert "hunter2" not in f"{error.value}{error.value.remedy}"
    for text in (f"--registry={url}", f"--registry={url} '{url}'", f"it is at '{url}'"):
        assert "hunter2" not in addresses.scrubbed(text)


@pytest.mark.parametrize("url", ["user:hunter2 hunter2@host:r.git", "us'er:hunter2@host:r.git"])
def test_ssh_addresses_are_one_word_too(url: str) -> None:
    with pytest.raises(StepError, match=r"--registry=\*\*\*@host:r\.git, has a name or a token in it") as error:
        versioning.latest(url)
    assert "hunter2" not in f"{error.value}{error.value.remedy}{addresses.scrubbed(f'--registry={url}')}"


def test_other_addresses_are_shown_as_they_are() -> None:
    for url in ("git@github.com:acme/registry.git", "ssh://git@host:22/r", "file:///srv/a b/r.git", "C:/r", "a@b"):
        assert addresses.scrubbed(url) == url.replace("//git@", "//***@")
        assert not addresses.may_have_a_secret(url)
    for argument in ("--uri=gs://bucket/eyes@2x.jpg", "file:///jobs/a@2/registry.git", "to a@b: see https://host/r"):
        assert addresses.scrubbed(argument) == argument


def test_a_registry_that_does_not_answer_is_an_error_and_never_taken_for_empty(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    for ask in (versioning.latest, versioning.tagged_models):
        for url in ("http://127.0.0.1:1/registry", f"file://{tmp_path}/other"):
            with pytest.raises(StepError, match="git clone failed") as error:
                ask(url)
            assert error.value.retry


def test_one_in_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/registry.git"
    assert versioning.latest(url) == ""
    assert versioning.tagged_models(url) == {}
    with pytest.raises(StepError, match="has no tag dataset_v7"):
        versioning.dataset(url, "dataset_v7")
    assert versioned.registry(url).found.endswith("the first snapshot makes it")
    assert not list(tmp_path.iterdir()), "nobody made it by reading"


def test_it_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "registry.git"
    (tmp_path / ".registry.git.new").mkdir()  # of one that was killed
    (tmp_path / ".registry.git.new/HEAD").touch()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(local.make, [folder] * 4))
    assert [path.name for path in tmp_path.iterdir()] == ["registry.git"]
    assert said("git", f"--git-dir={folder}", "symbolic-ref", "HEAD") == "refs/heads/main\n"

    with pytest.raises(StepError, match="in a folder that does not exist") as error:
        local.make(tmp_path / "no/registry.git")
    assert f"mkdir -p {tmp_path}/no" in error.value.remedy


def test_pushes_at_the_same_time_all_get_their_own_number(bare: Path) -> None:
    names = [f"r{n}/00000-a" for n in range(12)]

    def adds(some: list[str]) -> list[str]:
        with opened(f"file://{bare}") as repository:
            return [add(repository, name) for name in some]

    with ThreadPoolExecutor(4) as pool:
        tags = [tag for each in pool.map(adds, [names[n::4] for n in range(4)]) for tag in each]

    assert sorted(tags) == sorted(f"dataset_v{n}" for n in range(1, 13))
    assert versioning.dataset(str(bare), "dataset_v12").keys() == set(names)
    assert versioning.latest(str(bare)) == "dataset_v12"  # not the last one in the alphabet


def test_the_default_branch_is_the_registrys_own(tmp_path: Path) -> None:
    said("git", "init", "--quiet", "--bare", "--initial-branch=trunk", str(tmp_path / "theirs.git"))
    with opened(str(tmp_path / "theirs.git")) as repository:
        add(repository, "r1/00000-a")
    assert "refs/heads/trunk" in said("git", "ls-remote", str(tmp_path / "theirs.git"))


def test_a_push_that_is_refused_for_another_reason_is_an_error(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hook = bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho the branch is protected: https://user:hunter2@git.example/r >&2\nexit 1\n")
    hook.chmod(0o755)
    with opened(str(bare)) as repository, pytest.raises(Failed, match="the branch is protected") as error:
        add(repository, "r1/00000-a")
    assert "push branches and tags" in error.value.remedy
    assert "https://***@git.example/r" in str(error.value)
    assert "hunter2" not in str(error.value)
    assert said("git", "ls-remote", str(bare)) == ""


def test_a_repository_without_a_commit_says_nothing_of_models(bare: Path) -> None:
    with pytest.raises(StepError, match="is empty: no snapshot was ever made in it") as error:
        versioning.tagged_models(str(bare))
    assert "check the address" in error.value.remedy


@pytest.mark.parametrize("subject", ["model_v2: b", "by hand"])
def test_nor_does_one_that_has_lost_its_tags(bare: Path, monkeypatch: pytest.MonkeyPatch, subject: str) -> None:
    """Or gc would take every model for one that nobody kept."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    model = {"models/resnet34.dvc": b"outs: []\n", contents.PARAMS: b"version: b\n"}
    with opened(str(bare)) as repository:
        add(repository, "r1/00000-a")
        assert versioning.tagged_models(str(bare)) == {}, "there was none yet"
        repository.commit(Change("", model, subject, "r1"))
        repository.push("")
    with pytest.raises(StepError, match=r"has lost its tags: its history has model.*, but no tag model_v\*") as error:
        versioning.tagged_models(str(bare))
    assert f"git push {bare} 'refs/tags/model_v*'" in error.value.remedy
    with pytest.raises(StepError, match="has lost its tags"):  # to the doctor, too
        versioned.registry(f"file://{bare}")


def test_a_tag_that_is_seen_a_moment_after_its_branch_is_waited_for(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"models/resnet34.dvc": b"outs: []\n", contents.PARAMS: b"version: b\n"}
    with opened(str(bare)) as repository:
        repository.commit(Change("", model, "model_v1: b", "r1"))
        repository.push("")

    def wait(seconds: float) -> None:
        said("git", f"--git-dir={bare}", "tag", "--force", "model_v1", "main")

    monkeypatch.setattr("time.sleep", wait)
    assert versioning.tagged_models(str(bare)) == {"b": "model_v1"}


def test_tags_of_others_are_not_counted(bare: Path) -> None:
    with opened(str(bare)) as repository:
        add(repository, "r1/00000-a")
        said("git", f"--git-dir={bare}", "tag", "dataset_v9-old", "dataset_v1")
        repository.fetch()
        assert add(repository, "r2/00000-a") == "dataset_v2"
    with pytest.raises(StepError, match="has no tag model_v1"):
        versioning.model(str(bare), "model_v1")
    with pytest.raises(StepError, match="its newest is dataset_v2"):
        versioning.dataset(str(bare), "dataset_v3")


@pytest.mark.parametrize("tag", ["dataset_v*", "dataset_v1-old", "model_v1", "main", ""])
def test_what_is_no_datasets_tag_is_not_taken_for_one(bare: Path, tag: str) -> None:
    with opened(str(bare)) as repository:
        add(repository, "r1/00000-a")
        for other in ("dataset_v1-old", "model_v1"):
            said("git", f"--git-dir={bare}", "tag", other, "dataset_v1")
    with pytest.raises(StepError, match="has no tag"):
        versioning.dataset(str(bare), tag)


def test_a_datasets_tag_is_no_models(bare: Path) -> None:
    with opened(str(bare)) as repository:
        add(repository, "r1/00000-a")
    with pytest.raises(StepError, match="has no tag dataset_v1"):
        versioning.model(str(bare), "dataset_v1")


def test_a_file_that_somebody_damaged_is_named(bare: Path, tmp_path: Path) -> None:
    with opened(str(bare)) as repository:
        publish(repository, lambda: repository.tags("*")[-1] if repository.tags("*") else _damaged())
    with pytest.raises(StepError, match=r"dataset_v1:batches/r1/00000-a\.dvc does not say which manifest"):
        versioning.dataset(str(bare), "dataset_v1")


def _damaged() -> Change:
    return Change("dataset_v1", {contents.pointer("r1/00000-a"): b"outs: ["}, "damaged", "r1")


def test_without_git_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepError, match="there is no git") as error:
        versioning.latest("https://git.example/registry")
    assert "apt-get install git" in error.value.remedy


def test_nor_without_dvc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StepError, match="there is no DVC") as error:
        programs.dvc("version", folder=tmp_path)
    assert "make env" in error.value.remedy


def test_a_full_disk_is_named_with_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A DVC that says what the real one does: `[Errno 28] No space left on device`, and an offer of help."""
    package = tmp_path / "dvc"
    package.mkdir()
    (package / "__init__.py").touch()
    told = "ERROR: failed to transfer 'x' - [Errno 28] No space left on device: 'a' -> 'b'\n\nHaving any troubles? Hit us up"
    (package / "__main__.py").write_text(f"import sys\nsys.exit({told!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Failed) as error:
        programs.dvc("push", folder=tmp_path, remedy="rights")
    assert error.value.message == f"dvc push failed (1): {told.partition(chr(10))[0]}"
    assert error.value.remedy.startswith("make room")


def test_the_doctor_sees_a_registry_that_cannot_be_used(bare: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    assert versioned.registry(f"file://{bare}").found.endswith("newest: nothing yet")
    assert versioned.data(f"file://{bare}", f"file://{models}").found == f"{models}/dvc: made by the first snapshot"
    lost = versioned.registry(f"file://{tmp_path}/no/registry.git")
    assert (lost.state, lost.remedy) == (
        "failed",
        f"mkdir -p {tmp_path}/no, and let the user of the steps write there.",
    )
