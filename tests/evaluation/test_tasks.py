"""Few-shot tasks are read whole, scored as llm-foundry scores them, and nothing is dropped in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation.tasks import Task, TaskRow, read_task, read_tasks, run_task
from moe_lib.model import build_model

from .models import Copier, Guesser

SHARED = Path(__file__).resolve().parents[3] / "shared" / "icl"


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


CHOICE = {"query": "Grass is", "choices": ["green", "loud"], "gold": 0}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"query": "Grass is", "choices": ["green"]}, "line 2 lacks the field gold"),
        ({"context": "Grass is"}, "line 2 lacks the field continuation"),
        (CHOICE | {"choices": ["green", " "]}, "line 2 has an empty answer"),
        (CHOICE | {"gold": 2}, "line 2 has gold = 2, which has to be below its 2 options"),
        (CHOICE | {"choices": 5}, "line 2 has choices = 5, which has to be a list"),
        (CHOICE | {"choices": "right"}, "line 2 has choices = 'right', which has to be a list"),
        ({"context_options": "Ann", "continuation": "ran.", "gold": 1}, "line 2 has context_options = 'Ann'"),
        (["no", "object"], "line 2 is not a JSON object"),
        (CHOICE | {"query": None}, "line 2 has query = None, which has to be text"),
        (CHOICE | {"choices": ["right", {"wrong": 1}]}, "line 2 has choices = {'wrong': 1}, which has to be text"),
        (CHOICE | {"gold": True}, "line 2 has gold = True, which has to be below"),
        ({"context": "Ann", "continuation": False}, "line 2 has continuation = False, which has to be text"),
        (CHOICE | {"query": "half \ud800"}, "line 2 has to be JSON of whole characters in UTF-8"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, row: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_task(write(tmp_path / "task.jsonl", CHOICE, row))


@pytest.mark.parametrize("line", [b"no JSON", b'{"gold": 0, "gold": 1}', b'{"query": "caf\xe9"}', b"[" * 100_000])
def test_a_line_that_is_not_json_in_utf_8_is_named(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "task.jsonl", CHOICE)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(InputError, match=r"task\.jsonl: line 2 has to be JSON of whole characters in UTF-8"):
        read_task(path)


@pytest.mark.parametrize(("name", "n_examples"), [("piqa", 10), ("copa", 0)])
def test_a_task_needs_a_row_more_than_its_examples(tmp_path: Path, name: str, n_examples: int) -> None:
    assert len(read_task(write(tmp_path / f"{name}.jsonl", *[CHOICE] * (n_examples + 1))).rows) == n_examples + 1
    few = write(tmp_path / f"{name}.jsonl", *[CHOICE] * n_examples)
    sentence = f"has {n_examples} rows, and a task with {n_examples} examples needs at least {n_examples + 1}"
    with pytest.raises(InputError, match=sentence):
        read_task(few)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has to be a folder with files that end in"):
        read_tasks(tmp_path)


def test_every_form_of_row_is_read(tmp_path: Path) -> None:
    schema = {"context_options": ["Ann", "Bo"], "continuation": "ran.", "gold": 1}
    forms = {
        "choices": (CHOICE, TaskRow((("Grass is", "green"), ("Grass is", "loud")), 0)),
        "schema": (schema, TaskRow((("Ann", "ran."), ("Bo", "ran.")), 1)),
        "continuation": ({"context": "Grass is", "continuation": "green"}, TaskRow((("Grass is", "green"),), 0)),
        "question": ({"context": "Grass is", "answer": "green", "aliases": []}, TaskRow((("Grass is", "green"),), 0)),
    }
    for name, (fields, row) in forms.items():
        assert read_task(write(tmp_path / f"{name}.jsonl", fields)).rows == (row,)


def test_the_mean_token_decides_and_not_the_sum(small_corpus: TokenCorpus) -> None:
    long_and_right = TaskRow((("Ada counts", "12 tokens. 12 tokens. 12 tokens. 12 tokens."), ("Ada counts", "7")), 0)
    task = Task("t", "other", 0, "", (long_and_right,) * 3)
    result = run_task(Copier(small_corpus.vocab_size), small_corpus.tokenizer, task)
    assert result["accuracy"] == 1
    assert result["accuracy_sum"] == 0


def test_examples_never_show_the_row_that_is_asked(small_corpus: TokenCorpus) -> None:
    rows = tuple(TaskRow(((f"The colour of item {number} is", f"{number * 37}"),), 0) for number in range(6))
    result = run_task(Copier(small_corpus.vocab_size), small_corpus.tokenizer, Task("t", "other", 5, "", rows))
    assert result["accuracy"] == 0
    assert result["n"] == 6


def test_a_model_that_copies_answers_from_its_context(small_corpus: TokenCorpus) -> None:
    rows = tuple(TaskRow(((f"Now Sofia reads {n} tokens. Now Sofia reads", f"{n} tokens."),), 0) for n in range(10, 20))
    result = run_task(Copier(small_corpus.vocab_size), small_corpus.tokenizer, Task("t", "other", 0, "", rows))
    assert result["nll"] < 1


def test_cut_contexts_are_counted(small_corpus: TokenCorpus) -> None:
    rows = (TaskRow((("Ada counts 12 tokens. " * 20, "yes"),), 0), TaskRow((("Ada", "yes"),), 0))
    guesser = Guesser(small_corpus.vocab_size, context_length=32)
    assert run_task(guesser, small_corpus.tokenizer, Task("t", "other", 0, "", rows))["n_truncated"] == 1


def test_rows_whose_answer_is_longer_than_the_context_are_counted(small_corpus: TokenCorpus) -> None:
    rows = (TaskRow((("Ada", "counts 12 tokens. " * 40),), 0), TaskRow((("Ada", "yes"),), 0))
    guesser = Guesser(small_corpus.vocab_size, context_length=32)
    result = run_task(guesser, small_corpus.tokenizer, Task("t", "other", 0, "", rows))
    assert (result["n"], result["n_too_long"]) == (1, 1)
    with pytest.raises(InputError, match="t: every answer is longer than context_length = 32"):
        run_task(guesser, small_corpus.tokenizer, Task("t", "other", 0, "", rows[:1]))


def test_the_papers_tasks_have_their_categories_and_a_guessers_accuracy_is_chance(prose_corpus: TokenCorpus) -> None:
    if not SHARED.is_dir():
        pytest.skip("shared/icl is not beside the checkout")
    tasks = read_tasks(SHARED)
    assert len(tasks) == 12
    assert {task.category for task in tasks} == {
        "language understanding",
        "world knowledge",
        "reading comprehension",
        "commonsense reasoning",
    }
    model = build_model(ModelConfig(d_model=8, n_layers=1, n_heads=1, vocab_size=prose_corpus.vocab_size), 0)
    for task in tasks:
        result = run_task(model, prose_corpus.tokenizer, task, max_rows=20)
        assert 1 <= result["n"] <= 20
        assert abs(result["accuracy"] - result["chance"]) < 0.5
