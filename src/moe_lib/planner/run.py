"""From a plan to the YAML of a run that `moe-lib train` accepts."""

import json
from pathlib import Path

import yaml

from moe_lib.config import ModelConfig, RunConfig, TrainingConfig
from moe_lib.files import whole_file
from moe_lib.planner.built import Built
from moe_lib.planner.family import Family
from moe_lib.repository import GRID, require


def run_config(built: Built, family: Family, corpus: str | None = None) -> RunConfig:
    """The run that trains a planned model by its family's recipe, without injected facts."""
    flops = float(built.training_flops)
    if family.training is None:
        run = _as_in_the_grid(built.model, flops)
    else:
        run = RunConfig(model=built.model, training=TrainingConfig(flops=flops, **family.training), corpus="redpajama")
    return run if corpus is None else run.with_(corpus=corpus)


def write_run(run: RunConfig, path: Path, comment: str = "") -> None:
    """Write a run's YAML atomically; `InputError` if the file exists."""
    fields = json.loads(run.model_dump_json(exclude_defaults=True))
    text = "".join(f"# {line}\n" for line in comment.splitlines()) + yaml.safe_dump(fields, sort_keys=False)
    with whole_file(path, new=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _as_in_the_grid(model: ModelConfig, flops: float) -> RunConfig:
    """A run with the fields that all runs of experiments/grid.yaml share, and the rates of its rules."""
    from moe_lib.sweeps import SweepConfig

    sweep = SweepConfig.from_yaml(require(GRID, "the recipe of the family 'ours'"))
    shared = {name: value for name, value in sweep.base["training"].items() if name != "fact_share"}
    fields = {
        "model": sweep.base.get("model", {}) | model.model_dump(exclude_defaults=True),
        "training": shared | {"flops": flops},
    }
    [run] = sweep.with_(base=sweep.base | fields, grid={}, blocks=[]).runs()
    return run
