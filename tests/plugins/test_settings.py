"""Settings: what stands when nothing is set, and how a wrong value is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from menagerie.settings import SettingsError, read, settings

from tests.plugins.airflow_home import BUCKETS, REPO


def test_by_default_everything_stands_in_the_checkout() -> None:
    found = read({})
    assert found.launcher == "local"
    assert found.home == REPO
    assert found.buckets == f"file://{REPO}/.menagerie/buckets/"
    assert found.model_python == REPO / ".menagerie/venv/model/bin/python"
    assert found.site == f"file://{REPO}/.menagerie/site/site.json"
    assert found.site_url == "http://127.0.0.1:5000"
    assert found.schedule == "30 14 * * *"
    assert found.retry_delay == 60


def test_the_home_folder_moves_what_stands_in_it() -> None:
    found = read({"MENAGERIE_HOME": "/srv/menagerie"})
    assert found.home == Path("/srv/menagerie")
    assert found.bucket("animals_all") == "file:///srv/menagerie/.menagerie/buckets/animals_all"
    assert found.model_python == Path("/srv/menagerie/.menagerie/venv/model/bin/python")


def test_an_empty_variable_is_an_unset_one() -> None:
    assert read({"MENAGERIE_BUCKETS": "", "MENAGERIE_RETRY_DELAY": ""}) == read({})


@pytest.mark.parametrize(
    ("buckets", "bucket"),
    [
        ("gs://", "gs://animals_all"),
        ("gs://acme", "gs://acme-animals_all"),
        ("gs://acme-", "gs://acme-animals_all"),
        ("gs://acme_", "gs://acme_animals_all"),
        ("file:///srv/b", "file:///srv/b/animals_all"),
        ("file:///srv/b/", "file:///srv/b/animals_all"),
    ],
)
def test_a_bucket_is_the_prefix_and_its_name(buckets: str, bucket: str) -> None:
    assert read({"MENAGERIE_BUCKETS": buckets}).bucket("animals_all") == bucket


def test_no_schedule() -> None:
    assert read({"MENAGERIE_SCHEDULE": "none"}).schedule is None
    assert read({"MENAGERIE_SCHEDULE": "@hourly"}).schedule == "@hourly"


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("LAUNCHER", "kubernetes", "one of: local"),
        ("BUCKETS", "s3://acme", "gs:// or gs://<prefix>- in the cloud"),
        ("BUCKETS", "gs://acme/animals", "gs:// or gs://<prefix>- in the cloud"),
        ("BUCKETS", "file://buckets", "file:///<absolute folder>/ on a laptop"),
        ("BUCKETS", "/srv/buckets", "file:///<absolute folder>/ on a laptop"),
        ("SITE", "site.json", "the URI of a document"),
        ("SITE_URL", "localhost:5000", "an address such as http://127.0.0.1:5000"),
        ("SCHEDULE", "every day", "a cron expression of five fields"),
        ("RETRY_DELAY", "soon", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "-1", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "3601", "seconds, from 0 to 3600"),
        ("RETRY_DELAY", "nan", "seconds, from 0 to 3600"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_the_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read({f"MENAGERIE_{variable}": value})
    assert str(refusal.value).startswith(f"MENAGERIE_{variable} is {value!r}; set it to ")
    assert remedy in str(refusal.value)


def test_settings_are_read_once_and_cannot_be_changed() -> None:
    assert settings() is settings()
    assert settings().buckets == f"file://{BUCKETS}/"
    with pytest.raises(FrozenInstanceError):
        settings().buckets = "gs://"  # type: ignore[misc]
