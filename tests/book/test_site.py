"""The built site as a reader's browser sees it: no errors, nothing from elsewhere, nothing wider than a phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import chapters

pytestmark = pytest.mark.browser

SITE = chapters.ROOT / "_build" / "html"
PAGES = ["index", *chapters.page_names()]
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_errors_and_loads_nothing_from_elsewhere(
    browser: Browser, address: str, name: str
) -> None:
    page = browser.new_page(viewport=DESK)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(f"failed: {request.url}"))
    page.on("request", lambda request: trouble.append(f"elsewhere: {request.url}") if _elsewhere(request.url) else None)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    unset = page.locator(".math:not(:has(mjx-container))").count()
    page.close()
    assert trouble == []
    assert unset == 0, "formulas that were not typeset"


def _elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "data:", "blob:"))


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_has_words_for_who_cannot_see_it(browser: Browser, address: str, name: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    images = page.locator("article img").all()
    silent = [image.get_attribute("src") for image in images if len(image.get_attribute("alt") or "") < 40]
    captioned = page.locator("article figure:has(figcaption) img").count()
    page.close()
    assert silent == [], "images without a description"
    assert captioned == len(images), "images without a numbered caption"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(browser: Browser, address: str, name: str, scheme: str) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert overflow <= 0, f"{overflow} pixels wider than the screen"


def test_figures_stay_legible_in_the_dark(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/book/flops.html", wait_until="networkidle")
    grounds = page.eval_on_selector_all(
        "article figure img", "all => all.map(i => getComputedStyle(i).backgroundColor)"
    )
    context.close()
    assert grounds, "the chapter has figures"
    assert set(grounds) == {"rgb(255, 255, 255)"}


def test_every_local_link_leads_somewhere() -> None:
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built; run make book first")
    broken = [
        f"{page.relative_to(SITE)} -> {target}"
        for page in SITE.rglob("*.html")
        for target in _local_links(page)
        if not (page.parent / target).exists()
    ]
    assert broken == []


def _local_links(page: Path) -> set[str]:
    found = re.findall(r'(?:href|src)="([^"#?]+)[^"]*"', page.read_text(encoding="utf-8"))
    return {target for target in found if not re.match(r"[a-z]+:|//|\{", target)}
