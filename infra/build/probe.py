"""What a website's container must answer: run in it, `docker exec -i … python - < probe.py`. Serve's packages only."""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import io
import json
import pkgutil
import shutil
import sys
import time
from typing import Any

from PIL import Image

SITE = "127.0.0.1:5000"
MODEL = "smoke"  # tiny.py makes it: a red picture is its first class
PATIENCE = 60.0  # seconds until the model must be served
UNWANTED = ("torch", "fastai", "airflow", "pip")
STEPS = ("deploy", "doctor", "serve")  # what this image runs: every module of theirs must find its packages
COMPILERS = ("cc", "gcc", "g++", "clang", "make")


def main(site: str = SITE) -> list[str]:
    """What is wrong with the website at host:port; empty when all is well."""
    wrong = [f"there is a module {name}" for name in UNWANTED if importlib.util.find_spec(name)]
    wrong += [f"there is a compiler: {found}" for found in map(shutil.which, COMPILERS) if found]
    wrong += [why for step in STEPS for why in _unimportable(f"model_service.{step}")]
    ready = _ready(site)
    if ready.get("model") != MODEL:
        return [*wrong, f"/readyz answers {ready} after {PATIENCE:g} s"]
    answer = _predict(site)
    best = (answer.get("classes") or [{}])[0]
    if answer.get("model") != MODEL or best.get("label") != "red" or not best["probability"] > 0.5:
        wrong.append(f"a red picture is answered with {answer}")
    return wrong


def _unimportable(package: str) -> list[str]:
    wrong = []
    root = importlib.import_module(package)
    for name in [package, *(found.name for found in pkgutil.walk_packages(root.__path__, f"{package}."))]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            wrong.append(f"{name} cannot be imported: {error}")
    return wrong


def _ready(site: str) -> dict[str, Any]:
    """The last body of /readyz, once it names a model or patience ends."""
    until = time.monotonic() + PATIENCE
    body: dict[str, Any] = {}
    while time.monotonic() < until and not body.get("model"):
        try:
            _ask(site, "GET", "/healthz")
            body = _ask(site, "GET", "/readyz")
        except OSError as error:
            body = {"error": str(error)}
        time.sleep(0.2)
    return body


def _predict(site: str) -> dict[str, Any]:
    picture = io.BytesIO()
    Image.new("RGB", (96, 96), (230, 20, 20)).save(picture, "JPEG")
    form = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="red.jpg"\r\n\r\n%b\r\n--edge--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    return _ask(site, "POST", "/predict", form % picture.getvalue(), headers)


def _ask(site: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON that is answered, whatever its status. Raises OSError while nobody answers."""
    connection = http.client.HTTPConnection(site, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer: dict[str, Any] = json.load(connection.getresponse())
        return answer
    finally:
        connection.close()


if __name__ == "__main__":
    if problems := main():
        sys.exit("\n".join(problems))
    print(f"the website serves {MODEL} and answers")
