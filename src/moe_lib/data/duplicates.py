"""Near-duplicates: documents that share most of their word shingles with an earlier one."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from moe_lib.data.workers import two_workers

THRESHOLD = 0.8  # Jaccard similarity of two documents' shingles
SHINGLE = 5  # words
PERMUTATIONS = 64
TEXTS_PER_TASK = 500  # documents per task of a worker

Signatures = npt.NDArray[np.integer[Any]]


def near_duplicates(texts: Sequence[str]) -> list[bool]:
    """For each text, whether it nearly repeats an earlier kept one (MinHash, estimated Jaccard >= 0.8)."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    kept: list[MinHash] = []
    marks = []
    for signatures in _all_signatures(texts):
        for hashvalues in signatures:
            sketch = MinHash(PERMUTATIONS, hashvalues=hashvalues, scheme="affine32")
            repeats = any(sketch.jaccard(kept[number]) >= THRESHOLD for number in index.query(sketch))
            marks.append(repeats)
            if not repeats:
                index.insert(len(kept), sketch)
                kept.append(sketch)
    return marks


def _all_signatures(texts: Sequence[str]) -> Iterator[Signatures]:
    if len(texts) <= TEXTS_PER_TASK:
        yield _signatures(texts)
        return
    with two_workers() as workers:
        yield from workers.map(
            _signatures, [texts[first : first + TEXTS_PER_TASK] for first in range(0, len(texts), TEXTS_PER_TASK)]
        )


def _signatures(texts: Sequence[str]) -> Signatures:
    """MinHash signatures [texts, permutations]."""
    from datasketch import MinHash

    empty = MinHash(PERMUTATIONS, hashfunc=zlib.crc32, scheme="affine32")
    rows = []
    for text in texts:
        words = text.split()
        shingles = {" ".join(words[at : at + SHINGLE]).encode() for at in range(max(1, len(words) - SHINGLE + 1))}
        sketch = empty.copy()
        sketch.update_batch(shingles)
        rows.append(sketch.hashvalues)
    return np.array(rows)
