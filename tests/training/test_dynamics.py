"""When a run's two transitions happened, and what a row keeps of them."""

import numpy as np
import pytest
import torch

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.bigrams import unigram_and_bigram_loss
from moe_lib.model.anatomy import OVERALL, PER_LAYER
from moe_lib.training import execute
from moe_lib.training.dynamics import dynamics, look_steps


def test_looks_are_even_in_the_logarithm_and_take_in_both_ends() -> None:
    steps = look_steps(5000)
    assert (steps[0], steps[1], steps[-1]) == (0, 25, 5000)
    assert np.ptp(np.log(np.divide(steps[2:], steps[1:-1]))) < 0.05
    assert look_steps(3) == [0, 1, 2, 3]


def test_transitions_are_found_where_they_were_put(small_corpus: TokenCorpus) -> None:
    unigram, bigram = unigram_and_bigram_loss(small_corpus)
    losses = torch.full((2000,), unigram)
    losses[700:] = bigram - 0.1
    steps = look_steps(2000)
    looks = torch.zeros(len(steps), len(OVERALL) + 2 * len(PER_LAYER))
    looks[:, 0] = 6.0
    looks[:, 1] = torch.tensor([6.0 if step < 900 else 4.5 for step in steps])
    found = dynamics(small_corpus, losses, looks)
    assert found["bigram_step"] == 710  # ten of the last twenty are low
    assert found["copy_step"] == next(step for step in steps if step >= 900)
    assert np.shape(found["token_share"]) == (len(steps), 2)


def test_transitions_that_never_came_are_none(small_corpus: TokenCorpus) -> None:
    unigram, _ = unigram_and_bigram_loss(small_corpus)
    looks = torch.zeros(len(look_steps(100)), len(OVERALL) + len(PER_LAYER))
    found = dynamics(small_corpus, torch.full((100,), unigram), looks)
    assert found["bigram_step"] is None
    assert found["copy_step"] is None


def test_a_row_says_how_its_run_learned(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    row = execute(small_run, small_corpus, lambda *_: {})
    assert row["dynamics"]["step"] == look_steps(row["n_steps"])
    assert all(len(row["dynamics"][name]) == len(row["dynamics"]["step"]) for name in (*OVERALL, *PER_LAYER))


def test_a_bigram_model_reaches_the_entropy_of_a_chain(small_corpus: TokenCorpus) -> None:
    """Sentences of the made-up text: after a name every verb is as likely as the other three, and so on."""
    unigram, bigram = unigram_and_bigram_loss(small_corpus)
    assert bigram < 0.6 * unigram


@pytest.mark.parametrize("states", [2, 5])
def test_the_bigram_loss_of_a_known_chain_is_its_conditional_entropy(states: int) -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(states), size=states)
    tokens = [0]
    uniform = rng.random(60_000)
    for u in uniform:
        tokens.append(int(np.searchsorted(chances[tokens[-1]].cumsum()[:-1], u)))
    chain = type("Chain", (), {"vocab_size": states, "train": np.array(tokens[:50_000], np.uint16),
                               "heldout": np.array(tokens[50_000:], np.uint16)})()  # fmt: skip
    share = np.bincount(tokens, minlength=states) / len(tokens)
    entropy = -(share[:, None] * chances * np.log(chances)).sum()
    _, bigram = unigram_and_bigram_loss(chain)
    assert bigram == pytest.approx(entropy, abs=0.02)
