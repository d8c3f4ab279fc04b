"""Configurations: invalid input is rejected at once, in one sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_lib.config import (
    Config,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    experts_for_sparsity,
    read_yaml,
    with_settings,
)
from moe_lib.errors import InputError
from moe_lib.sweeps.grid import SweepConfig

MODEL = {"d_model": 48, "n_layers": 2, "n_heads": 2}
PAPER_SPARSITIES = {0: (1, 1), 0.25: (4, 3), 0.5: (2, 1), 0.75: (4, 1), 0.9: (10, 1), 0.95: (20, 1), 0.98: (50, 1)}


@pytest.mark.parametrize(("sparsity", "experts"), PAPER_SPARSITIES.items())
def test_sparsity_of_the_paper_means_one_base_mlp_per_token(sparsity: float, experts: tuple[int, int]) -> None:
    model = ModelConfig(**MODEL, sparsity=sparsity)
    assert (model.n_experts, model.n_experts_active) == experts
    assert model.n_experts_active == model.granularity
    assert model.sparsity == pytest.approx(sparsity)


@given(st.integers(1, 200), st.integers(1, 200))
def test_sparsity_is_the_share_of_experts_that_a_token_does_not_use(a: int, b: int) -> None:
    active, total = sorted((a, b))
    experts = experts_for_sparsity(1 - active / total)
    assert experts["n_experts_active"] * total == experts["n_experts"] * active


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"n_heads": 5}, "n_heads = 5 has to divide d_model = 48"),
        ({"n_heads": 16}, "d_model / n_heads = 3 has to be even for rotary positions"),
        ({"n_experts": 4, "n_experts_active": 5}, "n_experts_active = 5 has to be at most n_experts = 4"),
        ({"granularity": 5}, "granularity = 5 has to divide 4 d_model = 192"),
        ({"n_layers": 0}, "n_layers = 0 is not allowed: input should be greater than or equal to 1"),
        ({"topk": 2}, "topk is not a field here; check its spelling"),
        ({"sparsity": 1.0}, "sparsity = 1.0 has to be in [0, 1)"),
        ({"sparsity": "much"}, "sparsity = 'much' has to be a number in [0, 1)"),
        ({"sparsity": 0.5, "n_experts": 2}, "sparsity and n_experts cannot both be given; leave one out"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        ModelConfig(**MODEL | fields)
    assert str(refusal.value) == sentence


def test_a_wrong_nested_field_is_named_by_its_path() -> None:
    with pytest.raises(InputError, match=r"^training\.flops = -1\.0 is not allowed: .*greater than 0$"):
        RunConfig(model=MODEL, training={"flops": -1.0})


def test_a_run_is_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {d_model: 48, n_layers: 2, n_heads: 2, sparsity: 0.75}\ntraining: {flops: 1e12}\n")
    run = RunConfig.from_yaml(file)
    assert run.model.n_experts == 4
    assert run.training.flops == 1e12


@pytest.mark.parametrize("text", ["- a list", "model: [", ""])
def test_a_file_that_is_not_a_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(InputError, match=r"run\.yaml"):
        RunConfig.from_yaml(tmp_path / "run.yaml")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        RunConfig.from_yaml("nowhere.yaml")


def test_equal_runs_have_equal_keys_and_other_runs_have_others() -> None:
    run = RunConfig(model=ModelConfig(**MODEL), training=TrainingConfig(flops=1e12))
    assert run.key == RunConfig(model=MODEL, training={"flops": 1e12, "seed": 0}).key
    assert run.key != RunConfig(model=MODEL, training={"flops": 1e12, "seed": 1}).key


def test_keys_and_defaults_of_the_ledger_stay() -> None:
    """A changed default would change what old rows mean: add a field, never touch one."""
    run = RunConfig(model=ModelConfig(**MODEL, sparsity=0.75), training=TrainingConfig(flops=1e12))
    assert run.key == "d6c0de1c3f6e7dc0"
    defaults = run.training.model_dump() | run.model.model_dump()
    assert defaults["weight_decay"] == 1e-5
    assert (defaults["beta1"], defaults["beta2"], defaults["epsilon"]) == (0.9, 0.95, 1e-8)
    assert (defaults["load_balance_weight"], defaults["router_z_weight"]) == (0.02, 1e-3)
    assert (defaults["tied_embeddings"], defaults["qk_norm"], defaults["rope_base"]) == (True, True, 1e4)


ANY = "model: {d_model: 8, n_layers: 1, n_heads: 2}\ntraining: {flops: 1.0e+9"
DEEP = "a: " + "[" * 100_000
BROKEN_YAML = {
    "a field given twice": ANY + ", seed: 1, seed: 2}\n",
    "a mapping given twice": ANY + "}\nmodel: {}\n",
    "itself in a list": "blocks: &a [*a]\n",
    "itself in a mapping": "base: &a {b: *a}\n",
    "itself in a set": "base: &a !!omap [b: *a]\n",
    "nested without end": DEEP,
    "an invalid date": "a: !!timestamp x\n",
    "an invalid number": "a: !!int ''\n",
    "an invalid boolean": "a: !!bool x\n",
    "a tag of Python": "a: !!python/object:os.system x\n",
    "a list as a name": "? [1]\n: 2\n",
    "a control character": "a: \x07\n",
}


@pytest.mark.parametrize("what", BROKEN_YAML)
@pytest.mark.parametrize("kind", [RunConfig, SweepConfig])
def test_broken_yaml_is_a_sentence(what: str, kind: type[Config], tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(BROKEN_YAML[what])
    with pytest.raises(InputError, match=r"file\.yaml: is not valid YAML"):
        kind.from_yaml(path)


@pytest.mark.parametrize("written", ["010", "1:30", "0b11", "0x10", "1_000", "190:20:30.5", "00", "1_0.5"])
def test_a_number_of_old_yaml_is_not_read_as_another(written: str, tmp_path: Path) -> None:
    """YAML 1.1 takes 010 for 8, and 1:30 for 90."""
    (tmp_path / "file.yaml").write_text(f"x: {written}\ny: [1.5, -2, +3, 1e3, .5, 2., 0, -0, 1.0e-3, .inf]\n")
    content = read_yaml(tmp_path / "file.yaml")
    assert content["x"] == written
    assert content["y"] == [1.5, -2, 3, 1000.0, 0.5, 2.0, 0, 0, 0.001, float("inf")]


def test_a_merge_may_give_a_name_again(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("x: &base {seed: 1, flops: 2}\ny: {<<: *base, seed: 3}\n")
    assert read_yaml(path)["y"] == {"seed": 3, "flops": 2}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_a_regular_file_is_read(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "file.yaml")
    with pytest.raises(InputError, match=r"file\.yaml: has to be a regular file"):
        RunConfig.from_yaml(tmp_path / "file.yaml")


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "file.yaml", "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(InputError, match=r"file\.yaml: is larger than 16 MiB"):
        RunConfig.from_yaml(tmp_path / "file.yaml")


def test_settings_replace_fields_and_leave_the_rest() -> None:
    fields = {"model": {"d_model": 8}, "training": {"flops": 1e9}}
    changed = with_settings(fields, ["training.learning_rate=3e-3", "training.flops = 2e9", "corpus=embedded"])
    assert changed["training"] == {"flops": 2e9, "learning_rate": 3e-3}
    assert changed["model"] == {"d_model": 8}
    assert changed["corpus"] == "embedded"
    assert fields["training"] == {"flops": 1e9}


@pytest.mark.parametrize(
    "settings", [["training.flops"], ["=1"], ["a..b=1"], ["a="], ["a=1", "a=2"], ["model.d_model.x=1"], ["a=[1"]]
)
def test_other_settings_are_refused_in_a_sentence(settings: list[str]) -> None:
    with pytest.raises(InputError, match=r"^set = "):
        with_settings({"model": {"d_model": 8}}, settings)
