"""The website: a page where a person drops a picture, and POST /predict for programs."""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress

from menagerie_contract import Serve

from model_service.errors import StepError

DRAIN = 30  # seconds that requests in flight get when the website is asked to stop

log = logging.getLogger(__name__)


def serve(step: Serve) -> None:
    """Answer until SIGTERM or SIGINT, then finish the requests in flight. Raises StepError if it cannot listen."""
    import uvicorn  # here, because deploy imports this package for the site document only

    from model_service.serve.app import create_app

    listener = listen(step.host, step.port)
    with listener:
        config = uvicorn.Config(
            create_app(step.models, step.site, step.predicted),
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=DRAIN,
        )
        log.info("the website listens on %s", address(listener))
        with suppress(KeyboardInterrupt):  # uvicorn raises it again once it has shut down in order
            uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket (port 0: any free one). Raises StepError with the remedy."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        assert kind is socket.SOCK_STREAM
        return socket.create_server(where[:2], family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message, remedy = "is taken: another program listens there", "Stop that program, or give another --port."
        elif error.errno == errno.EACCES:
            message, remedy = "is reserved for the administrator", "Give a --port of 1024 or more."
        else:
            message, remedy = f"cannot be listened on: {error.strerror}", "Give a --host this machine has."
        raise StepError(f"port {port} of {host} {message}", remedy=remedy) from error


def address(listener: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
