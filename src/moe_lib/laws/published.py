"""Published laws, each with its source; coefficients as printed, not refitted.

`second-hand` in a source means that we took the numbers from another text or code than the original.
"""

from moe_lib.laws.parametric import CHINCHILLA, CLARK, FINE_GRAINED, FRANTAR, JOINT_MOE, SPARSITY, Law
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES, TABLE3

ABNAR2025 = Law(
    SPARSITY,
    TABLE3,
    "Abnar et al. (2025), Table 3",
    {"S": SPARSITIES[-1], "N": SIZES[1], "C": BUDGETS[-1]},
    {"N": SIZES[0], "C": BUDGETS[0]},
)

HOFFMANN2022 = Law(
    CHINCHILLA,
    {"a": 406.4, "b": 410.7, "e": 1.69, "alpha": 0.34, "beta": 0.28},
    "Hoffmann et al. (2022), Section D.3",
    {"N": 16e9, "D": 500e9},  # abstract
    {"N": 70e6, "D": 5e9},
)

BESIROGLU2024 = Law(
    CHINCHILLA,
    {"a": 482.01, "b": 2085.43, "e": 1.8172, "alpha": 0.3478, "beta": 0.3658},
    "Besiroglu et al. (2024), abstract (e and the rest come from two objectives)",
    {"N": 16.2e9, "D": 318e9, "C": 1.3e22},  # 240 points that they extracted from a figure of Hoffmann et al. (2022)
    {"N": 57e6, "D": 0.82e9, "C": 1.4e18},
)

LUDZIEJEWSKI2025 = Law(
    JOINT_MOE,
    {
        "a": 35.91,
        "alpha": -0.1889,
        "delta": -0.2285,
        "gamma": 0.0098,
        "b": 35.98,
        "beta": -0.1775,
        "omega": 0.5529,
        "zeta": -0.0259,
        "c": 1.3637,
        "E_start": 2.0732,
        "E_max": 290.4521,
    },
    "Ludziejewski et al. (2025), Table 3",
    {"S": 1 - 1 / 32, "N": 5e9, "Na": 2.7e9},  # Table 4 (E up to 32, K = 1); abstract
)

KRAJEWSKI2024 = Law(
    FINE_GRAINED,
    {"a": 18.1, "g": 2.1, "b": 30.8, "c": 0.47, "alpha": 0.115, "beta": 0.147, "gamma": 0.58},
    "Krajewski, Ludziejewski et al. (2024), mixture of experts with E = 64; second-hand",
)

FRANTAR2024 = Law(
    FRANTAR,
    {
        "a_S": 16.8,
        "b_S": 0.722,
        "c_S": 45.0,
        "b_N": 0.245,
        "A_D": 6.90e8**0.203,
        "b_D": 0.203,
        "c": 0.651,
    },
    "Frantar et al. (2024), sparse weights instead of experts, T5 on C4; second-hand",
    {"S": 0.875, "Na": 84.9e6},  # 48 runs in the authors' t5-data.csv (github.com/google-research/jaxpruner)
    {"Na": 1.33e6},  # sizes as shares of a T5-base in that file, of 169.9e6 weights: second-hand
)

CLARK2022 = Law(
    CLARK,
    {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "E_start": 1.847, "E_max": 314.478},
    "Clark et al. (2022), Table 3, S-Base at about 130e9 tokens; second-hand",
    {"S": 1 - 1 / 512},
)

PUBLISHED: dict[str, Law] = {
    "abnar2025": ABNAR2025,
    "hoffmann2022": HOFFMANN2022,
    "besiroglu2024": BESIROGLU2024,
    "ludziejewski2025": LUDZIEJEWSKI2025,
    "krajewski2024": KRAJEWSKI2024,
    "frantar2024": FRANTAR2024,
    "clark2022": CLARK2022,
}
