"""Is the champion pointer readable, is its model whole, and can a deployment ask it its self-test?"""

from __future__ import annotations

from model_service import registry
from model_service.doctor.checks import Finding


def examine(models: str) -> Finding:
    """Reads every file of the champion once. Raises BadModel, StoreError."""
    pointer, _ = registry.champion(models)
    gone = registry.withdrawn(models)
    if pointer is None:
        if gone:
            found = f"no champion: {gone['version']} was withdrawn by run {gone['run']}: {gone['why']}"
            return Finding("warning", found, "Run the pipeline: it trains another one.")
        return Finding("ok", "no champion yet: the first run trains one")
    version = pointer["version"]
    files = registry.card(models, version)["files"]
    size = sum(len(registry.load(models, version, name)) for name in files)
    whole = f"{version}: {len(files)} files, {size / 1e6:.1f} MB, hashes as its card says"

    from model_service import selftest  # the website's inference: only for a champion

    if selftest.FILE not in files:
        return Finding(
            "warning",
            f"{whole}; no self-test",
            "It was exported by an earlier release and cannot be deployed on Kubernetes: run with retrain=always.",
        )
    return Finding("ok", f"{whole}; {len(selftest.load(models, version))} self-test pictures")
