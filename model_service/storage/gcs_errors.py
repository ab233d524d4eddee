"""What Google's errors mean for whoever runs a step: ours, with the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage.exceptions import DataCorruption

from model_service.storage.interface import BucketMissing, NotFound, StoreError


@contextmanager
def explained(uri: str, name: str, others: str, check: Callable[[], None]) -> Iterator[None]:
    """Turn them into ours, but for those that mean something else in each operation. `name` is "" for the bucket at `uri`
    itself; `others` are the buckets that the operation touches beside it; `check` raises BucketMissing.
    """
    what = f"{uri}/{name}" if name else uri
    try:
        yield
    except (api.PreconditionFailed, api.RequestRangeNotSatisfiable):
        raise
    except api.NotFound as error:
        if name:
            check()  # is it the bucket that is missing?
            raise NotFound(f"{what} does not exist") from error
        remedy = "Create the bucket, or set MENAGERIE_BUCKETS to where the buckets are."
        raise BucketMissing(f"{uri} does not exist", remedy=remedy) from error
    except (api.Forbidden, api.Unauthorized) as error:
        raise BucketMissing(
            f"{what} may not be used: {error.message}",
            remedy=f"Grant this identity roles/storage.objectUser on {uri}{others and f' and {others}'} "
            "(roles/storage.objectViewer is enough to read).",
        ) from error
    except GoogleAuthError as error:
        remedy = "Run `gcloud auth application-default login`, or attach a service account."
        raise StoreError(f"{what}: no valid credentials: {error}", remedy=remedy, retry=error.retryable) from error
    except (api.GoogleAPIError, requests.RequestException, DataCorruption) as error:
        raise StoreError(f"{what}: {error}", retry=not isinstance(error, api.ClientError)) from error
