"""The board: falsified evidence flips verdicts, and nothing about sparsity is reproduced if sparsity does nothing."""

import json
from dataclasses import replace
from importlib import import_module

import pytest

import chapters
from moe_lib.claims import VERDICTS, Evidence, board, counts
from moe_lib.claims.statement import Claim, read_claims
from moe_lib.errors import InputError
from moe_lib.laws.parametric import Law
from moe_lib.laws.published import ABNAR2025
from moe_lib.places import place


def verdicts(evidence: Evidence, *ids: str) -> dict[str, str]:
    return {one.claim.id: one.finding.verdict for one in board(evidence, ids=ids)}


def law_with(**values: float) -> Evidence:
    return Evidence(Law(ABNAR2025.form, {**ABNAR2025.values, **values}, "falsified"))


def test_every_verdict_is_one_of_five_and_has_grounds(evidence: Evidence) -> None:
    found = board(evidence, ids=("C21", "C22", "C28", "C29"))
    assert {one.finding.verdict for one in found} <= set(VERDICTS)
    assert all(one.finding.grounds.endswith(".") for one in found)
    assert sum(counts(found).values()) == len(found)


def test_mirrored_losses_contradict_what_the_runs_showed(evidence: Evidence, mirrored: Evidence) -> None:
    assert board(evidence, ids=("C23",))[0].finding.of("runs") in ("reproduced", "partial")
    assert board(mirrored, ids=("C23",))[0].finding.of("runs") == "contradicted"


@pytest.mark.slow
def test_nothing_about_sparsity_is_reproduced_if_sparsity_does_nothing(null: Evidence) -> None:
    about = (
        "C21",
        "C22",
        "C23",
        "C24",
        "C26",
        "C27",
        "C31",
        "C32",
        "C33",
        "C34",
        "C36",
        "C37",
        "C38",
        "C39",
        "C40",
        "C41",
        "C42",
        "C43",
        "C44",
        "C69",
        "C71",
        "C72",
    )
    assert "reproduced" not in verdicts(null, *about).values()


def test_a_perturbed_law_flips_the_verdicts_that_rest_on_it(law_alone: Evidence) -> None:
    found = verdicts(law_alone, "C22", "C23")
    assert found["C23"] == "reproduced"
    worse = verdicts(law_with(**{"lambda": 0.1666}), "C23")
    assert worse["C23"] != "reproduced"
    steep = verdicts(law_with(delta=0.4), "C22")
    assert (found["C22"], steep["C22"]) == ("partial", "contradicted")


def test_a_sign_that_the_form_enforces_is_no_evidence(law_alone: Evidence) -> None:
    [one] = board(law_alone, ids=("C43",))
    assert one.finding.of("law") == "not testable here"
    assert "the form of the law allows no other answer" in one.finding.grounds


def test_statements_that_contradict_each_other_are_inconsistent_until_evidence_decides(law_alone: Evidence) -> None:
    assert verdicts(law_alone, "C35", "C36") == dict.fromkeys(("C35", "C36"), "inconsistent")
    options = {"quantity": "L"}
    pair = [
        Claim(
            id=name, section="x", says="x", kind="analytic", judge="directions.along_sparsity", rule="x",
            options=options | {"sign": sign}, about=[{"quantity": "loss", "sign": sign}],
        )
        for name, sign in (("C01", -1), ("C02", 1))
    ]  # fmt: skip
    found = {one.claim.id: one.finding.verdict for one in board(law_alone, pair)}
    assert found == {"C01": "reproduced", "C02": "inconsistent"}


def test_a_claim_that_rests_on_others_carries_their_verdicts(law_alone: Evidence) -> None:
    [one] = board(law_alone, ids=("C69",))
    assert one.rests_on == verdicts(law_alone, "C21", "C23")
    assert one.contract["rests_on"] == one.rests_on


def test_two_boards_are_the_same(law_alone: Evidence) -> None:
    again = Evidence()
    ids = ("C22", "C29", "C36", "C40")
    first, second = (json.dumps([one.contract for one in board(e, ids=ids)]) for e in (law_alone, again))
    assert first == second


def test_without_rows_the_runs_say_how_many_budgets_are_missing(evidence: Evidence) -> None:
    [one] = board(replace(evidence, rows={}), ids=("C22",))
    assert one.finding.of("runs") == "not testable here"
    assert "0 complete budgets of at least 1 (0 of the " in one.finding.grounds


def test_unknown_names_are_refused_in_a_sentence(law_alone: Evidence) -> None:
    with pytest.raises(InputError, match="id = 'C99' has to be one of C01 to C74"):
        board(law_alone, ids=("C99",))
    wrong = read_claims()[0].with_(judge="directions.nothing")
    with pytest.raises(InputError, match="is not a function of"):
        board(law_alone, [wrong])


def test_every_claim_is_listed_once_and_no_other() -> None:
    claims = read_claims()
    assert [claim.id for claim in claims] == [f"C{number:02}" for number in range(1, 75)]
    assert not {"verdict", "effect"} & {name for claim in claims for name in claim.options}


@pytest.mark.slow
def test_with_more_budgets_and_two_recipes_every_claim_is_judged_for_each(planned: Evidence) -> None:
    """Runs made by a law at two budgets: what needs several budgets is tested then."""
    found = {one.claim.id: one for one in board(planned, ids=("C22", "C28", "C29", "C36", "C41", "C43", "C70", "C73"))}
    for name in ("C22", "C28", "C43"):
        assert found[name].finding.of("runs", "landed") in ("reproduced", "partial"), found[name].finding.grounds
        assert found[name].finding.of("runs", "paper") in ("reproduced", "partial")
    assert "complete budget" not in "".join(one.finding.grounds for one in found.values())
    assert set(found["C22"].contract["runs"]) == {"landed", "paper"}


def test_every_claim_names_a_function_and_a_page_of_the_book() -> None:
    for claim in read_claims():
        module, _, name = claim.judge.partition(".")
        assert callable(getattr(import_module(f"moe_lib.claims.{module}"), name)), claim.id
        shown = place(claim.shown)
        assert shown.anchor, claim.id
        assert f"book/{shown.page}" in chapters.page_names(), claim.id
