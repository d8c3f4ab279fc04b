"""A forecast rests on runs of the same size that the same back end made."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger, Row
from moe_lib.sweeps.forecast import forecast


@pytest.fixture
def a_row(make_row: Callable[..., Row]) -> Callable[..., Row]:
    """`a_row(run, times, backend, speed)`: a row of another seed each time, of `times` the size of a run."""
    seeds = itertools.count()

    def made(run: RunConfig, times: float, backend: str, speed: float) -> Row:
        counts = count_parameters(run.model)
        return make_row(
            next(seeds),
            n_params=times * counts.total,
            n_params_active=times * counts.active,
            backend=backend,
            tokens_per_second=speed,
            flops_per_token=1e6,
            threads=1,
        )

    return made


def hours(run: RunConfig, corpus: TokenCorpus, ledger: Ledger) -> float:
    """The hours forecast for a run, in those of a machine at 1,000 tokens per second."""
    [row] = forecast([run], {(run.corpus, run.model.vocab_size): corpus}, ledger).to_dict("records")
    return row["core_hours"] * 3600 * 1e3 * 1e6 / row["flops"]


def test_hours_come_from_the_nearest_rows_of_the_last_back_end(
    a_row: Callable[..., Row], small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    for _ in range(15):
        ledger.append(a_row(small_run, 1, "loop", 10))
        ledger.append(a_row(small_run, 100, "native", 1e4))
        ledger.append(a_row(small_run, 1.1, "native", 1e3))
    assert hours(small_run, small_corpus, ledger) == pytest.approx(1)


def test_rows_of_a_busy_machine_do_not_make_a_sweep_look_longer(
    a_row: Callable[..., Row], small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    for index in range(15):
        ledger.append(a_row(small_run, 1, "native", 250 if index < 7 else 1e3))
    assert hours(small_run, small_corpus, ledger) == pytest.approx(1)


def test_rows_without_a_speed_say_nothing(
    a_row: Callable[..., Row],
    make_row: Callable[..., Row],
    small_run: RunConfig,
    small_corpus: TokenCorpus,
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append(a_row(small_run, 1, "native", 0.0))
    ledger.append(make_row(100))
    assert np.isnan(hours(small_run, small_corpus, ledger))
    ledger.append(a_row(small_run, 1, "native", 1e3))
    ledger.append(make_row(101, tokens_per_second=5.0))
    assert hours(small_run, small_corpus, ledger) == pytest.approx(1)


def test_an_empty_ledger_forecasts_no_hours(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    assert np.isnan(hours(small_run, small_corpus, Ledger(tmp_path / "none.jsonl")))


def test_a_corpus_counts_for_one_vocabulary_only(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    other = small_run.with_(model=small_run.model.with_(vocab_size=301))
    corpora = {(small_run.corpus, small_run.model.vocab_size): small_corpus}
    table = forecast([small_run, other], corpora, Ledger(tmp_path / "none.jsonl"))
    assert table["epochs"].isna().tolist() == [False, True]
