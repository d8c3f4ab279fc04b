"""The paper's constants: its models, budgets, hyperparameters, and its fit of Eq. 6; numbers as printed.

Abnar et al. (2025), arXiv:2501.12370, and its poster where the source says so.
"""

from typing import Any

from moe_lib.config import ModelConfig

SPARSITIES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)  # Table 1
BUDGETS = (3e19, 6e19, 1e20, 3e20, 1e21)  # FLOPs; Figure 8
SIZES = (60e6, 15e9)  # N of the smallest and of the largest model; the poster
MODELS = 500  # at least as many were trained; the poster
CORPUS_TOKENS = 1.2e12  # RedPajama V1; Appendix B
VOCABULARY, CONTEXT = 50_432, 2_048  # tokens; Appendices B and C
ASPECT = 64  # d_model / n_layers; not printed, a common choice, and the one of every count in this project
DEGREES = (2, 2, 2)  # of Eq. 8; Appendix B

TABLE1: dict[str, tuple[float, ...]] = {  # hyperparameters under the names of `TrainingConfig` and `ModelConfig`
    "sparsity": SPARSITIES,
    "granularity": (1, 2),
    "learning_rate": (0.003, 0.002, 0.001),
    "load_balance_weight": (0.02, 0.05),
    "warmup_fraction": (0.02, 0.05, 0.1),
    "batch_size": (1024,),
    "router_z_weight": (0.001,),
}

# Starts of the exponents: 6^3 5^2 = 5,400 combinations. With three values for each of log a to log d, and
# log e = 1.5, they make the 437,400 starts of the search.
TABLE2: dict[str, tuple[float, ...]] = dict.fromkeys(("alpha", "beta", "gamma"), (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)) | (
    dict.fromkeys(("lambda", "delta"), (-1.0, -0.5, 0.0, 0.5, 1.0))
)
TABLE2_STARTS = 437_400
HUBER_DELTA = 1e-3  # of the objective; Section 5

TABLE3 = {
    "a": 16612.50,
    "b": 5455.67,
    "c": 0.4598,
    "d": 17.26,
    "e": 0.94,
    "alpha": 0.5962,
    "beta": 0.3954,
    "lambda": -0.1666,
    "delta": 0.1603,
    "gamma": 0.1595,
}
ERRORS = {  # of that fit, Appendix E: on the fitted runs, and on the held-out runs of the highest sparsity
    "fitted": {"mse": 0.00056, "huber": 0.0036},
    "held out": {"mse": 0.0058, "huber": 0.0011},
}


def model(n_layers: int, sparsity: float) -> ModelConfig:
    """The shape family: 64 units of width per layer, K = G, E = 1/(1-S) (at S = .25 E = 4, G = 3), two embeddings.

    `InputError` unless G divides the width; at S = .25 the number of layers has to be a multiple of three.
    """
    fields: dict[str, Any] = {
        "d_model": ASPECT * n_layers,
        "n_layers": n_layers,
        "n_heads": n_layers,
        "sparsity": sparsity,
        "vocab_size": VOCABULARY,
        "context_length": CONTEXT,
        "tied_embeddings": False,
    }
    return ModelConfig(**fields)
