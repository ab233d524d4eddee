"""Move the website to a model and prove that it serves it, or go back: on this machine, or on Kubernetes."""

from __future__ import annotations

from menagerie_contract import Deploy, Operate

from model_service import registry
from model_service.deploy.smoke import Refused
from model_service.errors import StepError
from model_service.results import Outcome

__all__ = ["Refused", "deploy"]


def deploy(step: Deploy | Operate) -> Outcome:
    """Outputs: url, version, previous, seconds. When it raises, the website serves what it served before."""
    if isinstance(step, Operate):
        from model_service.deploy.operate import operate  # only who asks for a cluster pays for its client

        return operate(step)
    registry.card(step.models, step.model)  # a version that does not exist is never named
    taken_back = registry.withdrawn(step.models)
    if taken_back and taken_back["version"] == step.model:
        raise StepError(
            f"model {step.model} was withdrawn by run {taken_back['run']}: {taken_back['why']}",
            remedy="To try it once more, clear promote and what follows it in the run that trained it; if a person took it "
            f"back, registry promote {step.model} --force --why=… comes before that.",
        )
    if step.target == "kubernetes":
        from model_service.deploy.kubernetes import deploy_kubernetes

        return deploy_kubernetes(step)
    from model_service.deploy.local import deploy_local

    return deploy_local(step)
