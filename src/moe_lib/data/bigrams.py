"""What can be said of the next token without attention: from nothing, and from the current token alone."""

import numpy as np

from moe_lib.data.corpus import TokenCorpus

MAX_VOCABULARY = 8_192  # a table of counts has its square
MAX_TOKENS = 20_000_000  # of training text that are counted
PRIOR = 10.0  # tokens that the unigram distribution counts as, in every row


def unigram_and_bigram_loss(corpus: TokenCorpus) -> tuple[float, float] | None:
    """Held-out loss of a unigram and of a bigram model, nats per token; None for vocabularies above 8,192.

    Counts of the first 20 million training tokens. One token each smooths the unigrams, and these smooth the bigrams
    (a Dirichlet prior of ten tokens).
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
