"""What the site offers as a whole: the ledger in three formats with its columns explained, and the citation."""

import html
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import yaml

from moe_lib.ledger import Ledger
from moe_lib.repository import EXPERIMENTS, LEDGER, ROOT

FILES = {
    "runs.csv": "the ledger, one row per run; lists are JSON",
    "runs.parquet": "the same, with types and nested lists",
    "runs.jsonl": "the ledger as the book reads it",
    "runs-columns.csv": "what its columns mean, with units",
    "CITATION.cff": "how to cite the paper and this book",
}


def as_list() -> str:
    """The downloads as an HTML list."""
    rows = (
        f'<li><a href="../downloads/{name}" download>{name}</a>: {html.escape(what)}</li>'
        for name, what in FILES.items()
    )
    return f'<ul class="downloads">{"".join(rows)}</ul>'


def write_ledger(folder: Path, path: Path = LEDGER) -> None:
    """Write the ledger as CSV, Parquet and JSONL, with a table of its columns."""
    folder.mkdir(parents=True, exist_ok=True)
    table = Ledger(path).table()
    table.to_parquet(folder / "runs.parquet", index=False)
    nested = table.map(lambda cell: json.dumps(cell) if isinstance(cell, list) else cell)
    nested.to_csv(folder / "runs.csv", index=False, lineterminator="\n")
    shutil.copyfile(path, folder / "runs.jsonl")
    described(table).to_csv(folder / "runs-columns.csv", index=False, lineterminator="\n")
    shutil.copyfile(ROOT / "CITATION.cff", folder / "CITATION.cff")


def described(table: pd.DataFrame) -> pd.DataFrame:
    """One row per column: name, unit, meaning, type, and how many runs have it; `KeyError` for an unknown column."""
    entries = yaml.safe_load((EXPERIMENTS / "columns.yaml").read_text(encoding="utf-8"))
    known = [(re.compile(_pattern(entry["name"])), entry) for entry in entries]
    rows = []
    for column in table:
        entry = next((entry for pattern, entry in known if pattern.fullmatch(str(column))), None)
        if entry is None:
            raise KeyError(f"{column} is not in experiments/columns.yaml; describe it there")
        filled = table[column].dropna()
        kind = type(filled.iloc[0]).__name__.rstrip("_") if len(filled) else ""
        rows.append([column, entry.get("unit", ""), entry["meaning"], kind, len(filled)])
    return pd.DataFrame(rows, columns=["column", "unit", "meaning", "type", "runs"])


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\*\*", ".+").replace(r"\*", "[^.]+")
