"""A trained model beside the same model untrained, as one table."""

from pathlib import Path
from typing import Any

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import World
from moe_lib.evaluation import evaluate
from moe_lib.evaluation.tasks import read_tasks, run_task
from moe_lib.model import Transformer


def compare(
    trained: Transformer,
    untrained: Transformer,
    corpus: TokenCorpus,
    world: World | None,
    tasks: Path | None,
    max_rows: int | None,
) -> dict[str, Any]:
    """Both models' evaluation, and `table`: a row a probe or task, with `notes` on contexts that were cut."""
    read = read_tasks(tasks) if tasks else []
    report: dict[str, Any] = {}
    for name, model in (("trained", trained), ("untrained", untrained)):
        report[name] = evaluate(model, corpus, world)
        report[name]["tasks"] = {task.name: run_task(model, corpus.tokenizer, task, max_rows) for task in read}
    rows = _probe_rows(report["trained"]["probes"], report["untrained"]["probes"])
    rows += [
        _row(f"{one['category']}: {name}", one, report["untrained"]["tasks"][name])
        for name, one in report["trained"]["tasks"].items()
    ]
    notes = _notes(report["trained"]["tasks"], trained.config.context_length)
    return {**report, "table": rows, "notes": notes}


def _notes(tasks: dict[str, Any], limit: int) -> list[str]:
    notes = []
    for name, one in tasks.items():
        if one["n_truncated"]:
            cut = f"{one['n_truncated']} of {one['n']} contexts are longer than {limit} tokens and lost their beginning"
            notes.append(f"{name}: {cut}")
        if one["n_too_long"]:
            notes.append(f"{name}: {one['n_too_long']} rows were not asked, as an answer is longer than {limit} tokens")
    return notes


def _probe_rows(trained: dict[str, Any], untrained: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [
        _row(f"{probe.replace('_', ' ')}: {group.replace('_', ' ')}", answers, untrained[probe][group])
        for probe, groups in trained.items()
        for group, answers in groups.items()
        if isinstance(answers, dict) and "nll" in answers
    ]
    for name, gain in trained.get("knowledge", {}).items():
        one, other = ({"n": result["n"], "nll": result["mean"]} for result in (gain, untrained["knowledge"][name]))
        rows.append(_row(f"knowledge: {name.replace('_', ' ')}", one, other))
    for probe, fields in (("repeated_passages", ("first", "second")), ("associative_recall", ("repeated", "others"))):
        for field in fields:
            if trained[probe].get(field) is not None:
                name = f"{probe.replace('_', ' ')}: {field}"
                one, other = (
                    {"n": result[probe].get("n"), "nll": result[probe][field]} for result in (trained, untrained)
                )
                rows.append(_row(name, one, other))
    return rows


def _row(question: str, trained: dict[str, Any], untrained: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": question,
        "n": trained["n"],
        "nll": trained["nll"],
        "untrained_nll": untrained["nll"],
        "accuracy": trained.get("accuracy"),
        "untrained_accuracy": untrained.get("accuracy"),
        "chance": trained.get("chance"),
    }
