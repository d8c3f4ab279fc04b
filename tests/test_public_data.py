"""Fetched public data: the pinned file, or nothing."""

import hashlib
from pathlib import Path

import pytest

import public_data


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server's file, pinned by its hash."""
    served = tmp_path / "served.csv"
    served.write_bytes(b"N,D,L\n")
    monkeypatch.setattr(public_data, "SHA256", hashlib.sha256(served.read_bytes()).hexdigest())
    return served


def test_the_pinned_file_is_brought_from_the_first_place_that_has_it(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "epoch.csv"
    assert public_data.fetch(target, ((tmp_path / "absent.csv").as_uri(), place.as_uri())) == ""
    assert target.read_bytes() == place.read_bytes()


def test_another_file_is_refused_and_nothing_is_left(place: Path, tmp_path: Path) -> None:
    place.write_bytes(b"N,D,L\n1,2,3\n")
    target = tmp_path / "epoch.csv"
    assert "is not the file pinned" in public_data.fetch(target, (place.as_uri(),))
    assert not target.exists()


def test_what_is_there_is_not_fetched_again(place: Path, tmp_path: Path) -> None:
    assert public_data.fetch(place, ()) == ""
