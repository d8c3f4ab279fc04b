"""Few-shot tasks from a folder of JSONL, scored as llm-foundry does (its README and `tasks_v0.3.yaml`).

Examples come from the same file without the tested row. The model chooses the answer of lowest MEAN nats per token
(`accuracy`; `accuracy_sum` uses the sum, as lm-evaluation-harness's `acc`). Tasks with two contexts and one
continuation compare the contexts. Two things differ: the same seed draws other rows as examples, and open questions
are scored by the first answer alone instead of by generation.
"""

import itertools
import random
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from moe_lib.data.slices import jsonl_rows
from moe_lib.errors import InputError
from moe_lib.evaluation.scoring import LanguageModel, Request, Score, encode_request, fits, score

SHOTS_SEED = 1234
ANSWER = "\nAnswer:"

# The paper's category (Section 4, Figure 10), number of examples, and the text between question and answer.
SETTINGS: dict[str, tuple[str, int, str]] = {
    "lambada_openai": ("language understanding", 0, ""),
    "hellaswag": ("language understanding", 0, ""),
    "winograd_wsc": ("language understanding", 3, ""),
    "winogrande": ("language understanding", 5, ""),
    "arc_easy": ("world knowledge", 3, ANSWER),
    "arc_challenge": ("world knowledge", 3, ANSWER),
    "triviaqa_sm_sub": ("world knowledge", 3, ""),
    "bigbench_qa_wikidata": ("world knowledge", 10, ""),
    "boolq": ("reading comprehension", 0, ANSWER),
    "squad": ("reading comprehension", 10, ""),
    "coqa": ("reading comprehension", 0, ""),
    "piqa": ("commonsense reasoning", 10, ANSWER),
    "copa": ("commonsense reasoning", 0, ""),
    "openbook_qa": ("commonsense reasoning", 10, ""),
    "commonsense_qa": ("commonsense reasoning", 0, ""),
}

# Kinds of rows, by the fields that they must have.
FIELDS = {
    "choices": ("query", "choices", "gold"),
    "schema": ("context_options", "continuation", "gold"),
    "continuation": ("context", "continuation"),
    "question": ("context", "answer"),
}


@dataclass(frozen=True)
class TaskRow:
    """One row as (context, answer) pairs, of which `gold` is right; a single pair if there is no choice."""

    options: tuple[tuple[str, str], ...]
    gold: int


@dataclass(frozen=True)
class Task:
    """A file of rows, with its category, number of examples, and delimiter."""

    name: str
    category: str
    shots: int
    delimiter: str
    rows: tuple[TaskRow, ...]


def read_tasks(folder: Path) -> list[Task]:
    """Every task of a folder; `InputError` names a folder without tasks, or the file, the line and the field."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(f"tasks = '{folder}' has to be a folder with files that end in .jsonl")
    return [read_task(file) for file in files]


def read_task(path: Path) -> Task:
    """The task of one file; a name that is not in `SETTINGS` gets no examples and the category `other`."""
    rows = []
    for number, fields in jsonl_rows(path):
        try:
            rows.append(_row(fields))
        except ValueError as error:
            raise InputError(f"{path}: line {number} {error}") from None
    category, shots, delimiter = SETTINGS.get(path.stem, ("other", 0, ""))
    if len(rows) <= shots:
        raise InputError(f"{path}: has {len(rows)} rows, and a task with {shots} examples needs at least {shots + 1}")
    return Task(path.stem, category, shots, delimiter, tuple(rows))


def _row(fields: Any) -> TaskRow:
    """One line as a row; the message of a `ValueError` continues a sentence that begins with the line's number."""
    if not isinstance(fields, dict):
        raise ValueError("is not a JSON object")
    kind = max(FIELDS, key=lambda kind: sum(field in fields for field in FIELDS[kind]))
    missing = [field for field in FIELDS[kind] if field not in fields]
    if missing:
        raise ValueError(f"lacks the field {missing[0]}")
    if kind == "choices":
        options = [(_text(fields["query"], "query"), choice) for choice in _texts(fields, "choices")]
    elif kind == "schema":
        continuation = _text(fields["continuation"], "continuation")
        options = [(context, continuation) for context in _texts(fields, "context_options")]
    else:
        answer = "continuation" if kind == "continuation" else "answer"
        options = [(_text(fields["context"], "context"), _text(fields[answer], answer))]
    gold = fields.get("gold", 0)
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(options):
        raise ValueError(f"has gold = {gold!r}, which has to be below its {len(options)} options")
    if any(not answer.strip() for _, answer in options):
        raise ValueError("has an empty answer")
    return TaskRow(tuple((context.strip(), answer.strip()) for context, answer in options), gold)


def _texts(fields: dict[str, Any], name: str) -> list[str]:
    if not isinstance(fields[name], list):
        raise ValueError(f"has {name} = {reprlib.repr(fields[name])}, which has to be a list")
    return [_text(one, name) for one in fields[name]]


def _text(value: Any, name: str) -> str:
    """A text, or a number as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"has {name} = {reprlib.repr(value)}, which has to be text")
    return str(value)


def run_task(model: LanguageModel, tokenizer: Tokenizer, task: Task, max_rows: int | None = None) -> dict[str, Any]:
    """Run a task, or at most `max_rows` evenly spaced rows of it.

    `nll` is that of right answers (nats per token); `accuracy` comes with its binomial standard error. `n_truncated`
    counts rows whose context did not fit and lost its beginning. `n_too_long` counts rows that were not asked, because
    an answer alone is longer than the model's context. Raises `InputError` if no row is left.
    """
    every = max(1, -(-len(task.rows) // max_rows)) if max_rows else 1
    tested = range(0, len(task.rows), every)
    generator = random.Random(SHOTS_SEED)
    asked: dict[int, list[Request]] = {}
    for index in tested:
        examples = _examples(task, index, generator)
        requests = [
            encode_request(tokenizer, [examples, ("\n" if examples else "") + context + task.delimiter], f" {answer}")
            for context, answer in task.rows[index].options
        ]
        if fits(model, requests):
            asked[index] = requests
    if not asked:
        raise InputError(f"{task.name}: every answer is longer than context_length = {model.config.context_length}")
    scores = iter(score(model, list(itertools.chain.from_iterable(asked.values()))))
    answered = [list(itertools.islice(scores, len(requests))) for requests in asked.values()]
    return {
        "category": task.category,
        "shots": task.shots,
        **_task_result([task.rows[index].gold for index in asked], answered),
        "n_too_long": len(tested) - len(asked),
    }


def _examples(task: Task, index: int, generator: random.Random) -> str:
    """Rows other than this one with their answers, one per line."""
    others = [other for other in range(len(task.rows)) if other != index]
    drawn = generator.sample(others, task.shots) if task.shots else []
    solved = (task.rows[other].options[task.rows[other].gold] for other in drawn)
    return "\n".join(f"{context}{task.delimiter} {answer}" for context, answer in solved)


def _task_result(golds: Sequence[int], answered: Sequence[Sequence[Score]]) -> dict[str, Any]:
    def hits(measure: Any) -> float:
        return float(
            np.mean(
                [
                    min(range(len(scores)), key=lambda i: measure(scores[i])) == gold
                    if len(scores) > 1
                    else scores[0].greedy
                    for gold, scores in zip(golds, answered, strict=True)
                ]
            )
        )

    n = len(answered)
    accuracy = hits(lambda one: one.nll_per_token)
    return {
        "n": n,
        "nll": float(np.mean([scores[gold].nll_per_token for gold, scores in zip(golds, answered, strict=True)])),
        "accuracy": accuracy,
        "accuracy_standard_error": float(np.sqrt(accuracy * (1 - accuracy) / n)),
        "accuracy_sum": hits(lambda one: one.nll),
        "chance": float(np.mean([1 / len(scores) if len(scores) > 1 else 0.0 for scores in answered])),
        "n_truncated": sum(any(one.truncated for one in scores) for scores in answered),
    }
