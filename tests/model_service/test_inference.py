"""inference: what a model sees and says is one thing, whatever computes it and with what numbers."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from safetensors.numpy import save
from safetensors.torch import load

from infra.build import tiny
from model_service import images, registry
from model_service.inference import ONNX, WEIGHTS, Classifier, Network, Precision, chosen, gpu, precision
from model_service.registry import BadModel
from model_service.serve.holder import Served
from model_service.training import dataset
from tests.model_service.buckets import CLASSES, Buckets, encoded, local, make_buckets
from tests.model_service.conftest import REPOSITORY, Trained

JUDGED = {"accepted": True, "reason": "it is as good", "accuracy": {}, "agreement": 1.0, "pictures": 100}


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    buckets.save_model("v1")
    return buckets


@pytest.fixture(params=[False, True], ids=["without-bf16", "with-bf16"])
def bf16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A CPU of each kind, without a GPU."""
    monkeypatch.setattr(gpu, "here", lambda: False)
    monkeypatch.setattr(precision, "has_bf16", lambda: request.param)
    return bool(request.param)


def photograph(seed: int, size: tuple[int, int]) -> Image.Image:
    """Blurred noise, in which scaled decoding and JPEG show."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3))


def views(size: int, count: int = 6) -> list[NDArray[np.uint8]]:
    return [images.view(photograph(seed, (size + 9, size)), size) for seed in range(count)]


# The same preprocessing everywhere


def test_training_predict_and_the_website_say_the_same_of_the_same_files(trained: Trained, tmp_path: Path) -> None:
    """Of large and small ones, PNG and JPEG: training's validation pass, predict on the shard and a website's answer."""
    import torch

    from model_service.training import learner

    (tmp_path / "buckets").mkdir()
    buckets = make_buckets(tmp_path / "buckets")
    files = {}
    for n, size in enumerate([(640, 480), (512, 512), (100, 90), (300, 700)] * 3):
        label, kind = CLASSES[n % 3], ("PNG", "JPEG")[n % 2]
        files[f"{label}_{n}.{kind.lower()}"] = encoded(photograph(n, size), kind)
    for name, content in files.items():
        buckets.put(name, content)
    buckets.sorted(holdout=0.0)
    uris = {row["key"]: row["uri"] for row in buckets.manifest()}
    data = dataset.load(
        buckets.train_step(image_size=32), tmp_path, lambda pictures: [picture.key for picture in pictures]
    )
    step = contract.Train(
        run="r1", models=buckets.models, result="", image_size=32, batch_size=4, weights="none", validation=0.5
    )
    learn, _ = learner.build(data, step)
    learn.model.load_state_dict(load(registry.load(trained.buckets.models, trained.version, WEIGHTS)))
    _, watched = data.parts(step.validation, step.seed)

    with learn.no_bar(), learn.no_logging():
        validated = learn.get_preds(dl=learn.dls.valid, act=torch.nn.Softmax(dim=1))[0].numpy()
    classifier = Classifier(trained.buckets.models, trained.version)
    predicted = list(classifier.classify(data.kept[i].jpeg for i in watched))
    website = Served(trained.buckets.models, trained.version)

    assert len(watched) == 6
    for i, ours, theirs in zip(watched, predicted, validated, strict=True):
        answer = website.answer(files[uris[data.keys[i]].rsplit("/", 1)[1]], images.Limits())["classes"]
        served = {row["label"]: row["probability"] for row in answer}
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        np.testing.assert_allclose([served[label] for label in CLASSES], ours, atol=1e-3)


# What a model says


def test_probabilities_come_with_what_the_last_layer_was_given(trained: Trained) -> None:
    network = Classifier(trained.buckets.models, trained.version)
    last = load(registry.load(trained.buckets.models, trained.version, WEIGHTS))["1.8.weight"].numpy()
    for view in views(network.size):
        probabilities, embedding = network.infer(view)
        assert embedding is not None
        assert probabilities.dtype == embedding.dtype == np.dtype("float32")
        assert embedding.shape == (network.dimensions,) == (512,)
        exponent = np.exp(last @ embedding)
        np.testing.assert_allclose(probabilities, exponent / exponent.sum(), atol=1e-4)
        np.testing.assert_array_equal(network.probabilities(view), probabilities)


def test_a_model_exported_without_embeddings_works_as_before(buckets: Buckets) -> None:
    network = Classifier(buckets.models, "v1")
    assert network.dimensions is None
    assert network.infer(views(network.size)[0]).embedding is None


def test_an_answer_does_not_depend_on_what_else_is_asked_meanwhile(trained: Trained) -> None:
    network = Classifier(trained.buckets.models, trained.version)
    asked = views(network.size) * 8
    alone = [network.infer(view) for view in asked]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(network.infer, asked), strict=True):
            np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-6)
            np.testing.assert_allclose(np.asarray(other.embedding), np.asarray(one.embedding), atol=1e-4)


@pytest.mark.parametrize(
    ("wanted", "runs"), [("f32", {"f32"}), ("int8", {"int8"}), ("bf16", {"f32", "bf16"}), ("auto", {"f32", "bf16"})]
)
def test_a_model_tells_what_it_really_computes_with(trained: Trained, wanted: Precision, runs: set[str]) -> None:
    network = Classifier(trained.buckets.models, trained.version, precision=wanted)
    assert network.precision in runs
    assert (network.precision == "bf16") <= precision.has_bf16()
    assert network.dimensions == 512
    assert network.probabilities(views(network.size)[0]).sum() == pytest.approx(1, abs=1e-5)


# Models that are not what they should be


def test_a_model_with_other_bytes_than_its_card_says_is_refused(buckets: Buckets) -> None:
    path = local(f"{contract.model(buckets.models, 'v1')}/{ONNX}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadModel, match=r"model\.onnx is not the file its card describes: its sha256 differs"):
        Classifier(buckets.models, "v1")


@pytest.mark.parametrize("classes", [["cat", "dog"], [*CLASSES, "ibex"]])
def test_a_model_whose_classes_are_not_those_of_its_card_is_refused(buckets: Buckets, classes: list[str]) -> None:
    path = local(f"{contract.model(buckets.models, 'v1')}/model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": classes}))
    with pytest.raises(BadModel, match=f"model v1 has 3 outputs but its card lists {len(classes)} classes"):
        Classifier(buckets.models, "v1")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_an_onnx_file_cut_short_before_its_hash_was_taken_is_refused(share: float) -> None:
    card, onnx = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}, tiny.model(3)
    with pytest.raises(BadModel, match="the ONNX file of model v1 is damaged") as caught:
        Network("v1", card, onnx[: int(len(onnx) * share)])
    assert "retrain=always" in caught.value.remedy


def test_a_size_that_the_network_was_not_made_for_is_refused() -> None:
    card = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING | {"size": 48}}
    with pytest.raises(BadModel, match=r"model v1 is made for views of .*32.*, its card says 48"):
        Network("v1", card, tiny.model(3))


def test_a_model_trained_with_another_preprocessing_is_refused(buckets: Buckets) -> None:
    card = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING | {"version": "0"}}
    with pytest.raises(BadModel, match="was trained with preprocessing 0, this release has 1: retrain"):
        Network("v1", card, tiny.model(3))


def test_a_model_that_gives_no_probabilities_is_refused() -> None:
    card = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}
    with pytest.raises(BadModel, match="gives no probabilities: they sum to nan"):
        Network("v1", card, tiny.model(3, [float("nan"), 0.0, 0.0]))


# Which numbers are used


def test_auto_is_bf16_where_the_cpu_has_it(buckets: Buckets, bf16: bool) -> None:
    best = "bf16" if bf16 else "f32"
    said = "this CPU has it" if bf16 else "this CPU has no bf16"
    assert chosen(buckets.models, "v1", "auto") == (best, f"auto is {best}: {said}")


def test_f32_is_f32_everywhere(buckets: Buckets, bf16: bool) -> None:
    assert chosen(buckets.models, "v1", "f32") == ("f32", "f32 as asked for")


def test_bf16_is_not_imitated(buckets: Buckets, bf16: bool, caplog: pytest.LogCaptureFixture) -> None:
    used, why = chosen(buckets.models, "v1", "bf16")
    if bf16:
        assert (used, why, caplog.messages) == ("bf16", "bf16 as asked for", [])
    else:
        assert (used, why) == ("f32", "f32 instead of bf16: this machine has no bf16")
        assert caplog.messages == [f"WARNING: {why}"]


def test_int8_is_used_once_the_judge_accepted_it(buckets: Buckets, bf16: bool) -> None:
    registry.save_int8(buckets.models, "v1", JUDGED)
    assert chosen(buckets.models, "v1", "int8") == ("int8", "int8 as asked for: it is as good")
    assert chosen(buckets.models, "v1", "auto")[0] != "int8", "int8 is used only when asked for"


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (None, "no judge has scored the int8 variant of v1, which has none"),
        (
            JUDGED | {"accepted": False, "reason": "it loses"},
            "the judge did not accept the int8 variant of v1: it loses",
        ),
    ],
)
def test_int8_that_no_judge_accepted_is_not_used_and_that_is_said(
    buckets: Buckets, bf16: bool, caplog: pytest.LogCaptureFixture, judged: dict[str, Any] | None, reason: str
) -> None:
    if judged is not None:
        registry.save_int8(buckets.models, "v1", judged)
    used, why = chosen(buckets.models, "v1", "int8")
    best = "bf16" if bf16 else "f32"
    assert (used, why) == (best, f"{best} instead of int8: {reason}")
    assert [(r.levelno, r.message) for r in caplog.records] == [(logging.WARNING, f"WARNING: {why}")]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"accepted": "yes"}', '{"accepted": false}'])
def test_a_damaged_word_of_the_judge_is_named(buckets: Buckets, text: str) -> None:
    local(f"{contract.model(buckets.models, 'v1')}/int8.json").write_text(text)
    with pytest.raises(BadModel, match=r"v1/int8\.json is damaged") as caught:
        chosen(buckets.models, "v1", "int8")
    assert "judge the version once more" in caught.value.remedy


def test_int8_of_a_model_that_has_none_is_refused(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match=r"model v1 has no file model\.int8\.onnx"):
        Classifier(buckets.models, "v1", precision="int8")


# On a GPU


@pytest.fixture
def torch_network(trained: Trained) -> Network:
    """The code of a GPU, on the CPU."""
    weights = registry.load(trained.buckets.models, trained.version, WEIGHTS)
    return Network(trained.version, trained.card, gpu.engine(weights, "f32", "cpu"))


def test_torch_and_openvino_say_the_same(trained: Trained, torch_network: Network) -> None:
    openvino = Classifier(trained.buckets.models, trained.version)
    assert (torch_network.precision, torch_network.dimensions) == ("f32", openvino.dimensions)
    for view in views(openvino.size):
        ours, theirs = openvino.infer(view), torch_network.infer(view)
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-3)
        np.testing.assert_allclose(np.asarray(theirs.embedding), np.asarray(ours.embedding), rtol=1e-3, atol=1e-3)


def test_pictures_that_wait_for_the_gpu_are_computed_together_and_each_gets_its_own_answer(
    torch_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = views(torch_network.size)
    alone = [torch_network.probabilities(view) for view in asked]
    engine: Any = torch_network._engine
    compute, together, busy = engine._forward, [], threading.Event()

    def slow(pixels: NDArray[np.float32]) -> Any:
        together.append(len(pixels))
        busy.set()
        if len(together) == 1:
            for _ in range(1000):
                if engine._waiting.qsize() == len(asked) - 1:
                    break
                threading.Event().wait(0.01)
        return compute(pixels)

    monkeypatch.setattr(engine, "_forward", slow)
    with ThreadPoolExecutor(len(asked)) as pool:
        first = pool.submit(torch_network.probabilities, asked[0])
        busy.wait(10)
        answers = [first, *(pool.submit(torch_network.probabilities, view) for view in asked[1:])]
        for answer, expected in zip(answers, alone, strict=True):
            np.testing.assert_allclose(answer.result(), expected, atol=1e-5)
    assert together == [1, len(asked) - 1]


def test_a_gpu_that_fails_fails_every_picture_it_was_given(
    torch_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pixels: NDArray[np.float32]) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch_network._engine, "_forward", broken)
    with ThreadPoolExecutor(4) as pool:
        for answer in [pool.submit(torch_network.infer, view) for view in views(torch_network.size)]:
            with pytest.raises(RuntimeError, match="illegal memory access"):
                answer.result()


@pytest.mark.parametrize("weights", [b"", b"not safetensors", save({"1.8.weight": np.zeros((3, 512), np.float32)})])
def test_weights_of_something_else_are_refused(weights: bytes) -> None:
    with pytest.raises(BadModel, match="no weights of a resnet34"):
        gpu.engine(weights, "f32", "cpu")


@pytest.mark.parametrize(
    ("hint", "wanted", "used"),
    [
        ("THROUGHPUT", "f32", True),
        ("THROUGHPUT", "auto", True),
        ("THROUGHPUT", "bf16", True),
        ("THROUGHPUT", "int8", False),
        ("LATENCY", "f32", False),
    ],
)
def test_a_gpu_is_for_many_pictures_and_not_for_int8(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, hint: Any, wanted: Precision, used: bool
) -> None:
    asked: list[tuple[Precision, str]] = []
    make = gpu.engine

    def engine(weights: bytes, precision: Precision, device: str = "cuda", **network: Any) -> Any:
        asked.append((precision, device))
        return make(weights, precision, "cpu", **network)

    monkeypatch.setattr(gpu, "here", lambda: True)
    monkeypatch.setattr(gpu, "engine", engine)
    network = Classifier(trained.buckets.models, trained.version, hint, wanted)
    assert asked == ([(wanted, "cuda")] if used else [])
    if used:
        assert network.precision == ("f32" if wanted == "f32" else "bf16")


def test_auto_on_a_gpu_is_bf16(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "here", lambda: True)
    assert chosen(buckets.models, "v1", "auto") == ("bf16", "auto is bf16: there is a GPU")
    assert chosen(buckets.models, "v1", "bf16") == ("bf16", "bf16 as asked for")


def test_without_a_gpu_classifying_imports_no_torch(buckets: Buckets) -> None:
    """It takes seconds; and the website's image has none."""
    code = (
        "import sys; from model_service.inference import Classifier, chosen; "
        f"Classifier({buckets.models!r}, 'v1', precision=chosen({buckets.models!r}, 'v1', 'auto')[0]); "
        "assert not {'torch', 'onnxruntime', 'onnx'} & set(sys.modules)"
    )
    if not any(Path(driver).exists() for driver in gpu.DRIVERS):
        environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'plugins'}:{REPOSITORY}"}
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=True)


LETS_GO = """
import os, signal, sys, threading
from model_service.inference import Classifier

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
models = [Classifier(sys.argv[1], "v1")]
elsewhere = threading.Thread(target=models.clear)
elsewhere.start()
elsewhere.join()
os.kill(os.getpid(), signal.SIGTERM)
print(*heard)
"""


def test_a_process_that_let_a_model_go_in_another_thread_still_hears_signals(buckets: Buckets) -> None:
    """As the website does when it moves to another model; then its pod is asked to end."""
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"}
    words = [sys.executable, "-c", LETS_GO, buckets.models]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "SIGTERM\n"), done.stderr
