"""gs:// and file:// behind one small interface. Names and URIs are plain text: percent-encoding is not interpreted."""

from __future__ import annotations

from pathlib import Path

from model_service.storage.interface import Blob, BucketMissing, Conflict, Exists, NotFound, Store, StoreError

__all__ = [
    "Blob",
    "BucketMissing",
    "Conflict",
    "Exists",
    "NotFound",
    "Store",
    "StoreError",
    "locate",
    "name_in",
    "open_store",
    "read_live",
    "write_once",
]


def open_store(uri: str) -> Store:
    """The store at file:///absolute/folder or gs://bucket; nothing is contacted. Raises StoreError for other URIs."""
    scheme, _, rest = uri.partition("://")
    if scheme == "file" and rest.startswith("/"):
        from model_service.storage.folder import FolderStore

        return FolderStore(Path(rest))
    if scheme == "gs" and (bucket := rest.removesuffix("/")) and "/" not in bucket:
        from model_service.storage.gcs import GcsStore  # only who uses a bucket pays for Google's library

        return GcsStore(bucket)
    raise StoreError(
        f"{uri!r} is not a bucket",
        remedy="Give the argument that has this value (--models, --source, --to-predict, --predicted) as gs://… (a bucket) or "
        "file:///… (an absolute path); in Airflow, set MENAGERIE_BUCKETS to the beginning of such.",
    )


def locate(uri: str) -> tuple[Store, str]:
    """The store and name of an object's URI: gs://bucket/name, or file:///path below the root folder `/`."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if name and (scheme == "gs" or (scheme == "file" and not bucket)):
        return open_store(f"{scheme}://{bucket or '/'}"), name
    raise StoreError(f"{uri!r} is not an object", remedy="Name it as gs://bucket/name or file:///absolute/path.")


def read_live(store: Store, name: str) -> tuple[bytes | None, int]:
    """An object's content and generation; (None, 0) when there is none. One replaced while it is read is read again."""
    for _ in range(10):
        try:
            generation = store.stat(name).generation
        except NotFound:
            return None, 0
        try:
            return store.read(name, generation), generation
        except NotFound:
            continue
    raise StoreError(f"{store.uri}/{name} changes faster than it can be read", retry=True)


def write_once(store: Store, name: str, data: bytes) -> bytes:
    """Create the object; returns its content, which is another one if an earlier attempt at the same has written it."""
    try:
        store.write_if_absent(name, data)
    except Exists:
        return store.read(name)
    return data


def name_in(store: Store, uri: str) -> str:
    """The name in `store` of the object at that URI. Raises StoreError if it is not below the store's own."""
    name = uri.removeprefix(store.uri + "/")
    if name == uri or not name:
        raise StoreError(f"{uri!r} is not in {store.uri}", remedy="Check MENAGERIE_BUCKETS: URIs must agree with it.")
    return name
