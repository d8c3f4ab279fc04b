"""The planner's page answers as `moe-lib plan` does, to the digits shown, and restores its inputs from a link."""

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import chapters
from moe_lib.analysis.our_law import law_named
from moe_lib.errors import InputError
from moe_lib.laws.parametric import Law
from moe_lib.planner import FAMILIES, Demand, plan
from moe_lib.planner.page import page_data, polynomial, write_script
from moe_lib.repository import LEDGER

ASSETS = chapters.ROOT / "book" / "_assets"
SCRIPTS = sorted(ASSETS.glob("*.js"))
LAWS = ("abnar2025", "ludziejewski2025", "frantar2024", "besiroglu2024", "hoffmann2022", "ours")
INPUTS = 200
CLOSE = 1e-4  # relative difference of two searches in one flat valley; a fifth of the last digit shown
STUB = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>planner</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src file:; style-src file:">
<script defer src="interactive.js"></script><div id="planner"></div></html>"""
READ = """[...document.querySelectorAll('.plan-card')].map(card => {
  const {law, error, best, band, ends, bounds, atEdge, outside, build, intervals} = card.answer;
  return {law: law.name, error, best, band, ends, bounds, atEdge, outside, build, intervals, words: card.innerText,
    shown: Object.fromEntries([...card.querySelectorAll('[data-name]')].map(x => [x.dataset.name, x.innerText]))}})"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_obeys_a_content_security_policy(script: Path) -> None:
    words = script.read_text(encoding="utf-8")
    forbidden = ("innerHTML", "outerHTML", "document.write", "eval(", "new Function", "setAttribute('style'", "http://")
    assert [one for one in forbidden if one in words.replace("http://www.w3.org", "")] == []


def test_all_scripts_together_weigh_less_than_40_kb() -> None:
    assert sum(script.stat().st_size for script in SCRIPTS) < 40_000


def test_a_count_that_is_no_sum_is_refused() -> None:
    with pytest.raises(AssertionError, match="not the sum"):
        polynomial([[1.0], [2.0], [3.0]], [1.0, 4.0, 9.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("planner")
    for file in (*SCRIPTS, *ASSETS.glob("*.css")):
        shutil.copy(file, place)
    write_script(place / "planner-data.js", resamples=0)
    (place / "index.html").write_text(STUB, encoding="utf-8")
    return place


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 375, "height": 812})
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.goto((folder / "index.html").as_uri())
    opened.wait_for_selector("#planner[data-state=ready]")
    yield opened
    opened.close()
    assert trouble == []


def ask(page: Page, options: dict[str, Any], *laws: str) -> list[dict[str, Any]]:
    """What the page answers to a link."""
    query = urlencode([*((name, f"{value!r}") for name, value in options.items()), *(("law", law) for law in laws)])
    page.evaluate(
        "words => { document.getElementById('planner').dataset.state = 'asked'; location.hash = words }", query
    )
    page.wait_for_selector("#planner[data-state=ready]", state="attached")
    found: list[dict[str, Any]] = page.evaluate(READ)
    return found


@cache
def law_of(name: str) -> Law:
    return law_named(name, LEDGER)


def demands() -> Iterator[tuple[str, dict[str, float]]]:
    """A law, and options of `moe-lib plan`, at random."""
    rng = np.random.default_rng(17)
    for _ in range(INPUTS):
        law = str(rng.choice(LAWS))
        scale = 1e13 if law == "ours" else 1e21
        options = {"flops": scale * 10 ** rng.uniform(-1.5, 3)}
        size = max(float(np.sqrt(options["flops"] / 120)), 1.2e6)  # a dense model of about 20 tokens per parameter
        bound = rng.choice(["max-params", "max-bytes", "serve", ""])
        if bound == "max-params":
            options["max-params"] = size * 10 ** rng.uniform(-1, 1.5)
        elif bound:
            each = 2.0 if bound == "serve" else 16.0
            options |= {"max-bytes": each * size * 10 ** rng.uniform(-1, 1.5), "bytes-per-param": each}
        if rng.random() < 0.4:
            options["max-tokens"] = 20 * size * 10 ** rng.uniform(-1.5, 1)
        if rng.random() < 0.4:
            options["serving-tokens"] = 20 * size * 10 ** rng.uniform(-1.5, 0.5)
        # Short numbers: a link keeps every digit, but a memory is shown in gigabytes.
        yield law, {name: float(f"{value:.4g}") for name, value in options.items()}


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_answers_as_the_command_does(page: Page) -> None:
    answered = 0
    for name, options in demands():
        [shown] = ask(page, options, name)
        demand = Demand(**{option.replace("-", "_"): value for option, value in options.items()})
        planned = planned_by_the_library(name, demand)
        assert (planned is None) == bool(shown.get("error")), (name, options)
        if planned is not None:
            compare(shown, planned)
            answered += 1
    assert answered > 0.8 * INPUTS


def planned_by_the_library(name: str, demand: Demand) -> dict[str, Any] | None:
    """What `moe-lib plan --json` prints for a law; None if it refuses the demand."""
    try:
        return plan(name, law_of(name), demand, FAMILIES["ours" if name == "ours" else "paper"]).contract
    except InputError:
        return None


def compare(shown: dict[str, Any], planned: dict[str, Any]) -> None:
    """Every number of a card is the command's: as computed, and as written."""
    best, band = shown["best"], planned["band"]
    near = lambda value: pytest.approx(value, rel=CLOSE, abs=CLOSE)  # noqa: E731
    assert (best["sparsity"], best["loss"]) == near((planned["sparsity"], planned["loss"]))
    for own, name in (("n", "n_params"), ("na", "n_params_active"), ("tokens", "n_tokens")):
        assert best[own] == near(planned[name]), name
        assert in_words(shown["shown"][own]) == pytest.approx(planned[name], rel=0.0051), name
    assert shown["ends"]["sparsity"] == near(band["sparsity"])
    assert shown["band"]["n"] == near(band["n_params"])
    assert float(shown["shown"]["sparsity"].split()[0]) == pytest.approx(planned["sparsity"], abs=0.000501)
    assert float(shown["shown"]["loss"].split()[0]) == pytest.approx(planned["loss"], abs=0.000501)
    assert in_words(shown["shown"]["training"]) == pytest.approx(16 * planned["n_params"], rel=0.0051)
    assert [one["binds"] for one in shown["bounds"]] == [one["binds"] for one in planned["bounds"]]
    assert [one["worth"] for one in shown["bounds"]] == pytest.approx(
        [one["worth"] for one in planned["bounds"]], rel=1e-4, abs=1e-8
    )
    assert shown["atEdge"] == planned["at_edge"]
    assert len(shown["outside"]) == len(planned["outside"])
    model = planned["model"]
    for own, name in (("d", "d_model"), ("layers", "n_layers"), ("experts", "n_experts"), ("n", "n_params")):
        assert shown["build"][own] == model[name], name


def in_words(words: str) -> float:
    """The first number of some words, with its unit."""
    number, unit = words.replace("\n", " ").split()[0], words.replace("\n", " ").split()[1:2]
    scale = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    if unit and unit[0] in ("kB", "MB", "GB", "TB", "PB"):
        return float(number) * {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}[unit[0]]
    return float(number.rstrip("KMBT")) * scale.get(number[-1], 1)


@pytest.mark.browser
def test_a_link_restores_the_inputs_and_the_command_repeats_them(page: Page) -> None:
    ask(
        page,
        {"flops": 3e20, "max-bytes": 2.4e10, "bytes-per-param": 2.0, "serving-tokens": 1e11},
        "abnar2025",
        "frantar2024",
    )
    assert page.input_value("#plan-flops") == "3e20"
    assert page.input_value("#plan-memory") == "24"
    assert page.is_checked("#plan-bound-serve")
    assert page.input_value("#plan-serving") == "1e11"
    assert page.inner_text("#planner code").replace("\n", " ") == (
        "moe-lib plan --flops 3e20 --max-bytes 2.4e10 --bytes-per-param 2 --serving-tokens 1e11 "
        "--law abnar2025 --law frantar2024"
    )
    page.reload()
    page.wait_for_selector("#planner[data-state=ready]")
    assert page.input_value("#plan-memory") == "24"


@pytest.mark.browser
def test_inputs_work_by_keyboard_and_say_what_is_wrong(page: Page) -> None:
    before = page.input_value("#plan-flops")
    page.focus("input[type=range]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#planner[data-state=ready]")
    assert float(page.input_value("#plan-flops")) > float(before)
    page.fill("#plan-flops", "many")
    page.wait_for_selector("#planner[data-state=wrong]")
    assert "Budget C has to be a positive number" in page.inner_text("[role=alert]")
    assert page.get_attribute("#plan-flops", "aria-invalid") == "true"


@pytest.mark.browser
def test_a_plan_beyond_a_laws_data_says_so_and_the_page_fits_a_phone(page: Page) -> None:
    [shown] = ask(page, {"flops": 1e26}, "abnar2025")
    assert "outside this law's data" in shown["words"]
    assert "edge of this law's data, not an optimum" in shown["words"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.locator(".plan-chart .band").count() == 1


@pytest.mark.browser
def test_intervals_are_those_of_the_resampled_laws(browser: Browser, folder: Path) -> None:
    data = page_data(resamples=6)
    ours = next(law for law in data["laws"] if law["name"] == "ours")
    law = law_of("ours")
    draws = [Law(law.form, law.form.named(np.array(x[:5]), np.array(x[5:]))) for x in ours["draws"]]
    (folder / "six").mkdir()
    for file in (*SCRIPTS, *ASSETS.glob("*.css"), folder / "index.html"):
        shutil.copy(file, folder / "six")
    (folder / "six" / "planner-data.js").write_text(f"globalThis.moePlannerData = {json.dumps(data)};")
    page = browser.new_page()
    page.goto((folder / "six" / "index.html").as_uri())
    page.wait_for_selector("#planner[data-state=ready]")
    [shown] = ask(page, {"flops": 1e13, "max-params": 4e6}, "ours")
    assert page.inner_text("#planner code").endswith("--law ours --bootstrap 6")
    page.close()
    planned = plan("ours", law, Demand(1e13, max_params=4e6), FAMILIES["ours"], resampled=draws)
    assert planned.intervals is not None
    for own, name in (("sparsity", "sparsity"), ("n", "n_params"), ("loss", "loss")):
        assert shown["intervals"][own] == pytest.approx(planned.intervals[name], rel=CLOSE, abs=CLOSE), name
