"""The label manifest: what a CSV or JSONL in the source says of its objects' labels."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from model_service.errors import StepError
from model_service.sorting import label_manifest
from model_service.storage import Store, open_store

WANTED = ["a.jpg", "zoo/b.jpg", "c.jpg"]
BOTH = {"a.jpg": ["Cat"], "zoo/b.jpg": ["polar bear"]}


@pytest.fixture
def source(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}")


def read(source: Store, data: str | bytes, wanted: list[str] = WANTED) -> dict[str, list[str]]:
    source.write_if_absent("labels", data if isinstance(data, bytes) else data.encode())
    return label_manifest.read(source, "labels", wanted)


@pytest.mark.parametrize(
    "data",
    [
        "name,label\na.jpg,Cat\nzoo/b.jpg,polar bear\n",
        "name,label\r\na.jpg,Cat\r\nzoo/b.jpg,polar bear",
        "name;label\na.jpg;Cat\nzoo/b.jpg;polar bear\n",
        "name\tlabel\na.jpg\tCat\nzoo/b.jpg\tpolar bear\n",
        "\ufeffname,label\na.jpg,Cat\nzoo/b.jpg,polar bear\n",
        '"name","label"\n"a.jpg","Cat"\n"zoo/b.jpg","polar bear"\n',
        "Label , taken, NAME\nCat,2024-05-17,a.jpg\npolar bear,,zoo/b.jpg\n",
        "name,label,note\na.jpg,Cat,\n\nzoo/b.jpg,polar bear\n",
        "name,label\na.jpg,Cat,\nzoo/b.jpg,polar bear,,\n",
        'name,label,note\na.jpg,Cat,"two\nlines, one cell"\nzoo/b.jpg,polar bear,"a ""quote"""\n',
        '{"name": "a.jpg", "label": "Cat"}\n{"name": "zoo/b.jpg", "label": "polar bear", "box": [1, 2]}\n',
        '\ufeff{"label": "Cat", "name": "a.jpg"}\r\n\r\n{"name": "zoo/b.jpg", "label": "polar bear"}',
    ],
)
def test_csv_and_jsonl_are_read_as_programs_write_them(source: Store, data: str) -> None:
    assert read(source, data) == BOTH


@pytest.mark.parametrize(
    "data", ["uri,label\n{}/a.jpg,Cat\n", '{{"uri": "{}/a.jpg", "label": "Cat"}}\n', "name,label\n{}/a.jpg,Cat"]
)
def test_an_object_may_be_named_by_its_uri(source: Store, data: str) -> None:
    assert read(source, data.format(source.uri)) == {"a.jpg": ["Cat"]}


def test_a_uri_comes_before_a_name_and_elsewhere_is_elsewhere(source: Store) -> None:
    rows = ["x.jpg,gs://other/a.jpg,Cat", f"x.jpg,{source.uri}/c.jpg,Dog", f"c.jpg,{source.uri}-not/a.jpg,Cat"]
    assert read(source, "\n".join(["name,uri,label", *rows])) == {"c.jpg": ["Dog"]}


def test_a_bucket_is_read_alike(cloud: Any) -> None:
    source = open_store(cloud.take())
    assert read(source, f"uri,label\n{source.uri}/a.jpg,Cat\ngs://other/a.jpg,Dog\n") == {"a.jpg": ["Cat"]}


def test_a_name_with_several_labels_has_them_all_once(source: Store) -> None:
    rows = ["a.jpg,Cat", "a.jpg,Dog", "a.jpg,Cat", "c.jpg,Dog", "c.jpg,Dog"]
    assert read(source, "\n".join(["name,label", *rows])) == {"a.jpg": ["Cat", "Dog"], "c.jpg": ["Dog"]}


@pytest.mark.parametrize(
    "data",
    [
        "name,label\na.jpg,\nc.jpg\nzoo/b.jpg, \n,Cat\n",
        '{"name": "a.jpg"}\n{"name": "c.jpg", "label": null}\n{"name": "zoo/b.jpg", "label": ""}\n'
        '{"name": "", "label": "Cat"}\n',
    ],
)
def test_a_row_without_a_label_or_name_says_nothing(source: Store, data: str) -> None:
    assert read(source, data) == {}


def test_names_are_compared_as_they_are(source: Store) -> None:
    rows = ["A.JPG,Cat", "./a.jpg,Cat", "%61.jpg,Cat", "c.jpg,Cat"]
    assert read(source, "\n".join(["name,label", *rows])) == {"c.jpg": ["Cat"]}


def test_blanks_around_a_name_are_no_part_of_it_unless_an_object_has_them(source: Store) -> None:
    rows = [" a.jpg ,Cat", f" {source.uri}/zoo/b.jpg,Dog", " c.jpg,Ant", "c.jpg,Bee"]
    found = read(source, "\n".join(["name,label", *rows]), [*WANTED, " c.jpg"])
    assert found == {"a.jpg": ["Cat"], "zoo/b.jpg": ["Dog"], " c.jpg": ["Ant"], "c.jpg": ["Bee"]}


def test_blanks_in_a_jsonl_were_meant(source: Store) -> None:
    data = '{"name": " a.jpg", "label": "Cat"}\n{"name": "c.jpg", "label": "Dog"}\n'
    assert read(source, data) == {"c.jpg": ["Dog"]}


@pytest.mark.parametrize("header", ["name,uri,label", "uri,name,label"])
def test_a_row_without_a_uri_is_about_its_name(source: Store, header: str) -> None:
    cells = {"name": "a.jpg", "uri": " ", "label": "Cat"}
    row = ",".join(cells[column] for column in header.split(","))
    assert read(source, f"{header}\n{row}\n") == {"a.jpg": ["Cat"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("name,label\nphotos/a.jpg,Cat\nb.jpg,Cat\n", "its first row is about 'photos/a.jpg'"),
        ("uri,label\ngs://other/a.jpg,Cat\n", "its first row is about 'gs://other/a.jpg'"),
        ('{"name": "a", "label": "Cat"}\n', "its first row is about 'a'"),
        ("name,label\n", "it has no rows"),
    ],
)
def test_a_table_about_other_names_is_no_reason_to_put_all_pictures_aside(source: Store, data: str, said: str) -> None:
    with pytest.raises(StepError) as refused:
        read(source, data)
    assert f"{source.uri}/labels names none of these 3 pictures: {said}" in refused.value.message
    assert "the first picture is 'a.jpg'" in refused.value.message
    assert "as its object is named in the bucket" in refused.value.remedy


@pytest.mark.parametrize("wanted", [[], ["_held/cat/x.jpg"]])
def test_a_table_need_not_name_what_tells_its_label_itself(source: Store, wanted: list[str]) -> None:
    assert read(source, "name,label\nb.jpg,Cat\n", wanted) == {}


def test_one_that_it_names_is_enough_and_was_perhaps_meant_without_a_label(source: Store) -> None:
    assert read(source, "name,label\nb.jpg,Cat\na.jpg,\n") == {}


HEADER = "its first line names the columns"


@pytest.mark.parametrize(
    ("data", "said", "remedy"),
    [
        ("", "line 1: it has no header", HEADER),
        ("\n", "line 1: '' is no header", HEADER),
        ("a.jpg,Cat\n", "line 1: 'a.jpg,Cat' is no header", HEADER),
        ("name,class\na.jpg,Cat\n", "line 1: 'name,class' is no header", HEADER),
        ("file,label\na.jpg,Cat\n", "line 1: 'file,label' is no header", HEADER),
        ("name,label\na.jpg,Cat\nb,1.jpg,Cat\n", "line 3: it has 3 cells, and the header 2", "between quotes"),
        ('name,label\na.jpg,"Cat\n', "line 2: unexpected end of data", "close every quote"),
        ('name,label\na.jpg,Cat\nc.jpg,"Cat" or so\n', "line 3: ',' expected after '\"'", "close every quote"),
        (b"name,label\na.jpg,Cat\nc.jpg,L\xf6we\n", "line 3: it is not UTF-8", "save it as UTF-8"),
        ("name,label\na.jpg,Cat\n".encode("utf-16"), "line 1: it is not UTF-8", "save it as UTF-8"),
        ('{"name": "a.jpg", "label": "Cat"}\n\n{"name": ', "line 3: it is no JSON", "write a line like"),
        ('[{"name": "a.jpg", "label": "Cat"}]', "line 1: it is no object with a name or uri", "write a line like"),
        ('{"name": "a.jpg", "label": "Cat"}\n7\n', "line 2: it is no object with a name or uri", "write a line like"),
        ('{"file": "a.jpg", "label": "Cat"}', "line 1: it is no object with a name or uri", "write a line like"),
        ('{"name": "a.jpg", "label": 7}', "line 1: name and label are no text", "write a line like"),
        ('{"a":' + "[" * 100_000, "line 1: it is no JSON", "write a line like"),
        (b"name,label\n" + b"x" * 1_100_000, "line 2: it is longer than a million bytes", "a row a line"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line_and_the_remedy(
    source: Store, data: str | bytes, said: str, remedy: str
) -> None:
    with pytest.raises(StepError) as refused:
        read(source, data)
    assert f"label manifest {source.uri}/labels, {said}" in refused.value.message
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "said"), [("", "none is named"), ("labels.csv", "there is no label manifest file://")]
)
def test_a_manifest_that_is_not_there_is_missed(source: Store, name: str, said: str) -> None:
    with pytest.raises(StepError, match=said) as refused:
        label_manifest.read(source, name, WANTED)
    assert "--label-manifest" in refused.value.remedy


def test_memory_does_not_grow_with_the_manifest(source: Store, tmp_path: Path) -> None:
    with (tmp_path / "labels").open("w") as file:
        file.write("name,label\n")
        file.writelines(f"folder/with/a/long/name/{n}.jpg,label {n}\n" for n in range(60_000))
    tracemalloc.start()
    found = label_manifest.read(source, "labels", ["folder/with/a/long/name/59999.jpg"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == {"folder/with/a/long/name/59999.jpg": ["label 59999"]}
    assert peak < 1_500_000 < (tmp_path / "labels").stat().st_size
