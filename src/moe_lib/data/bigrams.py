"""Baselines without attention: predict the next token from its frequency, or from the current token alone."""

import numpy as np

from moe_lib.data.corpus import TokenCorpus

MAX_VOCABULARY = 8_192  # the table of counts has its square
MAX_TOKENS = 20_000_000  # counted tokens of the training text
PRIOR = 10.0  # weight of the unigram distribution in every row, in tokens


def unigram_and_bigram_loss(corpus: TokenCorpus) -> tuple[float, float] | None:
    """Held-out loss of a unigram and of a bigram model, nats per token; None for vocabularies above 8,192.

    Counts the first 20 million training tokens. Every unigram count gets one extra token. The unigrams smooth the
    bigrams (a Dirichlet prior of ten tokens).
    """
    size = corpus.vocab_size
    if size > MAX_VOCABULARY:
        return None
    train, heldout = (np.asarray(part, dtype=np.int64) for part in (corpus.train[:MAX_TOKENS], corpus.heldout))
    counts = np.bincount(train[:-1] * size + train[1:], minlength=size**2).reshape(size, size).astype(float)
    unigram = (counts.sum(axis=0) + 1) / (counts.sum() + size)
    bigram = (counts + PRIOR * unigram) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    now, after = heldout[:-1], heldout[1:]
    return float(-np.log(unigram[after]).mean()), float(-np.log(bigram[now, after]).mean())
