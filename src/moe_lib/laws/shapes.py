"""Active parameters of a size and a sparsity: the ideal share, or a family of real shapes.

Eq. 6 depends on N, D and S, a budget on C = 6 N_a D. The N_a of (N, S) is a convention:

- `ideal`: N_a = (1 - S) N, as if all parameters were sparse.
- `one-embedding`, `two-embeddings`: a Transformer with d_model / n_layers = 64, K/G = 1, E = 1/(1-S), vocabulary
  50,432 (Appendix B), with one matrix for embedding and unembedding, or two. Both N and N_a count them.
  Width and experts are continuous; norms are left out. With two matrices and d_model = 512, N_a / N is .065 at S = .98.
  Other families of shapes pass their own vocabulary and aspect, d_model / n_layers.
"""

from typing import Any

import numpy as np

from moe_lib.accounting import CONVENTIONS, Convention
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array
from moe_lib.paper import ASPECT, VOCABULARY

NEWTON_STEPS = 60  # from above on a convex cubic: converges without a safeguard, far fewer are needed


def active_params(
    n_params: Any,
    sparsity: Any,
    convention: Convention = "ideal",
    vocabulary: int = VOCABULARY,
    aspect: float = ASPECT,
) -> Array:
    """N_a of N parameters at sparsity S; arrays broadcast; counts, not rounded."""
    n, s = np.broadcast_arrays(np.asarray(n_params, dtype=np.float64), np.asarray(sparsity, dtype=np.float64))
    if convention == "ideal":
        return np.asarray((1 - s) * n)
    d = width(n, s, convention, vocabulary, aspect)
    return np.asarray(d**3 / aspect * 16 + d**2 / aspect / (1 - s) + _matrices(convention) * vocabulary * d)


def width(
    n_params: Any,
    sparsity: Any,
    convention: Convention,
    vocabulary: int = VOCABULARY,
    aspect: float = ASPECT,
) -> Array:
    """d_model of N parameters at sparsity S, continuous; arrays broadcast.

    Root of N(d) = d^3 (4 + 12 E) / aspect + d^2 E / aspect + matrices V d, the weights of all layers and embeddings.
    """
    n, experts = np.broadcast_arrays(np.asarray(n_params, dtype=np.float64), 1 / (1 - np.asarray(sparsity)))
    cubic, square, linear = (4 + 12 * experts) / aspect, experts / aspect, _matrices(convention) * vocabulary
    d = np.cbrt(n / cubic)
    for _ in range(NEWTON_STEPS):
        step = (d * (linear + d * (square + d * cubic)) - n) / (linear + d * (2 * square + 3 * d * cubic))
        d = d - step
        if np.all(np.abs(step) <= 1e-14 * d):
            break
    return np.asarray(d)


def _matrices(convention: Convention) -> int:
    if convention not in CONVENTIONS:
        raise InputError(f"convention = {convention!r} has to be one of {', '.join(CONVENTIONS)}")
    return 2 if convention == "two-embeddings" else 1
