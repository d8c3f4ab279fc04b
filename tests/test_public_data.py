"""Fetched public data: the pinned file, or nothing."""

import hashlib
import re
from pathlib import Path

import pytest

import public_data

PINNED = hashlib.sha256(b"N,D,L\n").hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A server's file."""
    served = tmp_path / "served.csv"
    served.write_bytes(b"N,D,L\n")
    return served


def test_the_pinned_file_is_brought_from_the_first_place_that_has_it(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "epoch.csv"
    assert public_data.fetch(target, PINNED, ((tmp_path / "absent.csv").as_uri(), place.as_uri())) == ""
    assert target.read_bytes() == place.read_bytes()


def test_another_file_is_refused_and_nothing_is_left(place: Path, tmp_path: Path) -> None:
    place.write_bytes(b"N,D,L\n1,2,3\n")
    target = tmp_path / "epoch.csv"
    assert "is not the file pinned" in public_data.fetch(target, PINNED, (place.as_uri(),))
    assert not target.exists()


def test_what_is_there_is_not_fetched_again(place: Path, tmp_path: Path) -> None:
    assert public_data.fetch(place, PINNED, ()) == ""


def test_every_file_is_pinned_to_a_commit_and_not_kept() -> None:
    kept_out = (public_data.ROOT / ".gitignore").read_text().splitlines()
    for file in public_data.FILES:
        assert len(file.sha256) == 64
        assert re.search("/[0-9a-f]{40}/", file.source)
        assert f"/experiments/public/{file.name}" in kept_out
