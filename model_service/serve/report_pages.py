"""The reports' routes: /report leads to the latest one, /report/<run> is that run's, /report.json tells the page of it.

No prediction and no probe ever waits for them: they have threads of their own, and what goes wrong is a page that says so.
"""

from __future__ import annotations

import asyncio
import html
import logging
import string
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from fastapi import APIRouter
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse

from model_service.serve.refusal import Refusal
from model_service.serve.reports import MOST, Page, Reports, TooLarge
from model_service.serve.workers import Busy, Workers

PATIENCE = 15.0  # seconds until somebody who waits for storage is told to come back
AGAIN = 10  # seconds after which to do so
PIECE = 65_536  # bytes handed to the network at once: who reads slowly holds no more of its own
HEADERS = {
    # A report has all it needs within itself, and nothing that runs.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, max-age=300",  # a run's report is written once
    "X-Robots-Tag": "noindex",
}
NO_STORE = {"Cache-Control": "no-store"}
NOTE = string.Template((Path(__file__).parent / "note.html").read_text())

T = TypeVar("T")
log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Storage does not give what was asked for, or not in time."""


def router(reports: Reports, workers: Workers) -> APIRouter:
    """The routes. `workers` wait for storage."""
    routes = APIRouter()

    async def ask(job: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(PATIENCE):
                return await workers.run(job)
        except TooLarge:
            raise
        except (Busy, TimeoutError) as error:
            log.warning("reports: %s does not answer in time", reports.predicted)
            raise Unavailable from error
        except Exception as error:  # a bucket that is missing or closed, no credentials, a damaged document
            log.warning("reports: %s", error or repr(error))
            raise Unavailable from error

    @routes.api_route("/report", methods=["GET", "HEAD"])
    async def latest() -> Response:
        if not reports.predicted:
            return _none_here()
        try:
            run = await ask(reports.latest)
        except Unavailable:
            return _unavailable()
        if run is None:
            text = "The first one comes once a run has a model and new pictures to measure it with."
            return note(404, "There is no report yet", text)
        return RedirectResponse(f"/report/{run}", headers=NO_STORE)

    @routes.get("/report.json")
    async def whether() -> Response:
        try:
            run = await ask(reports.latest) if reports.predicted else None
        except Unavailable:
            error, remedy = "The reports cannot be read right now.", "Try again in a moment."
            raise Refusal(503, "storage", error, remedy, retry_after=AGAIN) from None
        return JSONResponse({"report": f"/report/{run}" if run else None}, headers=NO_STORE)

    @routes.api_route("/report/{run:path}", methods=["GET", "HEAD"])
    async def report(run: str) -> Response:
        if not reports.predicted:
            return _none_here()
        try:
            page = await ask(lambda: reports.read(run))
        except Unavailable:
            return _unavailable()
        except TooLarge as error:
            log.warning("reports: %s, shown are at most %d", error, MOST)
            text = f"It has more than {MOST // 10**6} MB. Open it in the bucket, where it is report.html of its run."
            return note(404, "This report is too large to be shown here", text, latest=True)
        if page is None:
            text = "A run has one once its task evaluate is done."
            return note(404, "There is no such report", text, latest=True)
        length = {"Content-Length": str(len(page.content))}
        return StreamingResponse(_pieces(page), media_type="text/html", headers=HEADERS | length)

    return routes


async def _pieces(page: Page) -> AsyncIterator[bytes]:
    for start in range(0, len(page.content), PIECE):
        yield page.content[start : start + PIECE]


def note(status: int, title: str, text: str, *, latest: bool = False, retry_after: int | None = None) -> Response:
    """A page with a sentence for people; `latest`: with a link to the latest report."""
    more = ' or to <a href="/report">the latest report</a>' if latest else ""
    page = NOTE.substitute(title=html.escape(title), text=html.escape(text), more=more)
    again = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return HTMLResponse(page, status, NO_STORE | again)


def _none_here() -> Response:
    return note(404, "No reports are shown here", "This website was started without --predicted, the reports' bucket.")


def _unavailable() -> Response:
    text = "Their bucket does not answer as it should; the website's log says why. Try again in a moment."
    return note(503, "The reports cannot be read right now", text, retry_after=AGAIN)
