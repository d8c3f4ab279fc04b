"""A forecast rests on runs of the same size that the same back end made."""

from pathlib import Path

import pytest

from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger
from moe_lib.sweeps.forecast import forecast


def a_row(key: str, run: RunConfig, times: float, backend: str, speed: float) -> dict[str, object]:
    counts = count_parameters(run.model)
    return {
        "key": key,
        "n_params": times * counts.total,
        "n_params_active": times * counts.active,
        "backend": backend,
        "tokens_per_second": speed,
        "flops_per_token": 1e6,
        "threads": 1,
    }


def test_hours_come_from_the_nearest_rows_of_the_last_back_end(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    for index in range(7):
        ledger.append(a_row(f"slow {index}", small_run, 1, "loop", 10))
        ledger.append(a_row(f"large {index}", small_run, 100, "native", 1e4))
        ledger.append(a_row(f"near {index}", small_run, 1.1, "native", 1e3))
    table = forecast([small_run], {small_run.corpus: small_corpus}, ledger)
    assert table.loc[0, "core_hours"] == pytest.approx(table.loc[0, "flops"] / (1e3 * 1e6) / 3600)


def test_an_empty_ledger_forecasts_no_hours(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    table = forecast([small_run], {small_run.corpus: small_corpus}, Ledger(tmp_path / "none.jsonl"))
    assert table["core_hours"].isna().all()
