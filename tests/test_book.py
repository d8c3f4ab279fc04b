"""What chapters share: tables as HTML and as text, numbers with their units, three voices."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from moe_lib.book import Board, Tiles, Verdicts, checked, show, terminal, text, verdicts, voices
from moe_lib.claims import VERDICTS, Judged, Verdict
from moe_lib.claims.finding import Look, conclude
from moe_lib.claims.statement import Claim

TABLE = pd.DataFrame({"S": [0.0, 0.95], "N": [1.25e6, 3e6], "low": [1e6, np.nan], "name": ["dense", "sparse"]})


def test_a_table_is_aligned_text_in_a_record() -> None:
    shown = show(TABLE, {"": "{name}", "S": "{S:.2f}", "N (millions)": "{N:.2fM}"})
    assert repr(shown).splitlines() == [
        "           S  N (millions)",
        "dense   0.00          1.25",
        "sparse  0.95          3.00",
    ]


def test_a_table_is_html_on_a_page_with_numbers_to_the_right() -> None:
    page = show(TABLE, {"which": "{name}", "N_a": "{N:.1fM}"})._repr_html_()
    assert '<th class="left">which</th><th class="right"><i>N</i><sub>a</sub></th>' in page
    assert '<td class="left">sparse</td><td class="right">3.0</td>' in page


def test_a_long_cell_breaks_into_lines_on_a_page() -> None:
    page = show(pd.DataFrame({"question": ["Which? " * 10, "Why?"]}), {"": "{question}"})._repr_html_()
    assert page.count('<td class="left long">') == 1
    assert page.count('<td class="left">Why?') == 1


def test_a_cell_with_a_missing_value_is_empty() -> None:
    assert show(TABLE, {"": "{N:.1fM} ({low:.1fM} and up)"}).rows == (("1.2 (1.0 and up)",), ("",))


def test_the_index_of_a_table_can_be_shown() -> None:
    assert show(TABLE.set_index("name"), {"": "{name}"}).rows == (("dense",), ("sparse",))


def test_numbers_have_units_and_powers_of_ten_no_plus() -> None:
    assert text("{:.0e} FLOPs, {:.1fB} to {:,.0fK}, {:.0%}", 1e13, 2.5e9, 12e6, 0.5) == "1e13 FLOPs, 2.5 to 12,000, 50%"
    assert text("{:.1e} and {:g}", 5e-9, 3e19) == "5.0e-9 and 3e19"


def test_checked_values_have_a_line_each() -> None:
    assert repr(checked({"gain": ("{:.2f} ± {:.2f}", 0.1, 0.02), "n": ("{}", 3)})).splitlines() == [
        "gain  0.10 ± 0.02",
        "n     3",
    ]


def test_text_is_escaped() -> None:
    assert "&lt;b&gt;" in voices([("<b>", "", "")])._repr_html_()


def test_a_command_is_shown_with_what_it_prints() -> None:
    shown = terminal("moe-lib flops --d-model 64 --layers 1 --heads 1 --experts 4 --active 1 --json")
    first, *rest = repr(shown).splitlines()
    assert first.startswith("$ moe-lib flops --d-model 64")
    assert json.loads("\n".join(rest))["sparsity"] == 0.75
    assert shown._repr_html_().startswith('<pre class="terminal"><b>$ moe-lib flops')


def test_a_command_that_fails_does_not_become_a_page() -> None:
    with pytest.raises(RuntimeError, match="ended with 2: moe-lib: flops"):
        terminal("moe-lib plan --flops -1")


def judged(name: str, verdict: Verdict, **more: Any) -> Judged:
    claim = Claim(id=name, section="2", says=f"N_a of {name}", kind="analytic", judge="a.b", rule="count")
    return Judged(claim, conclude([Look("law", "one", verdict, note="by its form")], "why."), **more)


def test_a_badge_links_to_the_board_and_shows_the_state_of_what_a_claim_rests_on() -> None:
    badges = Verdicts((judged("C26", "partial", rests_on={"C21": "contradicted"}),))
    assert repr(badges) == "C26  partial; rests on C21 contradicted"
    page = badges._repr_html_()
    assert '<a class="verdict partial" href="claims.html#c26"><b>C26</b> partial</a>' in page
    assert "<i>N</i><sub>a</sub> of C26" in page
    assert "rests on C21 contradicted" in page


def test_a_chapter_names_claims_and_gets_the_verdicts_of_the_board() -> None:
    [one] = verdicts("C05").judged
    assert (one.claim.id, one.finding.verdict) == ("C05", "inconsistent")


def test_what_law_and_runs_say_comes_with_what_weakens_it() -> None:
    [(says, law, runs)] = verdicts("C05 C43").by_voice("C43").rows
    assert says.endswith("(C43)")
    assert law.startswith("not testable here: -0.151 to -0.12 nats per e-fold of C; ")
    assert law.endswith("; the form of the law allows no other answer")
    assert runs


def test_a_tile_counts_a_verdict_and_shows_a_chosen_claim_that_has_it() -> None:
    tiles = Tiles((judged("C01", "partial"), judged("C02", "partial"), judged("C03", "contradicted")), ("C03", "C02"))
    assert repr(tiles).splitlines()[:3] == ["0 reproduced", "2 partial", "1 contradicted"]
    page = tiles._repr_html_()
    assert '<a class="partial" href="claims.html#c02"><b>2</b> <strong>partial</strong>' in page
    assert '<a class="reproduced" href="claims.html"><b>0</b>' in page


def test_a_board_is_a_table_that_can_be_filtered_and_a_record_of_verdicts() -> None:
    claim = Claim(id="C01", section="2", says="N_a < N", kind="analytic", judge="a.b", rule="count", shown="flops")
    finding = conclude([Look("law", "one", "partial", 0.5)], "half of it.", "of two")
    board = Board((Judged(claim, finding),))
    assert repr(board) == "C01  partial"
    page = board._repr_html_()
    assert '<tr id="C01" class="partial" data-kind="analytic" data-sections="2"><td id="c01">' in page
    assert '<a class="permalink" href="#C01"' in page
    assert "<i>N</i><sub>a</sub> &lt; N" in page
    assert '<a href="flops.html">evidence</a>' in page
    assert page.count('type="radio"') == 1 + len(VERDICTS)
