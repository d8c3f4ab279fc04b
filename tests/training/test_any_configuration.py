"""Any configuration: what is accepted trains a step, and what is refused says why in one sentence."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import ModelConfig, RunConfig, TrainingConfig, read_yaml
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation import evaluate
from moe_lib.evaluation.report import report_of
from moe_lib.model import build_model
from moe_lib.training import execute, train

FIELDS = (*ModelConfig.model_fields, *TrainingConfig.model_fields, *RunConfig.model_fields, "sparsity")
NONSENSE = st.one_of(
    st.sampled_from([None, True, False, "64", "many\nlines", "", [], {}, {"d_model": 8}, {1: 2}, b"8", 8.5]),
    st.sampled_from([0, -1, -(2**40), 2**31, 10**12, 10**400, float("nan"), float("inf"), float("-inf"), -1.0, 1e300]),
)


def positive(smallest: float, largest: float) -> st.SearchStrategy[float]:
    return st.floats(smallest, largest, exclude_min=smallest == 0)


MODELS = st.fixed_dictionaries(
    {
        "d_model": st.sampled_from([4, 8, 12, 24]),
        "n_layers": st.integers(1, 2),
        "n_heads": st.sampled_from([1, 2]),
        "n_experts": st.sampled_from([6, 5, 1]),
        "n_experts_active": st.sampled_from([1, 1, 1, 5]),
        "granularity": st.sampled_from([1, 2, 4, 16]),
        "vocab_size": st.integers(300, 310),
        "context_length": st.integers(2, 17),
    },
    optional={
        "tied_embeddings": st.booleans(),
        "qk_norm": st.booleans(),
        "qk_bias": st.booleans(),
        "scaled_gates": st.booleans(),
        "rope_base": positive(1, 1e30),
        "embedding_multiplier": st.floats(1e-3, 1e3),
    },
)
TRAININGS = st.fixed_dictionaries(
    {"flops": st.sampled_from([1e-9, 1e6, 1e7, 1e30]), "max_epochs": positive(1, 1e30)},
    optional={
        "batch_size": st.integers(1, 5),
        "learning_rate": positive(1e-12, 1e6),
        "warmup_fraction": st.floats(0, 1),
        "final_learning_rate_fraction": st.floats(0, 1),
        "weight_decay": st.floats(0, 1),
        "output_init": st.floats(0, 1),
        "muon_rate": st.none() | positive(1e-12, 1e6),
        "beta1": st.floats(0, 1, exclude_max=True),
        "beta2": st.floats(0, 1, exclude_max=True),
        "epsilon": positive(1e-30, 1),
        "gradient_clip": positive(0, 1e30),
        "load_balance_weight": st.floats(0, 1e3),
        "router_z_weight": st.floats(0, 1e3),
        "fact_share": st.floats(0, 0.5),
        "router_rate": positive(1e-9, 1e9),
        "expert_spread": positive(1e-9, 1),
        "seed": st.integers(0, 2**31 - 1),
    },
)


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """A run's fields: mostly sane, often with a value or a name that is not."""
    run: dict[str, Any] = {"model": draw(MODELS), "training": draw(TRAININGS)}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        part = draw(st.sampled_from([run, run["model"], run["training"]]))
        if isinstance(part, dict):
            part[draw(st.sampled_from([*FIELDS, "topk"]))] = draw(NONSENSE)
    return run


def is_a_sentence_about_a_field(error: InputError) -> bool:
    text = str(error)
    return "\n" not in text and len(text) < 400 and any(name in text for name in (*FIELDS, "topk"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=fields())
def test_any_configuration_trains_a_step_or_is_refused_in_a_sentence(
    fields: dict[str, Any], small_corpus: TokenCorpus
) -> None:
    try:
        run = RunConfig(**fields)
        plan(run).require_memory(10**9)
        plan(run).require_epochs(plan(run).epochs(len(small_corpus.train)))
        trained = train(run.with_(training=run.training.with_(flops=1e-9)), small_corpus)  # a single step
    except InputError as error:
        event("refused")
        assert is_a_sentence_about_a_field(error), error  # noqa: PT017
        return
    event("trained")
    assert torch.isfinite(trained.losses).all()
    gradients = [weight.grad for weight in trained.model.parameters() if weight.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(torch.isfinite(weight).all() for weight in trained.model.parameters())


@pytest.mark.parametrize("context_length", [2, 3, 5, 16, 40])
def test_a_short_context_trains_and_is_evaluated(
    context_length: int, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    run = small_run.with_(
        model=small_run.model.with_(context_length=context_length), training=small_run.training.with_(flops=1e-9)
    )
    row = execute(run, small_corpus, evaluate)
    json.dumps(row, allow_nan=False)
    assert row["loss"] < 2 * math.log(300)
    assert row["probes"]["minimal_pairs"]["agreement"]["n_too_long"] > 0
    model = build_model(run.model, seed=0).eval()
    report = report_of(model, model, small_corpus, None, None, None)
    assert any("minimal pairs: agreement:" in note and "were not asked" in note for note in report["notes"])


MAY_BE_LARGE = ("flops", "router_rate", "rope_base", "max_epochs", "gradient_clip")
MAY_BE_ZERO = (
    *("warmup_fraction", "final_learning_rate_fraction", "weight_decay", "beta1", "beta2", "fact_share"),
    *("load_balance_weight", "router_z_weight", "output_init", "seed"),
)
MAY_BE_EIGHT = ("learning_rate", "load_balance_weight", "router_z_weight", "embedding_multiplier", "muon_rate")


@given(name=st.sampled_from([*ModelConfig.model_fields, *TrainingConfig.model_fields]), value=NONSENSE)
def test_nonsense_in_any_field_is_refused_and_the_field_named(name: str, value: object) -> None:
    part = "model" if name in ModelConfig.model_fields else "training"
    run = {"model": {"d_model": 8, "n_layers": 1, "n_heads": 2}, "training": {"flops": 1e9}}
    run[part][name] = value  # type: ignore[assignment]
    is_number = type(value) in (int, float)
    allowed = (
        (isinstance(value, bool) and name in ("tied_embeddings", "qk_norm", "qk_bias", "scaled_gates"))
        or (is_number and value == 0 and name in MAY_BE_ZERO)
        or (is_number and 1 < value < 1e13 and name in MAY_BE_LARGE)  # type: ignore[operator]
        or (value == 8.5 and name in MAY_BE_EIGHT)
        or (value is None and name == "muon_rate")
    )
    assume(not allowed)
    with pytest.raises(InputError) as refusal:
        RunConfig(**run)
    assert str(refusal.value).startswith((f"{part}.{name}", f"{part}.d_model / n_heads", f"{part}.granularity"))
    assert is_a_sentence_about_a_field(refusal.value)


@pytest.mark.parametrize("change", [{"n_layers": 10**6, "d_model": 4096}, {"n_experts": 2**30}, {"vocab_size": 2**30}])
def test_a_model_that_plainly_does_not_fit_into_memory_is_refused_before_it_is_allocated(
    change: dict[str, int], small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    giant = small_run.with_(
        model=small_run.model.with_(**change),
        training=small_run.training.with_(flops=1.0, max_epochs=1e9),
    )
    with pytest.raises(
        InputError, match=r"^model with .* parameters, .* need at least .* GB of memory, and this machine has .* GB$"
    ):
        train(giant, small_corpus)


def test_the_memory_that_is_demanded_is_less_than_what_is_taken(small_run: RunConfig) -> None:
    """A lower bound: nothing that fits is refused. Weights alone take 16 bytes each."""
    weights = 16 * count_parameters(small_run.model).total
    schedule = plan(small_run)
    assert weights < schedule.n_bytes < 3 * weights
    schedule.require_memory(schedule.n_bytes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {d_model: 1e2}", "model.d_model = 100.0 is not allowed: input should be a valid integer"),
        ("1: 2", "run.yaml: has to be a mapping"),
        ("model: {1: 2}", "every field name has to be a string"),
        ("a: 2001-99-99", "run.yaml: is not valid YAML"),
        ("a: " + "[" * 5000, "run.yaml: is not valid YAML"),
        (
            "{model: {d_model: 8, n_layers: 1, n_heads: 1}, training: {flops: 1}, corpus: ''}",
            "corpus = '' is not allowed",
        ),
    ],
)
def test_a_file_of_nonsense_is_refused_in_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(InputError) as refusal:
        RunConfig.from_yaml(tmp_path / "run.yaml")
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flops=st.floats(1e-9, 1e29))
def test_numbers_of_a_file_are_read_as_they_are_written(flops: float, tmp_path: Path) -> None:
    for text in (f"{flops!r}", f"{flops:e}", f"{flops:.0e}".replace("+", "")):
        (tmp_path / "run.yaml").write_text(f"flops: {text}")
        assert read_yaml(tmp_path / "run.yaml")["flops"] == float(text)
    assert yaml.safe_load("1e12") == "1e12"  # why there is a loader of our own
