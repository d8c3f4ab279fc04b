"""Sweep files: every combination once, in the order of the file, and a clear message if one is wrong."""

from pathlib import Path

import pytest

from moe_lib.accounting import count_parameters, tokens_for_budget
from moe_lib.errors import InputError
from moe_lib.sweeps import read_sweep

GRID = """
base:
  model: {n_heads: 2}
  training: {flops: 1.0e+9}
grid:
  model: [{d_model: 16, n_layers: 1}, {d_model: 32, n_layers: 2}]
  model.sparsity: [0, 0.75, 0.9]
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    return file


def test_a_grid_is_the_product_of_its_lists(tmp_path: Path) -> None:
    runs = read_sweep(write(tmp_path, GRID))
    found = [(run.model.d_model, run.model.sparsity) for run in runs]
    assert found == [(16, 0), (16, 0.75), (16, 0.9), (32, 0), (32, 0.75), (32, 0.9)]
    assert {run.model.n_heads for run in runs} == {2}


def test_blocks_add_runs_and_none_comes_twice(tmp_path: Path) -> None:
    blocks = (
        GRID
        + """
blocks:
  - base: {model: {d_model: 16, n_layers: 1, sparsity: 0.75}, training: {flops: 1.0e+9}}
    grid: {training.seed: [0, 1, 2]}
"""
    )
    runs = read_sweep(write(tmp_path, blocks))
    assert len(runs) == 6 + 2
    assert len({run.key for run in runs}) == 8


def test_the_blocks_of_one_name_can_be_asked_for(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        GRID
        + """
blocks:
  - {name: seeds, base: {model: {d_model: 16, n_layers: 1}}, grid: {training.seed: [1, 2]}}
  - {name: wide, base: {model: {d_model: 64, n_layers: 1}}}
  - {name: seeds, base: {model: {d_model: 32, n_layers: 1}}, grid: {training.seed: [1]}}
""",
    )
    assert len(read_sweep(file)) == 6 + 2 + 1 + 1
    assert [(run.model.d_model, run.training.seed) for run in read_sweep(file, "seeds")] == [(16, 1), (16, 2), (32, 1)]
    assert len(read_sweep(file, "seeds", "wide")) == 4
    with pytest.raises(InputError, match="block = 'noise' has to be one of seeds, wide"):
        read_sweep(file, "noise")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("sparsity: [0, 0.75, 0.9]", "sparsity: [1.5]"), "sparsity = 1.5 has to be in"),
        (("d_model: 16", "d_modle: 16"), "model.d_modle is not a field here"),
        (("grid:", "girds:"), "girds is not a field here"),
        (("{flops: 1.0e+9}", "{}"), "training.flops is missing"),
        (("{flops: 1.0e+9}", ""), "training = None is not allowed"),
        (("{flops: 1.0e+9}", "[1]"), "training = [1] is not allowed"),
        (("{flops: 1.0e+9}", "much"), "training = 'much' is not allowed"),
        (("flops: 1.0e+9", "n_tokens: null"), "training.n_tokens = None is not allowed"),
        (("flops: 1.0e+9", "n_tokens: true"), "training.n_tokens = True is not allowed"),
        (("flops: 1.0e+9", "n_tokens: -5"), "training.n_tokens = -5 is not allowed"),
        (("flops", "n_tokens: 5000, flops"), "training.n_tokens and training.flops cannot both be given"),
        (("[0, 0.75, 0.9]", "0.75"), "grid.model.sparsity = 0.75 is not allowed"),
        (("[0, 0.75, 0.9]", "[]"), "grid.model.sparsity = [] is not allowed"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        read_sweep(write(tmp_path, GRID.replace(*change)))
    assert sentence in str(refusal.value)


def test_tokens_of_no_model_buy_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model = None is not allowed"):
        read_sweep(write(tmp_path, "base: {model: null, training: {n_tokens: 100}}"))
    with pytest.raises(InputError, match="model is missing"):
        read_sweep(write(tmp_path, "base: {training: {n_tokens: 100}}"))


def test_tokens_may_replace_a_budget(tmp_path: Path) -> None:
    for run in read_sweep(write(tmp_path, GRID.replace("flops: 1.0e+9", "n_tokens: 5000"))):
        assert tokens_for_budget(run.model, run.training.flops) == pytest.approx(5000)


def test_a_rule_gives_the_learning_rate_to_runs_that_name_none(tmp_path: Path) -> None:
    rule = GRID + "peak_rate: {at_reference: 0.01, density: 0.5, size: -0.5}\n"
    runs = read_sweep(write(tmp_path, rule))
    assert len({run.training.learning_rate for run in runs}) == len(runs)
    rates = {run.model.sparsity: run.training.learning_rate for run in runs[:3]}
    sizes = {run.model.sparsity: count_parameters(run.model).active for run in runs[:3]}
    assert rates[0.75] / rates[0] == pytest.approx(0.5 * (sizes[0.75] / sizes[0]) ** -0.5, rel=0.05)
    named = rule.replace("flops: 1.0e+9", "flops: 1.0e+9, learning_rate: 0.004")
    assert {run.training.learning_rate for run in read_sweep(write(tmp_path, named))} == {0.004}


def test_a_rule_for_muon_gives_its_rate_except_to_runs_that_name_one_or_none(tmp_path: Path) -> None:
    rule = GRID + "muon_rate: {at_reference: 0.05, budget: -0.25}\n"
    expected = float(f"{0.05 * (1e9 / 1e13) ** -0.25:.2g}")
    assert {run.training.muon_rate for run in read_sweep(write(tmp_path, rule))} == {expected}
    adam = rule.replace("flops: 1.0e+9", "flops: 1.0e+9, muon_rate: null")
    assert {run.training.muon_rate for run in read_sweep(write(tmp_path, adam))} == {None}


def test_a_grid_of_too_many_runs_is_refused_before_it_is_worked_out(tmp_path: Path) -> None:
    names = ("seed", "beta1", "beta2", "flops", "epsilon")
    grid = "".join(f"  training.{name}: {list(range(1, 100))}\n" for name in names)
    with pytest.raises(InputError, match="asks for more than 100,000 runs"):
        read_sweep(write(tmp_path, f"base: {{training: {{flops: 1}}}}\ngrid:\n{grid}"))
    block = f"  - grid: {{training.seed: {list(range(60_000))}}}\n"
    with pytest.raises(InputError, match="asks for more than 100,000 runs"):
        read_sweep(write(tmp_path, f"blocks:\n{block * 2}"))


def test_an_empty_name_is_not_every_block(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="block = '' has to be one of none"):
        read_sweep(write(tmp_path, GRID), "")
