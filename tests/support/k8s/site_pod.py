"""A small website for tests of the cluster itself: says who answers, gets ready late, ends its answers when told to stop."""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ready = time.monotonic() > READY_AT
        body = f"{sys.argv[2]} {os.environ['HOSTNAME']}".encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    READY_AT = time.monotonic() + 0.3
    host, _, port = sys.argv[1].partition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("listening", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
