"""Every figure, table and claim of the paper has a place in the book, and every place exists."""

import re
from pathlib import Path

import pytest

import chapters
from moe_lib.claims.statement import read_claims
from moe_lib.errors import InputError
from moe_lib.places import Where, anchors, parts, place, slug

WANTED = [*(f"Figure {number}" for number in range(1, 13)), *(f"Table {number}" for number in range(1, 4))]
TARGETS = sorted({target for part in parts() for target in part.here} | {claim.shown for claim in read_claims()})


def test_no_figure_no_table_and_no_claim_is_missing() -> None:
    assert [part.id for part in parts()] == WANTED
    assert all(part.here for part in parts())
    assert [name for name, _, _ in Where.of_claims().rows] == [f"C{number:02}" for number in range(1, 75)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_place_is_a_page_of_the_book_with_that_anchor(target: str) -> None:
    found = place(target)
    assert f"book/{found.page}" in chapters.page_names()
    assert found.anchor, "the top of a page is not a place"
    assert found.section


@pytest.mark.browser  # with the tests of the built site
@pytest.mark.parametrize("target", TARGETS)
def test_the_built_page_has_the_anchor(site: Path, target: str) -> None:
    found = place(target)
    assert f'id="{found.anchor}"' in (site / "book" / f"{found.page}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("target", "why"), [("nowhere#x", "not a page"), ("budget#fig-nothing", "does not have")])
def test_a_place_that_does_not_exist_is_refused(target: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        place(target)


def test_anchors_are_sections_labels_and_figures_outside_of_code() -> None:
    cell = "```{code-cell}\n---\nmystnb:\n  figure:\n    name: fig-x\n---\n# not a title\n```\n"
    page = f"# A page\n\n(here)=\n## The law's *sign*\n\n{cell}"
    assert anchors(page) == {
        "a-page": "A page", "the-laws-sign": "The law's sign", "here": "The law's sign", "fig-x": "The law's sign",
    }  # fmt: skip
    assert slug("14. How infinite is 1.2 trillion?") == "how-infinite-is-1-2-trillion"


def test_rows_link_to_their_places_and_claims_to_their_verdict() -> None:
    page = Where.of_claims()._repr_html_()
    assert '<a href="claims.html#c35">C35</a>' in page
    assert '<a href="budget.html#fig-budget-fixed-size">The budget › ' in page
    assert page.count("<tr>") == 75
    assert not re.search(r'href="[\w-]+\.html"', page)
