"""The champion pointer as the coordinator reads it. (Results: with each launcher.)"""

from __future__ import annotations

from pathlib import Path

import pytest
from menagerie import documents
from menagerie.documents import Damaged


def test_no_pointer_is_no_champion(tmp_path: Path) -> None:
    assert documents.champion(f"file://{tmp_path}/champion.json") is None


def test_a_pointer_may_name_no_version(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text('{"version": null, "previous": null, "run": "r1"}')
    assert documents.champion(f"file://{tmp_path}/champion.json") == {"version": None, "previous": None, "run": "r1"}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"null", b"\xff", b'{"version": "v1"}'])
def test_a_damaged_pointer_is_named_with_the_ways_out(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "champion.json").write_bytes(text)
    with pytest.raises(Damaged) as damage:
        documents.champion(f"file://{tmp_path}/champion.json")
    assert str(damage.value) == (
        f"file://{tmp_path}/champion.json does not name a champion: it is damaged. Restore an earlier version of it, or "
        "delete it (a first model is trained then), and clear the task."
    )
