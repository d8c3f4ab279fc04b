"""Batches come by step number, in an order that the seed alone decides."""

import numpy as np
import pytest
import torch

from moe_lib.data import BatchStream
from moe_lib.errors import InputError

TOKENS = np.arange(1001, dtype=np.uint16)


def test_targets_are_inputs_one_token_on() -> None:
    inputs, targets = BatchStream(TOKENS, batch_size=3, context_length=10, seed=0).batch(5)
    assert inputs.shape == targets.shape == (3, 10)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(targets, inputs + 1)


def test_an_epoch_reads_every_window_once() -> None:
    stream = BatchStream(TOKENS, batch_size=4, context_length=10, seed=1)
    for epoch in range(2):
        starts = [int(row[0]) for step in range(25) for row in stream.batch(25 * epoch + step)[0]]
        assert sorted(starts) == list(range(0, 1000, 10))


def test_epochs_and_seeds_change_the_order() -> None:
    stream = BatchStream(TOKENS, batch_size=4, context_length=10, seed=1)
    other = BatchStream(TOKENS, batch_size=4, context_length=10, seed=2)
    assert not torch.equal(stream.batch(0)[0], stream.batch(25)[0])
    assert not torch.equal(stream.batch(0)[0], other.batch(0)[0])


def test_a_resumed_run_reads_the_same_batch() -> None:
    walked = BatchStream(TOKENS, batch_size=3, context_length=10, seed=7)
    for step in range(40):
        batch = walked.batch(step)
    resumed = BatchStream(TOKENS, batch_size=3, context_length=10, seed=7).batch(39)
    assert torch.equal(batch[0], resumed[0])


def test_repetition_is_counted() -> None:
    stream = BatchStream(TOKENS, batch_size=4, context_length=10, seed=0)
    assert stream.epochs_at(25) == 1.0
    assert stream.epochs_at(40) == 1.6


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="batch_size = 101 with context_length = 10 needs at least 1,011 tokens"):
        BatchStream(TOKENS, batch_size=101, context_length=10, seed=0)
