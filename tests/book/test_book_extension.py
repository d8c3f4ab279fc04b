"""What the extension adds to pages: a policy that allows their own scripts and no others, and figures' files."""

import base64
import hashlib
import json

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

import book_extension
from moe_lib.figures.files import METADATA

PAGE = """<!DOCTYPE html>
<html><head>
    <meta charset="utf-8" />
    <script>let a = '<b>';</script>
    <script src="x.js"></script>
    <script type="application/json">{}</script>
</head><body><a class="reference external" href="https://example.org">x</a>
<button onclick="print(&#39;x&#39;)">p</button></body></html>
"""


def allowed(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def test_a_policy_allows_the_scripts_of_the_page_and_no_others() -> None:
    page = book_extension.protected(PAGE)
    [policy] = [line for line in page.splitlines() if "Content-Security-Policy" in line]
    assert allowed("let a = '<b>';") in policy
    assert allowed("print('x')") in policy
    assert policy.count("sha256-") == 2
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert "'unsafe-eval'" not in policy
    assert page.index("Content-Security-Policy") < page.index("<script")


def test_a_policy_is_written_once_and_links_elsewhere_pass_nothing_on() -> None:
    page = book_extension.protected(PAGE)
    assert book_extension.protected(page) == page
    assert '<a class="reference external" rel="noopener" href="https://example.org">' in page


@pytest.fixture
def notebook() -> NotebookNode:
    figure = new_output(
        "execute_result",
        data={"image/svg+xml": "<svg/>"},
        metadata={METADATA: {"pdf": base64.b64encode(b"%PDF").decode(), "csv": "x,y\n"}},
    )
    shown = {"mystnb": {"figure": {"name": "fig-a"}}}
    cells = [new_code_cell("a", metadata=shown, outputs=[figure]), new_code_cell("b")]
    return new_notebook(cells=cells)


def test_the_files_of_a_figure_come_from_the_executed_notebook(notebook: NotebookNode) -> None:
    assert book_extension._figure_files(notebook) == {"fig-a": {"svg": b"<svg/>", "pdf": b"%PDF", "csv": b"x,y\n"}}


def test_the_notebook_that_is_offered_has_its_outputs_without_those_files(notebook: NotebookNode) -> None:
    [first, _] = json.loads(book_extension._without_files(notebook))["cells"]
    assert "image/svg+xml" in first["outputs"][0]["data"]
    assert first["outputs"][0]["metadata"] == {}
