"""The test server (tests/support/gcs) against the JSON API reference, asked by plain HTTP. It stands here, and not beside
the server, because tests/support/k8s/ has the airflow environment's conftest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import google_crc32c
import pytest
import requests

from tests.support.gcs import Fault, GcsServer

DATA = bytes(range(256)) * 4
QUANTUM = 256 << 10


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


class Api:
    """Requests and nothing else: every answer comes back as it is."""

    def __init__(self, server: GcsServer) -> None:
        self.server, self._session = server, requests.Session()

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else self.server.url + path
        return self._session.request(method, url, timeout=10, **options)

    def put(self, name: str, data: bytes = b"", /, bucket: str = "b", **query: Any) -> requests.Response:
        query = {"uploadType": "media", "name": name, **query}
        return self("POST", f"/upload/storage/v1/b/{bucket}/o", params=query, data=data)

    def get(
        self, name: str, bucket: str = "b", headers: dict[str, str] | None = None, **query: Any
    ) -> requests.Response:
        return self("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", params=query, headers=headers)

    def media(self, name: str, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        path = f"/download/storage/v1/b/b/o/{quote(name, safe='')}"
        return self("GET", path, params={"alt": "media", **query}, headers=headers)

    def delete(self, name: str, bucket: str = "b", **query: Any) -> requests.Response:
        return self("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", params=query)

    def post(self, path: str, body: Any = None, **query: Any) -> requests.Response:
        return self("POST", f"/storage/v1/b/b/o/{path}", params=query, json=body)

    def listed(self, bucket: str = "b", **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self("GET", f"/storage/v1/b/{bucket}/o", params=query).json()
        return found

    def names(self, **query: Any) -> list[str]:
        return [item["name"] for item in self.listed(**query).get("items", [])]


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        server.make_bucket("b")
        server.make_bucket("v", versioned=True)
        yield server


@pytest.fixture
def api(server: GcsServer) -> Api:
    return Api(server)


def error(answer: requests.Response) -> tuple[int, str]:
    """Code and reason of an error body in Google's form, which agrees with the status."""
    body = answer.json()["error"]
    assert body["code"] == answer.status_code
    assert body["message"] == body["errors"][0]["message"]
    return body["code"], body["errors"][0]["reason"]


FAILED = (412, "conditionNotMet")
MISSING = (404, "notFound")


class TestPreconditions:
    """Match fails with 412, NotMatch with 304; generation 0 means that there is no live object."""

    @pytest.fixture
    def x(self, api: Api) -> int:
        return int(api.put("x", DATA).json()["generation"])

    def conditions(self, generation: int) -> list[tuple[dict[str, int], int]]:
        return [
            ({"ifGenerationMatch": generation}, 200),
            ({"ifGenerationMatch": generation + 1}, 412),
            ({"ifGenerationMatch": 0}, 412),
            ({"ifGenerationNotMatch": generation}, 304),
            ({"ifGenerationNotMatch": generation + 1}, 200),
            ({"ifGenerationNotMatch": 0}, 200),
            ({"ifMetagenerationMatch": 1}, 200),
            ({"ifMetagenerationMatch": 2}, 412),
            ({"ifMetagenerationNotMatch": 1}, 304),
            ({"ifMetagenerationNotMatch": 2}, 200),
            ({"ifGenerationMatch": generation, "ifMetagenerationMatch": 2}, 412),
        ]

    def test_of_reading(self, api: Api, x: int) -> None:
        for query, status in self.conditions(x):
            assert api.get("x", **query).status_code == status, query
            assert api.media("x", **query).status_code == status, query

    def test_of_changing(self, api: Api, x: int) -> None:
        for query, status in self.conditions(x):
            for change in (
                lambda name, query: api.put(name, b"new", **query),
                lambda name, query: api("PATCH", f"/storage/v1/b/b/o/{name}", params=query, json={}),
                lambda name, query: api.post(f"x/copyTo/b/b/o/{name}", **query),
                lambda name, query: api.post(f"x/rewriteTo/b/b/o/{name}", **query),
                lambda name, query: api.post(f"{name}/compose", {"sourceObjects": [{"name": "x"}]}, **query),
                lambda name, query: api.delete(name, **query),
            ):
                made = int(api.put("y", DATA).json()["generation"])
                asked = {key: value - x + made if value >= x else value for key, value in query.items()}
                answer = change("y", asked)
                assert answer.status_code in ({200, 204} if status == 200 else {status}), (query, answer.text)
                kept = api.get("y")
                assert status == 200 or int(kept.json()["generation"]) == made

    def test_of_sources(self, api: Api, x: int) -> None:
        for query, status in self.conditions(x):
            for how in ("copyTo", "rewriteTo"):
                asked = {key.replace("if", "ifSource", 1): value for key, value in query.items()}
                assert api.post(f"x/{how}/b/b/o/y", **asked).status_code == status, query
        component = {"name": "x", "objectPreconditions": {"ifGenerationMatch": x + 1}}
        assert error(api.post("y/compose", {"sourceObjects": [component]})) == FAILED

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"ifGenerationMatch": 0}, 200),
            ({"ifGenerationMatch": 7}, 412),
            ({"ifGenerationNotMatch": 0}, 304),
            ({"ifGenerationNotMatch": 7}, 304),
            ({"ifMetagenerationMatch": 1}, 412),
        ],
    )
    def test_where_there_is_no_object(self, api: Api, query: dict[str, int], status: int) -> None:
        assert api.put("new", b"", **query).status_code == status
        assert error(api.get("none", **query)) == MISSING
        assert error(api.delete("none", **query)) == MISSING

    def test_that_are_no_numbers(self, api: Api) -> None:
        assert error(api.put("x", ifGenerationMatch="one")) == (400, "invalid")

    def test_let_one_of_many_win(self, api: Api, server: GcsServer) -> None:
        def race(_: int) -> int:
            return requests.post(
                f"{server.url}/upload/storage/v1/b/b/o?uploadType=media&name=race&ifGenerationMatch=0", data=b"x"
            ).status_code

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(race, range(32))) == [200] + [412] * 31

    def test_of_etags(self, api: Api, x: int) -> None:
        etag = api.get("x").json()["etag"]
        assert api.media("x").headers["ETag"] == etag
        assert api.get("x", headers={"If-None-Match": etag}).status_code == 304
        assert api.media("x", headers={"If-None-Match": '"other"'}).status_code == 200
        assert error(api.get("x", headers={"If-Match": '"other"'})) == FAILED


class TestGenerations:
    def test_grow_and_start_with_metageneration_1(self, api: Api) -> None:
        first, second = api.put("x", b"1").json(), api.put("x", b"2").json()
        assert int(second["generation"]) > int(first["generation"]) > 1e15
        api("PATCH", "/storage/v1/b/b/o/x", json={"contentType": "text/plain"})
        assert api.get("x").json()["metageneration"] == "2"
        assert api.put("x", b"3").json()["metageneration"] == "1"

    def test_replaced_are_gone(self, api: Api) -> None:
        first, second = (api.put("x", data).json()["generation"] for data in (b"1", b"2"))
        assert error(api.media("x", generation=first)) == MISSING
        assert error(api.delete("x", generation=first)) == MISSING
        assert api.media("x", generation=second).content == b"2"

    def test_are_kept_by_a_versioned_bucket(self, api: Api) -> None:
        first, second = (api.put("x", data, bucket="v").json()["generation"] for data in (b"1", b"2"))
        assert api.get("x", bucket="v", generation=first).json()["timeDeleted"]
        assert api.delete("x", bucket="v").status_code == 204
        assert error(api.get("x", bucket="v")) == MISSING
        assert api.listed("v").get("items") is None
        versions = [item["generation"] for item in api.listed("v", versions="true")["items"]]
        assert versions == [first, second]
        assert api.put("x", b"3", bucket="v", ifGenerationMatch=0).status_code == 200
        assert api.delete("x", bucket="v", generation=first).status_code == 204
        assert len(api.listed("v", versions="true")["items"]) == 2


class TestUploads:
    @pytest.mark.parametrize("line", ["\r\n", "\n"])
    @pytest.mark.parametrize("data", [DATA, b"", b"\r", b"\r\n", b"--mark", b"\n\n--marked\n\n"])
    def test_in_two_parts(self, api: Api, line: str, data: bytes) -> None:
        resource = {"name": "a/ü", "metadata": {"k": "v"}, "crc32c": crc32c(data), "md5Hash": md5(data)}
        head = ["--mark=", "content-type: application/json", "", json.dumps(resource)]
        head += ["--mark=", "Content-Type: image/jpeg", "", ""]
        body = line.join(head).encode() + data + f"{line}--mark=--{line}".encode()
        made = api(
            "POST",
            "/upload/storage/v1/b/b/o?uploadType=multipart",
            data=body,
            headers={"Content-Type": 'multipart/related; boundary="mark="'},
        ).json()
        assert (made["name"], made["contentType"], made["metadata"]) == ("a/ü", "image/jpeg", {"k": "v"})
        assert (made["size"], made["crc32c"], made["md5Hash"]) == (str(len(data)), crc32c(data), md5(data))
        assert api.media("a/ü").content == data

    @pytest.mark.parametrize("wrong", [{"crc32c": "AAAAAA=="}, {"md5Hash": md5(b"other")}])
    def test_with_a_wrong_checksum_are_refused(self, api: Api, wrong: dict[str, str]) -> None:
        body = b"--m\r\n\r\n" + json.dumps({"name": "x", **wrong}).encode() + b"\r\n--m\r\n\r\ndata\r\n--m--"
        answer = api(
            "POST",
            "/upload/storage/v1/b/b/o?uploadType=multipart",
            data=body,
            headers={"Content-Type": "multipart/related; boundary=m"},
        )
        assert error(answer) == (400, "invalid")
        assert error(api.get("x")) == MISSING

    @pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "n" * 1025])
    def test_of_impossible_names_are_refused(self, api: Api, name: str) -> None:
        assert api.put(name).status_code == 400

    def begin(self, api: Api, name: str = "x", size: int | None = None, **query: Any) -> requests.Response:
        return api(
            "POST",
            "/upload/storage/v1/b/b/o",
            params={"uploadType": "resumable", "name": name, **query},
            json={"contentType": "image/png"},
            headers={"X-Upload-Content-Length": str(size)} if size is not None else {},
        )

    def chunk(self, api: Api, url: str, span: str, data: bytes = b"", hashes: str = "") -> requests.Response:
        headers = {"Content-Range": f"bytes {span}"} | ({"X-Goog-Hash": hashes} if hashes else {})
        return api("PUT", url, data=data, headers=headers)

    def test_resumable_in_one_go(self, api: Api) -> None:
        url = self.begin(api).headers["Location"]
        made = api("PUT", url, data=DATA).json()
        assert (made["size"], made["contentType"]) == (str(len(DATA)), "image/png")
        assert api("PUT", url, data=DATA).json() == made, "a repeated last request changes nothing"
        assert self.chunk(api, url, "*/*").json() == made
        assert api("POST", url, data=DATA).json() == made, "gcsfs posts"

    def test_resumable_in_chunks(self, api: Api) -> None:
        data = bytes(2 * QUANTUM) + DATA
        url = self.begin(api, size=len(data)).headers["Location"]
        assert self.chunk(api, url, "*/*").status_code == 308
        assert "Range" not in self.chunk(api, url, "*/*").headers
        first = self.chunk(api, url, f"0-{QUANTUM + 9}/*", data[: QUANTUM + 10])
        assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}"), (
            "multiples of 256 KiB stay"
        )
        beyond = self.chunk(api, url, f"{2 * QUANTUM}-{len(data) - 1}/{len(data)}", data[2 * QUANTUM :])
        assert (beyond.status_code, beyond.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}"), "there is a gap"
        assert error(api.get("x")) == MISSING
        hashes = f"crc32c={crc32c(data)},md5={md5(data)}"
        made = self.chunk(api, url, f"0-{len(data) - 1}/{len(data)}", data, hashes)
        assert (made.status_code, made.json()["size"]) == (200, str(len(data)))
        assert api.media("x").content == data, "what was kept before is ignored when it comes again"

    def test_resumable_of_a_size_that_is_known_at_the_end(self, api: Api) -> None:
        url = self.begin(api).headers["Location"]
        assert self.chunk(api, url, f"0-{QUANTUM - 1}/*", bytes(QUANTUM)).status_code == 308
        assert self.chunk(api, url, f"*/{QUANTUM}").json()["size"] == str(QUANTUM)

    def test_resumable_and_empty(self, api: Api) -> None:
        assert self.chunk(api, self.begin(api).headers["Location"], "*/0").json()["size"] == "0"

    def test_resumable_that_go_wrong(self, api: Api) -> None:
        url = self.begin(api, size=1000).headers["Location"]
        assert self.chunk(api, url, "0-9/*", bytes(10)).status_code == 400, "too small for one that is not the last"
        assert self.chunk(api, url, "0-9/10", bytes(10)).status_code == 400, "1000 were announced"
        assert self.chunk(api, url, "0-999/1000", bytes(10)).status_code == 400
        assert self.chunk(api, url, "0-999/1000", bytes(1000), "crc32c=AAAAAA==").status_code == 400
        assert api("DELETE", url).status_code == 499
        assert error(self.chunk(api, url, "*/*")) == MISSING

    def test_resumable_check_preconditions_at_both_ends(self, api: Api) -> None:
        url = self.begin(api, ifGenerationMatch=0).headers["Location"]
        api.put("x", b"faster")
        assert error(api("PUT", url, data=DATA)) == FAILED
        assert error(self.begin(api, ifGenerationMatch=0)) == FAILED
        assert api.media("x").content == b"faster"


class TestDownloads:
    def test_have_headers_to_check_them_by(self, api: Api) -> None:
        generation = api.put("x", DATA).json()["generation"]
        headers = api.media("x").headers
        assert headers["X-Goog-Hash"] == f"crc32c={crc32c(DATA)},md5={md5(DATA)}"
        assert (headers["X-Goog-Generation"], headers["X-Goog-Metageneration"]) == (generation, "1")
        assert headers["X-Goog-Stored-Content-Length"] == str(len(DATA))
        assert api("GET", "/storage/v1/b/b/o/x?alt=media").content == DATA

    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            ("0-0", DATA[:1]),
            ("5-9", DATA[5:10]),
            ("1000-", DATA[1000:]),
            ("1000-9999", DATA[1000:]),
            ("-24", DATA[-24:]),
        ],
    )
    def test_in_parts(self, api: Api, span: str, expected: bytes) -> None:
        api.put("x", DATA)
        answer = api.media("x", headers={"Range": f"bytes={span}"})
        start = DATA.rindex(expected) if expected == DATA[-24:] else int(span.split("-")[0])
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(DATA)}"

    @pytest.mark.parametrize("span", ["1024-", "1024-2000", "9-5"])
    def test_of_parts_that_are_not_there(self, api: Api, span: str) -> None:
        api.put("x", DATA)
        answer = api.media("x", headers={"Range": f"bytes={span}"})
        assert error(answer) == (416, "requestedRangeNotSatisfiable")
        assert answer.headers["Content-Range"] == "bytes */1024"

    def test_of_gzip_are_unpacked_for_those_who_do_not_take_it(self, api: Api) -> None:
        packed = gzip.compress(DATA)
        api.put("x", packed)
        api("PATCH", "/storage/v1/b/b/o/x", json={"contentEncoding": "gzip"})
        raw = api.media("x", headers={"Accept-Encoding": "gzip"})
        assert raw.headers["Content-Encoding"] == "gzip"
        plain = api.media("x", headers={"Accept-Encoding": "identity", "Range": "bytes=0-3"})
        assert (plain.status_code, plain.content) == (200, DATA)
        assert plain.headers["X-Goog-Hash"].startswith(f"crc32c={crc32c(packed)}")


class TestListing:
    NAMES = ("a", "a/", "a/b", "a/c/d", "a/c/e", "b", "é", "日本", "🐈")

    @pytest.fixture
    def full(self, api: Api) -> Api:
        for name in reversed(self.NAMES):
            api.put(name)
        return api

    @pytest.mark.parametrize(
        ("query", "items", "prefixes"),
        [
            ({}, NAMES, []),
            ({"prefix": "a/"}, ["a/", "a/b", "a/c/d", "a/c/e"], []),
            ({"delimiter": "/"}, ["a", "b", "é", "日本", "🐈"], ["a/"]),
            ({"delimiter": "/", "prefix": "a/"}, ["a/", "a/b"], ["a/c/"]),
            ({"delimiter": "/", "includeTrailingDelimiter": "true"}, ["a", "a/", "b", "é", "日本", "🐈"], ["a/"]),
            ({"startOffset": "a/b", "endOffset": "b"}, ["a/b", "a/c/d", "a/c/e"], []),
            ({"startOffset": "b0"}, ["é", "日本", "🐈"], []),
            ({"prefix": "none"}, [], []),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_in_pages(self, full: Api, query: dict[str, str], items: list[str], prefixes: list[str], size: int) -> None:
        found: list[str] = []
        folders: list[str] = []
        token = None
        while token != "":
            page = full.listed(maxResults=size, **query, **({"pageToken": token} if token else {}))
            found += [item["name"] for item in page.get("items", [])]
            folders += page.get("prefixes", [])
            token = page.get("nextPageToken", "")
        assert (found, folders) == (list(items), prefixes)

    def test_of_versions_goes_on_within_a_name(self, api: Api) -> None:
        for n in range(5):
            api.put("x", str(n).encode(), bucket="v")
        first = api.listed("v", versions="true", maxResults=2)
        rest = api.listed("v", versions="true", pageToken=first["nextPageToken"])
        assert [item["size"] for item in first["items"] + rest["items"]] == ["1"] * 5
        assert len({item["generation"] for item in first["items"] + rest["items"]}) == 5

    def test_does_not_show_again_what_is_written_anew_between_pages(self, full: Api) -> None:
        token = full.listed(maxResults=1)["nextPageToken"]
        full.put("a", b"again")
        full.put("a/0")
        full.delete("b")
        assert full.names(pageToken=token) == ["a/", "a/0", *self.NAMES[2:5], *self.NAMES[6:]]

    def test_gives_the_fields_asked_for(self, full: Api) -> None:
        assert full.listed(fields="nextPageToken,items(name,size)")["items"][0] == {"name": "a", "size": "0"}

    def test_with_a_token_that_is_none(self, api: Api) -> None:
        assert error(api("GET", "/storage/v1/b/b/o?pageToken=nonsense")) == (400, "invalid")


class TestCopies:
    FIELDS: dict[str, Any] = {"contentType": "image/x", "cacheControl": "no-store", "metadata": {"a": "1"}}  # noqa: RUF012

    @pytest.fixture
    def x(self, api: Api) -> str:
        api.put("x", DATA)
        return str(api("PATCH", "/storage/v1/b/b/o/x", json=self.FIELDS).json()["generation"])

    @pytest.mark.parametrize("how", ["copyTo", "rewriteTo"])
    def test_take_over_metadata_or_replace_all_of_it(self, api: Api, x: str, how: str) -> None:
        for body, fields in [({}, self.FIELDS), (None, self.FIELDS), ({"contentType": "a/b"}, {"contentType": "a/b"})]:
            made = api.post(f"x/{how}/b/v/o/{quote('y/z', safe='')}", body).json()
            made = made.get("resource", made)
            assert (made["bucket"], made["name"], made["crc32c"]) == ("v", "y/z", crc32c(DATA))
            assert {key: made[key] for key in self.FIELDS if key in made} == fields

    def test_of_what_is_not_there(self, api: Api, x: str) -> None:
        for path in ("none/copyTo/b/b/o/y", "x/rewriteTo/b/none/o/y"):
            assert error(api.post(path)) == MISSING
        assert error(api.post("x/rewriteTo/b/b/o/y", sourceGeneration=1)) == MISSING

    def test_of_large_objects_take_several_calls(self, api: Api, server: GcsServer, x: str) -> None:
        server.api.rewrite_bytes = 400
        answers = [api.post("x/rewriteTo/b/b/o/y", ifGenerationMatch=0).json()]
        while not answers[-1]["done"]:
            token = answers[-1]["rewriteToken"]
            assert error(api.get("y")) == MISSING
            answers.append(api.post("x/rewriteTo/b/b/o/y", rewriteToken=token, ifGenerationMatch=0).json())
        assert [answer["totalBytesRewritten"] for answer in answers] == ["400", "800", "1024"]
        assert answers[-1]["resource"] == api.get("y").json()
        assert error(api.post("x/rewriteTo/b/b/o/other", rewriteToken=token)) == (400, "invalid")
        assert server.billed()["A"] == 3, "upload, patch and the rewrite: however many calls, it is one operation"

    def test_composed(self, api: Api, x: str) -> None:
        api.put("y", b"end")
        body = {"sourceObjects": [{"name": "x", "generation": x}, {"name": "y"}], "destination": {"contentType": "a/b"}}
        made = api.post("z/compose", body).json()
        assert (made["componentCount"], made["size"], made["contentType"]) == (2, "1027", "a/b")
        assert made["crc32c"] == crc32c(DATA + b"end")
        assert "md5Hash" not in made
        assert api.media("z").headers["X-Goog-Hash"] == f"crc32c={made['crc32c']}"
        assert error(api.post("z/compose", {"sourceObjects": [{"name": "none"}]})) == MISSING


def test_metadata_is_merged(api: Api) -> None:
    api.put("x", DATA)
    for change, expected in [
        ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}),
        ({"a": None, "c": "3"}, {"b": "2", "c": "3"}),
    ]:
        assert api("PATCH", "/storage/v1/b/b/o/x", json={"metadata": change}).json()["metadata"] == expected
    assert "metadata" not in api("PATCH", "/storage/v1/b/b/o/x", json={"metadata": None}).json()


def test_buckets(api: Api) -> None:
    made = api("POST", "/storage/v1/b?project=p", json={"name": "new", "versioning": {"enabled": True}}).json()
    assert made["versioning"] == {"enabled": True}
    assert error(api("POST", "/storage/v1/b?project=p", json={"name": "new"})) == (409, "conflict")
    assert [bucket["name"] for bucket in api("GET", "/storage/v1/b?project=p").json()["items"]] == ["b", "new", "v"]
    assert api("GET", "/storage/v1/b/new").json() == made
    permissions = ["storage.objects.get", "storage.objects.list"]
    layout = api("GET", "/storage/v1/b/new/storageLayout").json()
    assert (layout["bucket"], layout["hierarchicalNamespace"]) == ("new", {"enabled": False})
    answer = api("GET", "/storage/v1/b/new/iam/testPermissions", params={"permissions": permissions})
    assert answer.json()["permissions"] == permissions
    api.put("x", bucket="new")
    assert error(api("DELETE", "/storage/v1/b/new")) == (409, "conflict")
    api.delete("x", bucket="new", generation=api.get("x", bucket="new").json()["generation"])
    assert api("DELETE", "/storage/v1/b/new").status_code == 204
    assert error(api("GET", "/storage/v1/b/new")) == MISSING
    assert error(api.put("x", bucket="new")) == MISSING


def test_what_the_api_does_not_have(api: Api) -> None:
    assert error(api("GET", "/storage/v1/nonsense")) == MISSING
    assert error(api("POST", "/upload/storage/v1/b/b/o?uploadType=other")) == (400, "invalid")
    assert error(api("PATCH", "/storage/v1/b/b/o/x", data=b"no json")) == (400, "parseError")


class TestFaults:
    @pytest.mark.parametrize(("after", "there"), [(False, 404), (True, 200)])
    def test_come_before_or_after_the_effect(self, api: Api, server: GcsServer, after: bool, there: int) -> None:
        server.inject(Fault("POST objects.insert b/cat", status=503, after=after))
        assert api.put("dog").status_code == 200
        assert error(api.put("cat")) == (503, "backendError")
        assert api.get("cat").status_code == there

    @pytest.mark.parametrize(("after", "there"), [(False, 404), (True, 200)])
    def test_reset_connections(self, api: Api, server: GcsServer, after: bool, there: int) -> None:
        server.inject(Fault("insert", reset=True, after=after))
        with pytest.raises(requests.ConnectionError, match="reset"):
            api.put("x")
        assert api.get("x").status_code == there

    def test_spoil_bodies(self, api: Api, server: GcsServer) -> None:
        api.put("x", DATA)
        server.inject(Fault("media", short=True), Fault("media", corrupt=True), Fault("media", delay=0.2))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            api.media("x")
        spoiled = api.media("x").content
        assert sum(a != b for a, b in zip(spoiled, DATA, strict=True)) == 1
        began = time.monotonic()
        assert api.media("x").content == DATA
        assert time.monotonic() - began > 0.2
        server.inject(Fault("insert", spoil=True))
        api.put("y", DATA)
        assert sum(a != b for a, b in zip(api.media("y").content, DATA, strict=True)) == 1

    def test_befall_so_many_or_such_a_share(self, api: Api, server: GcsServer) -> None:
        server.inject(Fault("list", status=500, times=2))
        assert [api("GET", "/storage/v1/b/b/o").status_code for _ in range(3)] == [500, 500, 200]
        outcomes = []
        for _ in range(2):
            server.forget()
            server.inject(Fault("list", status=500, times=None, share=0.3, seed=4))
            outcomes.append([api("GET", "/storage/v1/b/b/o").status_code for _ in range(40)])
        assert outcomes[0] == outcomes[1]
        assert 4 < outcomes[0].count(500) < 20

    def test_let_something_happen_meanwhile(self, api: Api, server: GcsServer) -> None:
        server.inject(Fault("insert", meanwhile=lambda: server.api.buckets["b"].insert("x", b"faster", {}, {})))
        assert error(api.put("x", b"slower", ifGenerationMatch=0)) == FAILED

    def test_of_other_requests_do_not_wait(self, server: GcsServer) -> None:
        server.inject(Fault(delay=0.3, times=None))
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: requests.get(f"{server.url}/storage/v1/b/b"), range(20)))
        assert time.monotonic() - began < 1.5


def test_every_request_is_written_down(api: Api, server: GcsServer) -> None:
    api.put("a/b", DATA)
    api.media("a/b")
    api.get("none")
    api.delete("a/b")
    said = [(str(call), call.billed, call.status, call.received, call.sent > 0) for call in server.calls]
    assert said == [
        ("POST objects.insert b/a/b", "A", 200, 1024, True),
        ("GET objects.media b/a/b", "B", 200, 0, True),
        ("GET objects.get b/none", "B", 404, 0, True),
        ("DELETE objects.delete b/a/b", "", 204, 0, False),
    ]
    assert server.billed() == {"A": 1, "B": 2}


def test_a_write_costs_the_same_among_100_000_objects(server: GcsServer) -> None:
    """What the old emulator could not: each write took as long as all before it together. In processor time, which
    a busy machine does not stretch.
    """
    bucket = server.api.buckets["b"]

    def seconds(names: list[str]) -> float:
        began = time.thread_time()
        for name in names:
            bucket.insert(name, b"", {}, {"ifGenerationMatch": "0"})
        return time.thread_time() - began

    few = seconds([f"a/{n * 7919 % 2000:06}" for n in range(2000)])
    seconds([f"b/{n * 7919 % 100_000:06}" for n in range(100_000)])
    assert seconds([f"a/{n * 7919 % 2000:06}x" for n in range(2000)]) < 10 * few


def test_what_fails_inside_of_the_server_fails_the_test() -> None:
    server = GcsServer().__enter__()
    server.make_bucket("b")
    requests.post(f"{server.url}/storage/v1/b/b/o/x/compose", json={"sourceObjects": [{}]})
    with pytest.raises(KeyError):
        server.__exit__()


def test_nothing_is_left_of_it() -> None:
    before = threading.active_count()
    with GcsServer() as server:
        idle = requests.Session()
        idle.get(f"{server.url}/storage/v1/b/none")
    assert threading.active_count() == before
    with pytest.raises(requests.ConnectionError):
        idle.get(f"{server.url}/storage/v1/b/none")
    idle.close()
