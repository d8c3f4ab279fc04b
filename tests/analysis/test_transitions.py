"""The table of transitions: which recipe a run had, and how much of it each transition took."""

import numpy as np
import pytest

from moe_lib.analysis.transitions import by_variant, recipe_of, transition_table
from moe_lib.config import RunConfig

BASE = {"model": {"d_model": 8, "n_layers": 2, "n_heads": 2}, "training": {"flops": 1e9}}


def config(**changes: dict[str, float]) -> dict[str, dict[str, float]]:
    return RunConfig(**{part: BASE[part] | changes.get(part, {}) for part in BASE}).model_dump()


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("landed", {}),
        ("paper", {"model": {"embedding_multiplier": 5, "qk_bias": True}}),
        ("modern", {"model": {"embedding_multiplier": 5, "qk_bias": True}, "training": {"muon_rate": 0.05}}),
        (None, {"model": {"embedding_multiplier": 5}, "training": {"muon_rate": 0.05}}),
        (None, {"model": {"embedding_multiplier": 20, "qk_bias": True}}),
        (None, {"training": {"output_init": 0}}),
    ],
)
def test_recipes_go_by_what_a_run_was_trained_with(recipe: str | None, changes: dict[str, dict[str, float]]) -> None:
    assert recipe_of(config(**changes)) == recipe


def test_old_rows_without_the_new_fields_are_the_landed_recipe() -> None:
    old = config()
    for part, name in (
        ("model", "embedding_multiplier"),
        ("model", "qk_bias"),
        ("training", "muon_rate"),
        ("training", "output_init"),
    ):
        del old[part][name]
    assert recipe_of(old) == "landed"


def test_shares_are_of_the_run_and_missing_if_a_transition_never_came() -> None:
    row = {"status": "done", "config": config(), "sparsity": 0.0, "loss": 3.0, "n_steps": 200, "n_tokens": 1e6}
    seen = {"bigram_step": 50, "copy_step": None}
    table = transition_table([row | {"dynamics": seen}, row, row | {"status": "diverged", "dynamics": seen}])
    assert len(table) == 1
    assert table.loc[0, "bigram_share"] == 0.25
    assert np.isnan(table.loc[0, "copy_share"])


def test_seeds_are_counted_together_and_a_share_is_missing_if_most_of_them_never_copy() -> None:
    row = {"status": "done", "config": config(), "sparsity": 0.0, "n_steps": 200, "n_tokens": 1e6}
    seen = {"bigram_step": 50, "copy_step": 100}
    never = seen | {"copy_step": None}
    rows = [row | {"loss": loss, "dynamics": one} for loss, one in ((3.0, seen), (3.2, never), (3.4, never))]
    (one,) = by_variant(transition_table(rows)).to_dict("records")
    assert (one["n"], one["copies"], one["recipe"]) == (3, 1, "landed")
    assert one["loss"] == pytest.approx(3.2)
    assert one["spread"] == pytest.approx(0.4)
    assert np.isnan(one["copy_share"])
    (most,) = by_variant(transition_table([*rows[:1], *rows])).to_dict("records")
    assert np.isnan(most["copy_share"])  # half of the runs
    (most,) = by_variant(transition_table([*rows[:1] * 3, *rows])).to_dict("records")
    assert most["copy_share"] == 0.5
