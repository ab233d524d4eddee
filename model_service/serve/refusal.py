"""How the website says no: JSON with what happened, a word for programs and what to do about it."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model_service.images import BadImage, Limits

LIMITS = Limits(max_bytes=20_000_000)  # tighter than a batch's: strangers send these

_STATUS = {"not-an-image": 415, "too-large": 413, "bomb": 413}  # else 422
_ERRORS = {  # sentences; {detail} is BadImage's own text
    "unreadable": "The picture's data is damaged.",
    "truncated": "The file ends before the picture does.",
    "not-an-image": "This is not a picture in a known format.",
    "too-large": "The picture is too large: {detail}.",
    "too-small": "The picture is too small: {detail}.",
    "bomb": "The picture is far larger than its file: {detail}.",
}
_REMEDIES = {
    "unreadable": "Save or export the picture again, and send the new file.",
    "truncated": "Copy or download the picture again: its end is missing.",
    "not-an-image": "Send a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC picture.",
    "too-large": f"Send a smaller picture: at most {LIMITS.max_bytes // 10**6} MB "
    f"and {LIMITS.max_pixels // 10**6} million pixels.",
    "too-small": f"Send a larger picture: at least {LIMITS.min_side} pixels on each side, and one side at most "
    f"{LIMITS.max_aspect:g} times the other.",
    "bomb": "Send a picture as a camera or a phone makes it.",
}
_NOT_MINE = {
    404: ("not-found", "The page is at /; programs POST a picture to /predict."),
    405: ("method", "The page is at /; programs POST a picture to /predict."),
    400: ("request", "Send one picture as multipart/form-data in the field 'file'."),
}


class Refusal(Exception):
    """A request that is not answered. `reason` is for programs; the text and `remedy` are sentences for people."""

    def __init__(self, status: int, reason: str, error: str, remedy: str, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.reason = reason
        self.remedy = remedy
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        body = {"error": str(self), "reason": self.reason, "remedy": self.remedy}
        return JSONResponse(body, self.status, headers | {"Cache-Control": "no-store"})


def unusable(bad: BadImage) -> Refusal:
    """The refusal of a picture that cannot be used."""
    error = _ERRORS[bad.reason].format(detail=bad)
    return Refusal(_STATUS.get(bad.reason, 422), bad.reason, error, _REMEDIES[bad.reason])


def too_big() -> Refusal:
    """The refusal of more bytes than are read at all."""
    limit = LIMITS.max_bytes // 10**6
    return Refusal(413, "too-large", f"This file has more than {limit} MB.", _REMEDIES["too-large"])


def on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


def on_http(request: Request, error: Exception) -> Response:
    """Starlette's own errors (no such page, wrong method, damaged form) in the same form."""
    assert isinstance(error, HTTPException)
    reason, remedy = _NOT_MINE.get(error.status_code, ("http", ""))
    response = Refusal(error.status_code, reason, f"{error.detail}.".replace("..", "."), remedy).response()
    response.headers.update(error.headers or {})
    return response


def on_crash(request: Request, error: Exception) -> Response:
    remedy = "Try another picture; the website's log says what happened."
    return Refusal(500, "internal", "Something went wrong on the website's side.", remedy).response()
