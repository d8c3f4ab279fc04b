"""The scaling lab: deterministic, paid for, kept in a file, and won by whoever fits well."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.lab import Lab, solve
from moe_lib.lab.service import CONVENTION, NOISE, _best_rate, _truth
from moe_lib.laws.published import ABNAR2025
from moe_lib.laws.shapes import active_params
from moe_lib.ledger import Ledger, Row
from moe_lib.planner.demand import Demand

STUDENTS = ("ada", "emmy", "sofia")


def test_the_same_student_and_query_have_the_same_answer() -> None:
    first, second = (Lab("ada").query(1e9, n_params=2e8, sparsity=0.9) for _ in range(2))
    assert first == second
    assert Lab("emmy").query(1e9, n_params=2e8, sparsity=0.9).loss != first.loss


def test_the_order_of_queries_changes_no_answer() -> None:
    one, other = Lab("ada"), Lab("ada")
    sizes = (1e8, 2e8, 4e8)
    forwards = {n: one.query(1e9, n_params=n).loss for n in sizes}
    assert {n: other.query(1e9, n_params=n).loss for n in reversed(sizes)} == forwards


def test_the_last_bits_of_a_query_do_not_change_its_answer() -> None:
    lab = Lab("ada")
    n = 1e8 / 3
    one, other = lab.query(1e9, n_params=n), Lab("ada").query(1e9, n_params=float(np.nextafter(n, 1e9)))
    assert one == other
    assert one != lab.query(1e9, n_params=1.001 * n)


def test_a_query_asked_again_costs_again_and_has_another_seed() -> None:
    seeds = []
    for student in map(str, range(10)):
        lab = Lab(student)
        losses = [lab.query(1e8, n_params=1e8, rate=_best_rate(student)).loss for _ in range(24)]
        assert len(set(losses)) == 24
        assert lab.spent == pytest.approx(24 * lab.cost(1e8, 1e8))
        seeds.append(np.log(losses / _truth(student).loss(1e8, 1e8, 0.0)) / NOISE)
    assert np.mean(seeds) == pytest.approx(0, abs=0.2)
    assert np.std(seeds) == pytest.approx(1, abs=0.15)


def test_a_query_costs_six_flops_per_active_parameter_and_token() -> None:
    assert Lab.cost(1e9, 1e9, 0.9) == pytest.approx(6e9 * float(active_params(1e9, 0.9, CONVENTION)))
    lab = Lab("ada")
    answer = lab.query(1e8, n_params=1e9, sparsity=0.9)
    assert lab.spent == answer.flops == lab.cost(1e9, 1e8, 0.9)


def test_a_shape_is_a_size_and_a_sparsity() -> None:
    model = ModelConfig(d_model=512, n_layers=8, n_heads=8, n_experts=10, vocab_size=50_432, tied_embeddings=False)
    answer = Lab("ada").query(1e8, model=model)
    assert answer.sparsity == 0.9
    assert answer == Lab("ada").query(1e8, n_params=answer.n_params, sparsity=0.9)


def test_the_budget_cannot_be_overdrawn_and_a_refusal_is_free() -> None:
    lab = Lab("ada", flops=1e17)
    lab.query(1e8, n_params=1e8)
    before = lab.spent
    with pytest.raises(InputError, match=r"the query costs 6e\+17 FLOPs, and .* of 1e\+17 are left"):
        lab.query(1e9, n_params=1e8)
    assert lab.spent == before
    assert len(lab.queries) == 1


def test_a_rate_costs_the_square_of_its_distance_from_the_best_and_diverges_far_above() -> None:
    lab, best = Lab("ada"), _best_rate("ada")
    assert 0.5 <= best <= 2
    losses = [lab.query(1e8, n_params=1e8, rate=best * np.exp(x)).loss for x in (-1.5, 0, 1.5)]
    assert losses[0] - losses[1] == pytest.approx(0.05 * 1.5**2, abs=0.06)
    assert losses[2] - losses[1] == pytest.approx(0.05 * 1.5**2, abs=0.06)
    assert np.isnan(lab.query(1e8, n_params=1e8, rate=9 * best).loss)
    assert len(lab.table) == 3


def test_every_student_has_a_law_near_the_printed_one_with_an_inner_optimum() -> None:
    terms = {"N": 1e9, "D": 2e10, "S": 0.9}
    for student in map(str, range(12)):
        law = _truth(student)
        for name, value in law.terms(**terms).items():
            assert value == pytest.approx(ABNAR2025.terms(**terms)[name], rel=0.1001)
        _, s = Demand(4e19, max_params=1e9).of(law, convention=CONVENTION).solve()
        assert 0.5 < s < 0.97
    assert _truth("0").values != _truth("1").values


def test_a_lab_resumes_from_its_file_which_stores_no_answers(tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    lab = Lab("ada", file=file)
    asked = [lab.query(1e8, n_params=1e8), lab.query(1e8, n_params=1e8)]
    again = Lab.opened(file)
    assert again.queries == asked
    assert (again.spent, again.student) == (lab.spent, "ada")
    assert set(json.loads(file.read_text())) == {"student", "flops", "queries", "real", "bet"}
    again.query(1e8, n_params=2e8)
    assert len(lab.table) == 2
    with pytest.raises(InputError, match="FLOPs, and"):
        lab.query(1e14, n_params=1e8)
    assert len(lab.table) == 3  # read again before it was asked
    assert [path.name for path in tmp_path.iterdir()] == ["lab.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"student": "ada"',
        "\x00",
        '{"student": 1, "flops": 1.0, "queries": [], "real": [], "bet": null}',
        '{"student": "ada", "flops": "much", "queries": [], "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [[1e8, 0.0]], "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": 3, "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [[-1e8, 0.0, 1e9, 1.0]], "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [[1e8, 1.0, 1e9, 1.0]], "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [], "real": [["key", -1e20]], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [], "real": [["key", 2e20]], "bet": null}',
        '{"student": "ada", "flops": true, "queries": [], "real": [], "bet": null}',
        '{"student": "ada", "flops": 1e20, "queries": [], "real": [], "bet": [1e8, 2.0, 3.0]}',
        '{"student": "ada", "flops": 1e20, "queries": [], "real": [], "bet": [1.0]}',
    ],
)
def test_a_broken_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"lab\.json: is not the state of a lab"):
        Lab("ada", file=file)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    Lab("ada", file=tmp_path / "lab.json").query(1e8, n_params=1e8)
    with pytest.raises(InputError, match="is the lab of student = ada, not emmy"):
        Lab("emmy", file=tmp_path / "lab.json")
    with pytest.raises(InputError, match="does not exist; start a lab first"):
        Lab.opened(tmp_path / "none.json")


@pytest.mark.parametrize("student", STUDENTS)
def test_the_instructor_is_within_two_hundredths_of_the_truth(student: str) -> None:
    lab = Lab(student)
    score = solve(lab)
    assert 0 <= score.regret < 0.005
    assert score.total < 0.03
    assert 0.5 * lab.flops < lab.spent < lab.flops
    assert lab.target[0] == pytest.approx(10 * max(query.flops for query in lab.queries))


def test_the_score_is_zero_for_the_truth_and_grows_with_every_mistake() -> None:
    def scored(n: float, s: float, error: float) -> float:
        lab = Lab("ada")
        lab.query(1e9, n_params=5e8)
        flops, largest = lab.target
        question = Demand(flops, max_params=largest).of(_truth("ada"), convention=CONVENTION)
        best_n, best_s = question.solve()
        size, sparsity = best_n * n, 1 - (1 - best_s) * s
        score = lab.bet(size, sparsity, float(question.loss(size, sparsity)) + error)
        assert score == lab.score
        assert score.error == pytest.approx(abs(error))
        return score.total

    assert scored(1, 1, 0) == pytest.approx(0, abs=1e-9)
    assert scored(0.5, 1, 0) > 0.001
    assert scored(1, 3, 0) > 0.001
    assert scored(1, 1, -0.1) == pytest.approx(0.1)


def test_even_the_smallest_query_allows_a_bet() -> None:
    lab = Lab("ada")
    lab.query(1e6, n_params=1e7)
    assert lab.bet(1e7, 0.0, 5.0).regret >= 0


def test_one_bet_closes_the_lab() -> None:
    lab = Lab("ada")
    with pytest.raises(InputError, match="there is none yet"):
        lab.bet(1e8, 0.9, 2.0)
    lab.query(1e9, n_params=5e8)
    with pytest.raises(InputError, match=r"n-params = 1e\+12 has to be between"):
        lab.bet(1e12, 0.9, 2.0)
    lab.bet(1e8, 0.9, 2.0)
    with pytest.raises(InputError, match="a student bets once"):
        lab.bet(1e8, 0.9, 2.0)
    with pytest.raises(InputError, match="nothing can be asked after it"):
        lab.query(1e9, n_params=5e8)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n_tokens": 1e9}, "or a model has to be given"),
        ({"n_tokens": 1e9, "n_params": 1.0}, "n-params = 1 has to be between"),
        ({"n_tokens": 1e9, "n_params": 1e8, "sparsity": 1.0}, "sparsity = 1 has to be between 0 and 0.98"),
        ({"n_tokens": float("nan"), "n_params": 1e8}, "n-tokens = nan has to be between"),
        ({"n_tokens": 1e9, "n_params": 1e8, "rate": 0.0}, "rate = 0 has to be between"),
    ],
)
def test_an_invalid_query_is_rejected(fields: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Lab("ada").query(**fields)


def test_the_truth_is_not_printed() -> None:
    lab = Lab("ada")
    lab.query(1e9, n_params=5e8)
    assert repr(lab) == "Lab('ada': 1 queries, 3e+18 of 1e+20 FLOPs spent)"


def test_real_runs_are_paid_for_once_and_shown_without_their_loss(make_row: Callable[..., Row], tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    counts = {"n_params": 2_000_000, "n_params_active": 1_000_000, "n_tokens": 10_000_000, "flops": 6e13}
    done, diverged = make_row(0, **counts), make_row(1, **counts, status="diverged")
    ledger.append(done)
    ledger.append(diverged)
    lab = Lab("ada", flops=1e14)
    assert list(lab.cells(ledger)["key"]) == [done["key"]]
    assert "loss" not in lab.cells(ledger)
    assert [lab.real(done["key"], ledger), lab.real(done["key"], ledger)] == [3.5, 3.5]
    assert lab.spent == 6e13
    with pytest.raises(InputError, match=f"key = '{diverged['key']}' has to be that of a finished run"):
        lab.real(diverged["key"], ledger)


def test_queries_at_once_are_all_paid_for_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: Lab("ada", file=file).query(1e8, n_params=1e8), range(12)))
    lab = Lab.opened(file)
    assert sorted(one.loss for one in lab.queries) == sorted(one.loss for one in answers)
    assert len({one.loss for one in answers}) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["lab.json"]


def test_a_link_to_a_lab_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "labs").mkdir()
    Lab("ada", file=tmp_path / "labs" / "ada.json").start()
    (tmp_path / "labs" / "ada.json").chmod(0o600)
    (tmp_path / "lab.json").symlink_to("labs/ada.json")
    Lab.opened(tmp_path / "lab.json").query(1e8, n_params=1e8)
    assert (tmp_path / "lab.json").is_symlink()
    assert (tmp_path / "labs" / "ada.json").stat().st_mode & 0o777 == 0o600
    assert len(Lab.opened(tmp_path / "labs" / "ada.json").queries) == 1


def test_a_lab_is_started_once_even_by_two_at_once(tmp_path: Path) -> None:
    first, second = (Lab(name, file=tmp_path / "lab.json") for name in ("ada", "emmy"))
    first.start()
    with pytest.raises(InputError, match=r"lab\.json: exists already"):
        second.start()
    assert Lab.opened(tmp_path / "lab.json").student == "ada"


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "\x1b[31m", "\u202eada"])
def test_a_name_that_cannot_be_printed_is_refused(name: str) -> None:
    """Half a character could not be read back from the file."""
    with pytest.raises(InputError, match="has to be a name of characters that can be printed"):
        Lab(name)
