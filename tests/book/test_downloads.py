"""The ledger can be downloaded in formats that agree, and every column of it is explained."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

import chapters
import downloads
from edition import DIGITS, Edition
from moe_lib.ledger import Ledger
from moe_lib.repository import LEDGER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    downloads.write_ledger(folder)
    return folder


def test_all_formats_have_every_run_with_the_same_numbers(folder: Path) -> None:
    rows = {row["key"]: row for row in Ledger(LEDGER).rows()}
    parquet = pd.read_parquet(folder / "runs.parquet").set_index("key")
    text = pd.read_csv(folder / "runs.csv", low_memory=False).set_index("key")
    assert parquet.index.tolist() == text.index.tolist() == list(rows)
    for key, row in list(rows.items())[:: max(1, len(rows) // 20)]:
        assert parquet.loc[key, "loss"] == row["loss"]
        assert text.loc[key, "loss"] == pytest.approx(row["loss"], rel=1e-15)
        assert parquet.loc[key, "config.model.d_model"] == row["config"]["model"]["d_model"]
        assert parquet.loc[key, "curve.loss"].tolist() == row["curve"]["loss"]
        assert json.loads(text.loc[key, "curve.loss"]) == row["curve"]["loss"]


def test_every_column_is_explained(folder: Path) -> None:
    columns = pd.read_csv(folder / "runs-columns.csv").set_index("column")
    assert columns.index.tolist() == pd.read_parquet(folder / "runs.parquet").columns.tolist()
    assert columns.loc["loss", "unit"] == "nats per token"
    assert columns.loc["probes.two_hop.all.nll", "meaning"] == "Nats of the right answer."
    assert columns["meaning"].notna().all()


def test_a_column_without_an_explanation_stops_the_build() -> None:
    with pytest.raises(KeyError, match=r"probes\.new is not in experiments/columns\.yaml"):
        downloads.described(pd.DataFrame({"loss": [1.0], "probes.new": [2.0]}))


def test_every_file_that_is_offered_is_made(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == downloads.FILES.keys()
    assert set(re.findall(r'href="\.\./downloads/([^"]+)"', downloads.as_list())) == set(downloads.FILES)


def test_the_citation_of_the_page_is_that_of_the_repository() -> None:
    page = (chapters.ROOT / "book/downloads.md").read_text(encoding="utf-8")
    citation = (chapters.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    [version] = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    assert f"version = {{{version}}}" in page


def test_an_edition_names_commit_date_and_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "runs.jsonl"
    ledger.write_text("{}\n")
    digest = hashlib.sha256(b"{}\n").hexdigest()
    assert str(Edition("abc", "2026-11-24", digest)) == f"Edition abc of 2026-11-24, ledger {digest[:DIGITS]}"
    assert str(Edition.of(tmp_path, ledger)) == f"Edition an unversioned copy, ledger {digest[:DIGITS]}"
