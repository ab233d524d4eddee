"""python -m tests.support.gcs [--port=9023] [--delay=0.02] [bucket …]: in a process of its own, for benches."""

from __future__ import annotations

import argparse
import threading

from tests.support.gcs import Fault, GcsServer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--delay", type=float, default=0.0, help="seconds added to every request")
parser.add_argument("buckets", nargs="*")
arguments = parser.parse_args()
with GcsServer(arguments.port) as server:
    for name in arguments.buckets:
        server.make_bucket(name)
    server.inject(*([Fault(delay=arguments.delay, times=None)] if arguments.delay else []))
    print(server.url, flush=True)
    threading.Event().wait()
