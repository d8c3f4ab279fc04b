"""Compares a trained model with the same model untrained, as one table."""

from pathlib import Path
from typing import Any

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import World
from moe_lib.evaluation.record import evaluate
from moe_lib.evaluation.tasks import read_tasks, run_task
from moe_lib.model import Transformer


def report_of(
    trained: Transformer,
    untrained: Transformer,
    corpus: TokenCorpus,
    world: World | None,
    tasks: Path | None,
    max_rows: int | None,
) -> dict[str, Any]:
    """Both models' evaluation, a `table` with one row per probe or task, and `notes` on cut contexts and on questions
    that were not asked."""
    read = read_tasks(tasks) if tasks else []
    report: dict[str, Any] = {}
    for name, model in (("trained", trained), ("untrained", untrained)):
        report[name] = evaluate(model, corpus, world)
        report[name]["tasks"] = {task.name: run_task(model, corpus.tokenizer, task, max_rows) for task in read}
    rows = _probe_rows(report["trained"]["probes"], report["untrained"]["probes"])
    rows += [
        _beside(f"{one['category']}: {name}", one, report["untrained"]["tasks"][name])
        for name, one in report["trained"]["tasks"].items()
    ]
    notes = _notes(report["trained"], trained.config.context_length)
    return {**report, "table": rows, "notes": notes}


def _notes(trained: dict[str, Any], limit: int) -> list[str]:
    tasks = trained["tasks"]
    notes = [
        f"{name}: {one['n_truncated']} of {one['n']} contexts are longer than {limit} tokens and lost their beginning"
        for name, one in tasks.items()
        if one["n_truncated"]
    ]
    return notes + [
        f"{name}: {one['n_too_long']} questions were not asked, because an answer is longer than {limit} tokens"
        for name, one in (_answered(trained["probes"]) | tasks).items()
        if one["n_too_long"]
    ]


def _answered(probes: dict[str, Any]) -> dict[str, Any]:
    """Results by the printed name of a probe's group, without comparisons of two probes."""
    return {
        f"{probe}: {group}".replace("_", " "): answers
        for probe, groups in probes.items()
        for group, answers in groups.items()
        if isinstance(answers, dict) and "n_too_long" in answers
    }


def _probe_rows(trained: dict[str, Any], untrained: dict[str, Any]) -> list[dict[str, Any]]:
    before = _answered(untrained)
    rows = [_beside(name, answers, before[name]) for name, answers in _answered(trained).items() if answers["n"]]
    for name, gain in trained.get("knowledge", {}).items():
        if not gain["n"]:
            continue
        one, other = ({"n": result["n"], "nll": result["mean"]} for result in (gain, untrained["knowledge"][name]))
        rows.append(_beside(f"knowledge: {name.replace('_', ' ')}", one, other))
    for probe, fields in (("repeated_passages", ("first", "second")), ("associative_recall", ("repeated", "others"))):
        for field in fields:
            if trained[probe].get(field) is not None:
                name = f"{probe.replace('_', ' ')}: {field}"
                one, other = (
                    {"n": result[probe].get("n"), "nll": result[probe][field]} for result in (trained, untrained)
                )
                rows.append(_beside(name, one, other))
    return rows


def _beside(question: str, trained: dict[str, Any], untrained: dict[str, Any]) -> dict[str, Any]:
    return {
        "question": question,
        "n": trained["n"],
        "nll": trained["nll"],
        "untrained_nll": untrained["nll"],
        "accuracy": trained.get("accuracy"),
        "untrained_accuracy": untrained.get("accuracy"),
        "chance": trained.get("chance"),
    }
