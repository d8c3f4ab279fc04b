"""The board on a page: filters, a search, permanent links, and a plain table without JavaScript."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import chapters
from moe_lib.book import Board
from moe_lib.claims import Judged
from moe_lib.claims.finding import conclude
from moe_lib.claims.statement import read_claims

ASSETS = chapters.ROOT / "book" / "_assets"
VERDICT = {"C31": "partial", "C72": "contradicted"}
STUB = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>board</title>
<link rel="stylesheet" href="book.css"><script defer src="interactive.js"></script>
<article class="bd-article">{}</article>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("board")
    for name in ("book.css", "interactive.js", "board.js"):
        shutil.copy(ASSETS / name, folder)
    finding = conclude((), "Grounds.")
    judged = [
        Judged(
            claim,
            replace(finding, verdict=VERDICT.get(claim.id, "reproduced")),
            rests_on={"C31": "partial"} if claim.id == "C72" else {},
        )
        for claim in read_claims()
    ]
    (folder / "claims.html").write_text(STUB.format(Board(tuple(judged))._repr_html_()), encoding="utf-8")
    return (folder / "claims.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 375, "height": 812})
    opened.goto(address)
    opened.wait_for_selector(".filters")
    yield opened
    opened.close()


def left(page: Page) -> list[str]:
    """The ids of the claims that are shown."""
    ids: list[str] = page.eval_on_selector_all(
        ".board tbody tr", "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)"
    )
    return ids


@pytest.mark.browser
def test_filters_and_search_narrow_the_board_together(page: Page) -> None:
    claims = read_claims()
    assert left(page) == [claim.id for claim in claims]
    page.check("[value=contradicted]")
    assert left(page) == ["C72"]
    page.check("[value=all]")
    page.select_option(".filters label:has-text('Kind') select", "literature")
    assert left(page) == [claim.id for claim in claims if claim.kind == "literature"]
    page.select_option(".filters label:has-text('Kind') select", "")
    page.select_option(".filters label:has-text('Section') select", "D")
    assert set(left(page)) == {claim.id for claim in claims if "D." in claim.section}
    page.fill(".filters input", "no such words")
    assert left(page) == []
    assert page.inner_text(".count") == "No claim fits; choose less."


@pytest.mark.browser
@pytest.mark.parametrize("name", ["C35", "c35"])
def test_a_permanent_link_shows_its_claim_whatever_was_chosen(page: Page, name: str) -> None:
    page.check("[value=contradicted]")
    page.evaluate("name => { location.hash = name }", name)
    page.wait_for_selector("#C35 details[open]")
    assert page.locator("#C35").is_visible()
    assert page.locator("tr.linked").get_attribute("id") == "C35"


@pytest.mark.browser
def test_a_claim_that_rests_on_another_shows_whether_that_one_holds(page: Page) -> None:
    assert page.inner_text("#C72 .rests") == "rests on C31 partial"
    page.click("#C72 .rests a")
    page.wait_for_selector("#C31 details[open]")


@pytest.mark.browser
def test_the_board_fits_a_phone(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.browser
def test_without_javascript_the_board_is_a_table_with_a_choice_of_verdict(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    rows = page.locator(".board tbody tr")
    assert rows.count() == len(read_claims())
    page.check("[value=contradicted]")
    visible = [row.get_attribute("id") for row in rows.all() if row.is_visible()]
    context.close()
    assert visible == ["C72"]
