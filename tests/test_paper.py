"""What is said to be the paper's is in the paper."""

import math
import re
from collections.abc import Iterable

import pytest

from moe_lib import paper
from moe_lib.accounting import count_parameters
from moe_lib.repository import ROOT

TEXTS = ROOT.parent / "shared" / "paper"


GREEK = {"alpha": "α", "beta": "β", "lambda": "λ", "delta": "δ", "gamma": "γ"}


@pytest.fixture(scope="module")
def text() -> str:
    """The paper and its poster, without blanks and the marks of mathematics."""
    if not TEXTS.is_dir():
        pytest.skip("no text of the paper in shared/paper beside the checkout")
    return "".join(re.sub(r"[\s\\{}$]", "", path.read_text(encoding="utf-8")) for path in sorted(TEXTS.glob("*.txt")))


def listed(values: Iterable[float], scale: float = 1) -> str:
    return ",".join(f"{scale * value:g}" for value in values)


@pytest.mark.parametrize(
    "printed",
    [
        f"SparsityLevelTuned{listed(paper.SPARSITIES, 100)}%",
        f"budgetof{','.join(f'{c:.0e}' for c in paper.BUDGETS[:-1])},and{paper.BUDGETS[-1]:.0e}".replace("+", ""),
        f"Nin[{paper.SIZES[0] / 1e6:.0f}M,{paper.SIZES[1] / 1e9:.0f}B]",
        f"n_textvocab={paper.VOCABULARY:,}",
        f"n_ctxof{paper.CONTEXT}",
        f"alpha=beta=gamma={paper.DEGREES[0]},i.e.,aquadraticpolynomial",
        f"GranularityTuned{listed(paper.TABLE1['granularity'])}L",
        f"LearningRateTuned[{listed(paper.TABLE1['learning_rate'])}]",
        f"LoadBalancingFactorTuned{listed(paper.TABLE1['load_balance_weight'])}W",
        f"Warm-upStepsTuned{listed(paper.TABLE1['warmup_fraction'], 100)}%",
        f"BatchSizeConstant{listed(paper.TABLE1['batch_size'])}J",
        f"z-RouterLossConstant{listed(paper.TABLE1['router_z_weight'])}Q",
        f"[{listed(paper.TABLE2['alpha'])}]",
        f"[{listed(paper.TABLE2['lambda'])}]",
        "".join(f"{GREEK[name]}{paper.TABLE3[name]:g}" for name in GREEK),
        f"{paper.TABLE3['a']:.2f}b{paper.TABLE3['b']:.2f}",
        f"{paper.TABLE3['c']:g}d{paper.TABLE3['d']:g}e{paper.TABLE3['e']:g}",
        "{mse}and{huber}respectively".format(**paper.ERRORS["fitted"]),
        "{mse}and{huber}respectively".format(**paper.ERRORS["held out"]),
        f"delta=10^{math.log10(paper.HUBER_DELTA):.0f}",
    ],
)
def test_the_paper_prints_it(printed: str, text: str) -> None:
    assert printed in text


def test_table_2_makes_as_many_starts_as_the_book_says() -> None:
    cells = math.prod(map(len, paper.TABLE2.values()))
    assert cells == 5_400
    assert cells * 3**4 == paper.TABLE2_STARTS


@pytest.mark.parametrize("sparsity", paper.SPARSITIES)
def test_the_shape_family_has_the_sparsities_of_the_paper_at_one_base_width_per_token(sparsity: float) -> None:
    sparse, dense = paper.model(12, sparsity), paper.model(12, 0.0)
    assert sparse.sparsity == pytest.approx(sparsity)
    assert count_parameters(sparse).experts_active == count_parameters(dense).experts_active
