"""A sweep file: blocks of runs; a block combines a shared base with every combination of its grid's values.

```yaml
base:
  corpus: embedded
  training: {batch_size: 4, learning_rate: 5.0e-3}
grid:
  training.flops: [3.0e+12]
  model: [{d_model: 48, n_layers: 2, n_heads: 2}, {d_model: 64, n_layers: 2, n_heads: 2}]
  model.sparsity: [0, 0.75]
```

A name in `grid` is a path to a field; the fields of a value that is a mapping are merged in. The last name of a grid
varies fastest. `blocks`, a list of further `{name, base, grid}`, adds runs: each block's base overrides the file's, and
a name selects its blocks.
`peak_rate`, a rule of `peak_rate.PeakRate`, sets the learning rate of runs without one; `muon_rate` likewise sets
Muon's. `training.n_tokens` is replaced by the budget that buys this many tokens.
"""

import copy
import itertools
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from moe_lib.accounting import count_flops, count_parameters
from moe_lib.config import Config, ModelConfig, Positive, RunConfig
from moe_lib.errors import InputError
from moe_lib.sweeps.peak_rate import PeakRate

Fields = dict[str, Any]

MAX_RUNS = 100_000  # of one file


class Block(Config):
    """Runs that share a base, one for every combination of the grid's values."""

    name: str = ""
    base: Fields = Field(default_factory=dict)
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)


class SweepConfig(Block):
    """The content of a sweep file."""

    blocks: list[Block] = Field(default_factory=list)
    peak_rate: PeakRate | None = None
    muon_rate: PeakRate | None = None

    def runs(self, *names: str) -> list[RunConfig]:
        """Every run once, or only those of the named blocks, in the order of the file.

        `InputError` says what is wrong with a run, or lists the blocks if a name is unknown.
        """
        known = list(dict.fromkeys(block.name for block in self.blocks if block.name))
        for name in names:
            if name not in known:
                raise InputError(f"block = {name!r} has to be one of {', '.join(known) or 'none: no block has a name'}")
        fields = _product(self.base, self.grid) if not names and (self.grid or not self.blocks) else []
        for block in self.blocks:
            if names and block.name not in names:
                continue
            fields += _product(_merged(self.base, block.base), block.grid)
            _require_few(len(fields))
        runs = [self._run(one) for one in fields]
        return list({run.key: run for run in runs}.values())

    def _run(self, fields: Fields) -> RunConfig:
        training = fields.get("training", {})
        if isinstance(training, dict) and "n_tokens" in training:
            training = _with_budget(training, fields)
        run = RunConfig(**fields | {"training": training})
        rules = {"learning_rate": self.peak_rate, "muon_rate": self.muon_rate}
        counts = count_parameters(run.model)
        rates = {
            name: rule(counts.active, run.model.sparsity, run.training.flops)
            for name, rule in rules.items()
            if rule and name not in training
        }
        return run.with_(training=run.training.with_(**rates))


class _Tokens(Config):
    n_tokens: Positive


class _Purchase(Config):
    """Tokens, and the model that determines their FLOPs."""

    model: ModelConfig
    training: _Tokens


def _with_budget(training: Fields, fields: Fields) -> Fields:
    """The training fields with `n_tokens` replaced by the budget in FLOPs that buys them."""
    if "flops" in training:
        raise InputError("training.n_tokens and training.flops cannot both be given; leave one out")
    rest = {name: value for name, value in training.items() if name != "n_tokens"}
    model = {name: value for name, value in fields.items() if name == "model"}
    bought = _Purchase(**model | {"training": {"n_tokens": training["n_tokens"]}})
    return rest | {"flops": bought.training.n_tokens * count_flops(bought.model).total}


def read_sweep(path: Path | str, *blocks: str) -> list[RunConfig]:
    """The runs of a sweep file, or only those of the named blocks."""
    return SweepConfig.from_yaml(path).runs(*blocks)


def _require_few(count: int) -> None:
    if count > MAX_RUNS:
        raise InputError(f"grid asks for more than {MAX_RUNS:,} runs, which is the most of one file")


def _product(base: Fields, grid: dict[str, list[Any]]) -> list[Fields]:
    _require_few(math.prod(map(len, grid.values())))
    combinations = []
    for values in itertools.product(*grid.values()):
        fields = copy.deepcopy(base)
        for path, value in zip(grid, values, strict=True):
            fields = _merged(fields, _nested(path, value))
        combinations.append(fields)
    return combinations


def _nested(path: str, value: Any) -> Fields:
    if not path:
        raise InputError("grid has an empty name; a name is a path to a field, such as 'model.sparsity'")
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def _merged(under: Fields, over: Fields) -> Fields:
    """`under` with the values of `over`; nested mappings are merged."""
    result = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if both else value
    return result
