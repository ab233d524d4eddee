"""Move a website to a model: name it in the site document, wait until it is served and answers, or go back."""

from __future__ import annotations

import logging
import time

from menagerie_contract import Deploy

from model_service import registry, site
from model_service.deploy import local
from model_service.deploy.website import Answer, Website, smoke_picture
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.site import Site
from model_service.storage import Conflict, Exists

POLL = 0.2  # seconds between two questions to the website
SETTLE = 5.0  # seconds the website gets to notice that a refused model was taken back

log = logging.getLogger(__name__)


class Refused(StepError):
    """The website has shown that it cannot serve the model."""


def deploy(step: Deploy) -> Outcome:
    """Outputs: url, version, previous, seconds. When it raises, the website serves what it served before."""
    begun = time.monotonic()
    registry.card(step.models, step.model)  # a version that does not exist is never named
    before, generation = site.read(step.site)
    already = before is not None and before.version == step.model
    if already:
        assert before is not None
        previous = before.previous
        log.info("%s names %s already", step.site, step.model)
    else:
        previous = before.version if before else None
        generation = _name(step, Site(step.model, previous), generation)
    try:
        website = Website(step.url)
        _await(step, website, begun + step.timeout)
        _smoke(step, website)
    except BaseException as error:  # also an interrupt, and what nobody thought of
        if not already:
            _go_back(step, before, generation)
        elif isinstance(error, Refused) and previous:
            # An earlier attempt named the model and was killed before it could go back. A time-out proves nothing
            # against a model that has been in use, so then the document stays.
            _go_back(step, Site(previous), generation)
        raise
    seconds = round(time.monotonic() - begun, 3)
    outputs = {"url": step.url, "version": step.model, "previous": previous, "seconds": seconds}
    return Outcome(outputs=outputs, message=f"{step.url} serves model {step.model} after {seconds:.1f} s")


def _name(step: Deploy, document: Site, generation: int) -> int:
    try:
        return site.write(step.site, document, generation)
    except (Exists, Conflict) as error:
        raise StepError(f"another deployment changed {step.site} meanwhile", retry=True) from error


def _await(step: Deploy, website: Website, until: float) -> None:
    """Return when the website serves the model; start it if nothing listens. Raises StepError."""
    while True:
        answer = website.ready()
        refused = answer.body.get("refused") or {}
        if answer.status == 200 and answer.body.get("model") == step.model:
            return
        if refused.get("version") == step.model:
            remedy = f"Look at model {step.model}; if it is sound, train or promote again. The former model stays."
            raise Refused(f"the website refused model {step.model}: {refused.get('error')}", remedy=remedy)
        if not answer.listening:
            local.start(step, until)
            continue
        if time.monotonic() > until:
            raise StepError(
                f"the website did not serve model {step.model} within {step.timeout:g} s: {_state(answer, refused)}",
                remedy=f"See that {step.url} is Menagerie's website, follows {step.site} and reads {step.models}.",
                retry=True,
            )
        time.sleep(POLL)


def _state(answer: Answer, refused: dict[str, str]) -> str:
    if refused:
        return str(refused.get("error"))
    return f"it serves {answer.body['model']}" if answer.body.get("model") else answer.why


def _smoke(step: Deploy, website: Website) -> None:
    """Raise Refused unless the website classifies a picture with the new model."""
    answer = website.predict(smoke_picture())
    if answer.status != 200:
        problem = answer.why
    elif answer.body.get("model") != step.model:
        problem = f"model {answer.body.get('model')} answered"
    else:
        total = sum(c["probability"] for c in answer.body.get("classes", []))
        if abs(total - 1) < 1e-3:
            return
        problem = f"its probabilities sum to {total}"
    raise Refused(f"the website fails its first picture with model {step.model}: {problem}", remedy="See its log.")


def _go_back(step: Deploy, document: Site | None, generation: int) -> None:
    """Put the former document back, unless another deployment has replaced ours since."""
    try:
        if document is None:
            site.withdraw(step.site, generation)
        else:
            site.write(step.site, document, generation)
    except Conflict:
        log.warning("%s was changed by another deployment: left as it is", step.site)
        return
    log.warning("went back to %s", document.version if document else "no model")
    # The website must forget the refusal, or the next attempt would take it for an answer to itself.
    until = time.monotonic() + SETTLE
    website = Website(step.url)
    while website.ready().body.get("refused") and time.monotonic() < until:
        time.sleep(POLL)
