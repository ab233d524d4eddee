"""Cloud Storage for tests: its JSON API over HTTP on loopback, in this process, with faults on order. Not shipped.

    with GcsServer() as server:
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        server.inject(Fault("objects.insert .*cat", status=503, after=True))

Semantics are the JSON API reference's (https://cloud.google.com/storage/docs/json_api/v1), whoever the client is.
"""

from tests.support.gcs.faults import Call, Fault
from tests.support.gcs.server import GcsServer

__all__ = ["Call", "Fault", "GcsServer"]
