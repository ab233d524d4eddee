"""The website's routes: the page, /predict for programs, two probes, and the reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from model_service.images import BadImage
from model_service.serve import refusal, report_pages
from model_service.serve.headers import SecurityHeaders
from model_service.serve.holder import Holder
from model_service.serve.refusal import LIMITS, Refusal
from model_service.serve.reports import Reports
from model_service.serve.upload import picture
from model_service.serve.workers import Busy, Workers

STATIC = Path(__file__).parent / "static"
_NO_STORE = {"Cache-Control": "no-store"}


def create_app(
    models: str, site: str, predicted: str = "", *, threads: int | None = None, waiting: int = 32
) -> FastAPI:
    """The website for the models in a bucket, serving the one the site document names, and the reports in `predicted`.

    `threads` decode and infer (one a core by default); `waiting` more pictures may wait for one before 503 is answered.
    """
    holder = Holder(models, site)
    workers = Workers(threads, waiting)
    readers = Workers(threads=2)  # of reports: they wait for storage

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        holder.start()
        try:
            yield
        finally:
            await asyncio.to_thread(holder.stop)
            readers.close(wait=False)  # storage may take a minute to say no
            workers.close()

    # No generated API pages: they load their scripts from elsewhere.
    app = FastAPI(title="Menagerie", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(Refusal, refusal.on_refusal)
    app.add_exception_handler(HTTPException, refusal.on_http)
    app.add_exception_handler(Exception, refusal.on_crash)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.include_router(report_pages.router(Reports(predicted), readers))

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return FileResponse(STATIC / "page.html")

    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    @app.get("/readyz")
    async def readyz() -> Response:
        state = holder.state
        if state.served is not None:
            return JSONResponse({"model": state.served.version, "refused": state.refused}, headers=_NO_STORE)
        body = {"model": None, "refused": state.refused, "error": state.why, "reason": "no-model"}
        return JSONResponse(body, 503, _NO_STORE)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        async with picture(request, LIMITS.max_bytes) as file:
            served = holder.state.served  # this request's model, whatever is deployed meanwhile
            if served is None:
                remedy = "Wait until the first model is trained and deployed, then try again."
                raise Refusal(503, "no-model", "There is no model yet.", remedy, retry_after=5)
            try:
                answer = await workers.run(lambda: served.answer(file.file.read(), LIMITS))
            except BadImage as bad:
                raise refusal.unusable(bad) from None
            except Busy:
                error = "Too many pictures are being looked at right now."
                raise Refusal(503, "busy", error, "Try again in a moment.", retry_after=1) from None
        return JSONResponse(answer, headers=_NO_STORE)

    return app
