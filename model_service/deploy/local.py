"""A website that follows a site document: name the model in it, wait until it is served and proved, or go back."""

from __future__ import annotations

import logging
import time

from menagerie_contract import Deploy

from model_service import registry, selftest, site
from model_service.deploy import process, smoke
from model_service.deploy.smoke import Refused
from model_service.deploy.website import Answer, Website
from model_service.errors import StepError
from model_service.results import Outcome
from model_service.site import Site
from model_service.storage import Conflict, Exists

POLL = 0.2  # seconds between two questions to the website
SETTLE = 5.0  # seconds the website gets to notice that a model was taken back

log = logging.getLogger(__name__)


def deploy_local(step: Deploy) -> Outcome:
    """Also withdraws the champion when the website refuses it; a time-out says nothing against a model."""
    begun = time.monotonic()
    if not step.site:
        raise StepError("--site is missing", remedy="Name the document that the website follows: --site=file:///….")
    questions = selftest.load(step.models, step.model)
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
        smoke.prove(website, step, questions)
    except BaseException as error:  # also an interrupt, and what nobody thought of
        if not already:
            _go_back(step, before, generation)
        elif isinstance(error, Refused) and previous:
            # An earlier attempt named the model and was killed before it could go back. A time-out proves nothing
            # against a model that has been in use, so then the document stays.
            _go_back(step, Site(previous), generation)
        if isinstance(error, Refused) and registry.withdraw(step.models, step.model, step.run, error.message, previous):
            log.warning("model %s is no longer the champion", step.model)
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
            process.start(step, until)
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
    # The website must be back too, and forget the refusal, or the next attempt would take it for an answer to itself.
    until = time.monotonic() + SETTLE
    website = Website(step.url)
    while not _is_back(website.ready(), document) and time.monotonic() < until:
        time.sleep(POLL)


def _is_back(answer: Answer, document: Site | None) -> bool:
    if not answer.listening:
        return True  # there is none
    return not answer.body.get("refused") and (document is None or answer.body.get("model") == document.version)
