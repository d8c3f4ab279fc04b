"""What a reader does with the built site: search, print, use the keyboard, choose the dark, open it from a folder."""

import contextlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as BrowserError

import chapters

pytestmark = pytest.mark.browser

CHAPTER = "book/flops"
DESK = {"width": 1280, "height": 900}
SLOWEST = 15_000  # milliseconds for a page on a busy machine


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.set_default_timeout(SLOWEST)
    return page


@pytest.fixture(params=["http", "file"])
def place(request: pytest.FixtureRequest, site: Path) -> str:
    """Where a reader opens the site: from a host, or from a folder."""
    return site.resolve().as_uri() if request.param == "file" else str(request.getfixturevalue("address"))


def errors(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(request.url))
    return found


def test_search_finds_granularity_anywhere(page: Page, place: str) -> None:
    found = errors(page)
    page.goto(f"{place}/search.html?q=granularity")
    hits = page.locator("#search-results li a")
    expect(hits.first).to_be_visible()
    hits.first.click()
    expect(page.locator("article")).to_contain_text("granularity", ignore_case=True)
    assert found == []


def test_the_dark_follows_the_system_and_the_button(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/{CHAPTER}.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    assert max(int(part) for part in dark[4:-1].split(",")[:3]) < 60
    grounds = page.eval_on_selector_all(
        "article figure img", "all => all.map(i => getComputedStyle(i).backgroundColor)"
    )
    assert set(grounds) == {"rgb(255, 255, 255)"}, "figures stay legible in the dark"
    button = page.locator(".theme-switch-button").first
    for _ in range(3):  # auto, light, dark
        button.click()
        if page.evaluate("document.documentElement.dataset.theme") == "light":
            break
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    context.close()


def test_a_keyboard_skips_to_the_text_and_opens_search(page: Page, address: str) -> None:
    page.goto(f"{address}/{CHAPTER}.html")
    page.keyboard.press("Tab")
    assert "main" in (page.evaluate("document.activeElement.getAttribute('href') || ''"))
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main-content"
    page.keyboard.press("Control+k")
    expect(page.locator("input[type=search]:focus")).to_be_visible()
    page.keyboard.type("granularity")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results li a").first).to_be_visible()


def test_a_printed_chapter_is_its_text_and_figures(page: Page, address: str) -> None:
    page.goto(f"{address}/{CHAPTER}.html")
    page.emulate_media(media="print")
    for furniture in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer", ".figure-files"):
        assert page.locator(furniture).evaluate_all("all => all.length && all.every(one => !one.offsetParent)"), (
            furniture
        )
    assert page.eval_on_selector_all(
        "article figure img", "all => all.length && all.every(one => one.offsetWidth > 200)"
    )
    narrow = "[...document.querySelectorAll('article figure img')].every(one => one.offsetWidth <= innerWidth)"
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 with its margins
    assert page.evaluate(narrow)


def test_a_script_that_is_not_the_sites_does_not_run(page: Page, address: str) -> None:
    page.goto(f"{address}/book/intro.html")
    with contextlib.suppress(BrowserError):  # some versions say that the policy has blocked it
        page.add_script_tag(content="window.foreign = true")
    assert page.evaluate("window.foreign === undefined")


def test_every_page_names_its_edition(site: Path) -> None:
    pages = [name for name in chapters.page_names() if name.startswith("book/")]
    assert pages
    for name in pages:
        footer = re.search(
            r"extra_footer(.+?)</footer>", (site / f"{name}.html").read_text(encoding="utf-8"), re.DOTALL
        )
        assert footer, name
        assert "Edition" in footer[1], name
        assert "ledger" in footer[1], name


def test_every_chapter_has_its_row_on_the_status_page(page: Page, address: str) -> None:
    page.goto(f"{address}/book/status.html")
    rows = page.locator(".shown.table tbody tr").all_inner_texts()
    assert len(rows) == len(chapters.chapters())
    assert not [row for row in rows if "never" in row]


def test_text_is_painted_before_the_formulas_are_set(page: Page, address: str) -> None:
    """No clock: whatever the machine, the first paint does not wait for the largest script."""
    page.add_init_script(
        "addEventListener('load', () => MathJax.startup.promise.then(() => window.set = performance.now()))"
    )
    page.goto(f"{address}/book/intro.html", wait_until="networkidle")
    page.wait_for_function("window.set > 0")
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint {first:.0f} ms, formulas set {page.evaluate('window.set'):.0f} ms")
    assert first < page.evaluate("window.set")
