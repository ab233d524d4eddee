"""What the build asks a website before it pushes one, asked of a real website."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from infra.build import probe
from tests.build.machine import ROOT
from tests.model_service.tiny_model import save_tiny_model
from tests.model_service.websites import Place, running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The build's own tiny model and site document, where the website finds them."""
    with (ROOT / "infra/build/tiny.py").open("rb") as script:  # as smoke.sh runs it in the train image
        made = subprocess.run([sys.executable, "-"], stdin=script, stdout=subprocess.PIPE, cwd=ROOT, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / "models").rename(tmp_path / "animals_models")
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def lean(monkeypatch: pytest.MonkeyPatch) -> None:
    """This test's environment has torch and a compiler; the image must not."""
    monkeypatch.setattr(probe, "UNWANTED", ())
    monkeypatch.setattr(probe, "COMPILERS", ())


def test_a_website_of_today_serves_the_builds_model(place: Place) -> None:
    with running(place) as url:
        assert probe.main(url.removeprefix("http://")) == []


def test_a_website_that_answers_wrongly_is_found(place: Place) -> None:
    shutil.rmtree(place.root / "animals_models")
    (place.root / "animals_models").mkdir()
    save_tiny_model(place.models, "smoke", ["green", "red", "blue"])

    with running(place) as url:
        [wrong] = probe.main(url.removeprefix("http://"))

    assert wrong.startswith("a red picture is answered with")


def test_a_website_without_a_model_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.5)
    (place.root / "site.json").write_text('{"version": "gone", "previous": null}')

    with running(place) as url:
        [wrong] = probe.main(url.removeprefix("http://"))

    assert "no model gone" in wrong


def test_no_website_at_all_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.5)

    [wrong] = probe.main("127.0.0.1:9")

    assert "refused" in wrong


def test_a_package_that_the_image_lacks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    for name in [name for name in sys.modules if name.startswith("model_service.deploy.")]:
        monkeypatch.delitem(sys.modules, name)

    wrong = probe._unimportable("model_service.deploy")

    assert any("lightkube" in why for why in wrong)


def test_what_an_image_must_not_have_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.0)
    monkeypatch.setattr(probe, "STEPS", ())
    monkeypatch.setattr(probe, "UNWANTED", ("json", "nothing_of_the_kind"))
    monkeypatch.setattr(probe, "COMPILERS", ("bash",))

    module, compiler, _ = probe.main("127.0.0.1:9")

    assert module == "there is a module json"
    assert compiler.startswith("there is a compiler: ")
