"""The picture in a request: one multipart field, read no further than the limit, spooled to disk past 1 MB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from model_service.serve.refusal import Refusal, too_big

FIELD = "file"
PATIENCE = 60.0  # seconds a client may take to send its picture
_ENVELOPE = 64_000  # bytes of boundaries and headers around the picture


@asynccontextmanager
async def picture(request: Request, most: int) -> AsyncIterator[UploadFile]:
    """The uploaded file of at most that many bytes; closed (and gone from disk) on leaving. Raises Refusal."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most + _ENVELOPE:
        raise too_big()
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > most + _ENVELOPE:
            raise too_big()
        return message

    try:
        async with asyncio.timeout(PATIENCE):
            form = await Request(request.scope, receive).form(max_files=1, max_fields=8, max_part_size=1000)
    except TimeoutError:
        raise Refusal(408, "timeout", "The picture took too long to arrive.", "Send it again.") from None
    except ClientDisconnect:
        raise Refusal(400, "gone", "The picture did not arrive whole.", "Send it again.") from None
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            remedy = (
                f"Send one picture as multipart/form-data in the field '{FIELD}': curl -F {FIELD}=@cat.jpg …/predict"
            )
            raise Refusal(422, "no-file", f"There is no file in the field '{FIELD}'.", remedy)
        if (file.size or 0) > most:
            raise too_big()
        yield file
    finally:
        await form.close()
