"""A Sphinx extension with what every page of the book gets beyond its text.

A figure gets its files and the command that draws it; a chapter its executed notebook; each page the edition that it
belongs to and a content-security policy. The directives `status` and `downloads` are a table and a list of their pages.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from docutils.parsers.rst import Directive
from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import chapters
import downloads
from edition import Edition, machine
from moe_lib.book import Shown
from moe_lib.figures.files import METADATA

LOGGER = logging.getLogger(__name__)
STATUS_PAGE = "book/status"
# Scripts only from the site itself, and those in a page only by their hash; styles are also set by MathJax.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-hashes' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'"
)
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r"<[a-z][^<>]*?\son[a-z]+=\"([^\"]*)\"")


class Status(nodes.General, nodes.Element):  # type: ignore[misc]
    """The place of the table that is filled in when every chapter has been executed."""


class StatusDirective(Directive):  # type: ignore[misc]
    """`{status}`: when each chapter was executed, how long it took, and on what."""

    def run(self) -> list[nodes.Node]:
        """The place of the table."""
        return [Status()]


class DownloadsDirective(Directive):  # type: ignore[misc]
    """`{downloads}`: what can be downloaded as a whole."""

    def run(self) -> list[nodes.Node]:
        """A list of links."""
        return [nodes.raw("", downloads.as_list(), format="html")]


def executed(app: Sphinx, page: str) -> NotebookNode | None:
    """The executed notebook of a page; None for a page without code.

    Its outputs come from the cache of executions, since MyST-NB writes a notebook that was found there without them.
    """
    path = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if not path.exists():
        return None
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    cache = get_cache(Path(app.outdir).parent / ".jupyter_cache")
    merged: NotebookNode = cache.merge_match_into_notebook(notebook)[1]
    return merged


def complete_page(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the files of each figure under it, and the tables of the status page in their place."""
    if app.builder.format != "html":
        return
    for place in list(doctree.findall(Status)):
        place.replace_self(nodes.raw("", status(app.env), format="html"))
    if app.builder.name != "html":
        return
    figures = [figure for figure in doctree.findall(nodes.figure) if figure["names"]]
    notebook = executed(app, page) if figures else None
    files = _figure_files(notebook) if notebook else {}
    for figure in figures:
        name = figure["names"][0]
        if name not in files:
            LOGGER.warning("figure %s has no data; draw it after use_style()", name, location=figure)
            continue
        _write_figure(Path(app.outdir) / "figures", name, files[name])
        links = _figure_links("../" * page.count("/"), name)
        figure.parent.insert(figure.parent.index(figure) + 1, nodes.raw("", links, format="html"))


def _figure_files(notebook: NotebookNode) -> dict[str, dict[str, bytes]]:
    """SVG, PDF and CSV of each figure of an executed notebook, by the figure's name."""
    found = {}
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if kept := output.get("metadata", {}).get(METADATA):
                found[name] = {
                    "svg": output["data"]["image/svg+xml"].encode(),
                    "pdf": base64.b64decode(kept["pdf"]),
                    "csv": kept["csv"].encode(),
                }
    return found


def _write_figure(folder: Path, name: str, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in files.items():
        (folder / f"{name}.{suffix}").write_bytes(content)


def _figure_links(root: str, name: str) -> str:
    links = " ".join(
        f'<a href="{root}figures/{name}.{suffix}" download aria-label="{what} of {name}">{what}</a>'
        for suffix, what in (("svg", "SVG"), ("pdf", "PDF"), ("csv", "Data"))
    )
    return f'<p class="figure-files">{links} <code>moe-lib figure {name}</code></p>'


def status(env: BuildEnvironment) -> str:
    """The tables of the status page: executed chapters, and the machine that executed them."""
    head = ("chapter", "executed (UTC)", "seconds", "cells", "checked")
    rows = []
    for path in chapters.chapters():
        page = f"book/{path.stem}"
        run: Any = NbMetadataCollector.get_exec_data(env, page)
        when = datetime.fromtimestamp(run["mtime"], UTC).strftime("%Y-%m-%d %H:%M") if run else "never"
        seconds = f"{run['runtime']:.0f}" if run and run["runtime"] else ""
        cells = path.read_text(encoding="utf-8").count("```{code-cell}")
        title = env.titles[page].astext() if page in env.titles else path.stem
        rows.append((title, when, seconds, str(cells), str(len(chapters.read_record(path)))))
    table = Shown(head, tuple(rows), "table")._repr_html_()
    here = Shown(("", ""), tuple(machine().items()), "checked")._repr_html_()
    return f"{table}<h3>Executed on</h3>{here}"


def decorate(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page its edition and its notebook before the theme makes its buttons."""
    if app.builder.name != "html":
        return
    link = context["pathto"](STATUS_PAGE)
    context["theme_extra_footer"] = f'<a href="{link}">{html.escape(str(app.config.html_context["edition"]))}</a>'
    if notebook := executed(app, page):
        copy = Path(app.outdir) / "_sources" / f"{page}.ipynb"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(_without_files(notebook), encoding="utf-8")
        context["ipynb_source"] = f"{page}.ipynb"


def _without_files(notebook: NotebookNode) -> str:
    """A notebook as text, without the files of its figures, which the site has beside it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop(METADATA, None)
    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def protected(page: str) -> str:
    """A page with its content-security policy, whose links to other sites pass on no handle of the window."""
    if "Content-Security-Policy" in page:
        return page
    hashes = " ".join(sorted({f"'sha256-{_digest(code)}'" for code in _inline(page)}))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(hashes=hashes)}">'
    page = page.replace('<a class="reference external"', '<a class="reference external" rel="noopener"')
    return re.sub(r"(<meta charset=\"utf-8\"\s*/?>)", rf"\1\n    {policy}", page, count=1)


def _inline(page: str) -> Iterator[str]:
    """Scripts and event handlers inside a page, as the browser reads them."""
    yield from INLINE_SCRIPT.findall(page)
    yield from map(html.unescape, HANDLER.findall(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)))


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def protect(app: Sphinx, error: Exception | None) -> None:
    """Write the policy into every page."""
    if error is None and app.builder.name == "html":
        for path in Path(app.outdir).rglob("*.html"):
            path.write_text(protected(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it."""
    app.add_node(Status)
    app.add_directive("status", StatusDirective)
    app.add_directive("downloads", DownloadsDirective)
    app.connect("config-inited", lambda _, config: config.html_context.update(edition=str(Edition.of())))
    app.connect("env-updated", lambda _, env: [STATUS_PAGE] if STATUS_PAGE in env.found_docs else [])
    app.connect("doctree-resolved", complete_page)
    app.connect("html-page-context", decorate, priority=400)
    app.connect("build-finished", protect)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
