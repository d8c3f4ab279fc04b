"""Visual elements of the chapters: tables, checked values, glued numbers, commands, the three voices, and verdicts.

Tables and checked values are HTML on a page, and aligned text in a record that `make verify` compares. Their style is
in book/_assets/book.css.
"""

import html
import os
import re
import shlex
import string
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from moe_lib.claims import Judged

UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}
LONG = 44  # characters; longer cells of a table break into lines on a page
VOICES = {"paper": "The paper says", "law": "Its law implies", "runs": "Our runs show"}


class _Numbers(string.Formatter):
    """`str.format` whose formats may end in a unit, and which writes powers of ten as in 1e13."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec[-1:] in UNITS:
            value, format_spec = value / UNITS[format_spec[-1]], format_spec[:-1]
        written = str(format(value, format_spec))
        return re.sub(r"e\+?(-?)0*", r"e\1", written) if format_spec.endswith(("e", "g")) else written


def text(template: str, *values: Any, **named: Any) -> str:
    """Values in a template such as `{:.2fM} to {:.2fM}`, in which K, M and B after a format divide by their unit."""
    return _Numbers().vformat(template, values, named)


@dataclass(frozen=True)
class Shown:
    """Rows of cells under headings, which may be empty; `look` is the HTML class."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    look: str

    def __repr__(self) -> str:
        lines = [*([self.head] if any(self.head) else []), *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = self._right()
        return "\n".join(
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        sides = ["right" if to_right else "left" for to_right in self._right()]
        head = "".join(f'<th class="{side}">{_html(cell)}</th>' for side, cell in zip(sides, self.head, strict=True))
        rows = (
            "".join(
                f'<td class="{side}{_long(cell)}">{_html(cell)}</td>' for side, cell in zip(sides, row, strict=True)
            )
            for row in self.rows
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return (
            f'<div class="shown {self.look}"><table class="table">'
            + (f"<thead><tr>{head}</tr></thead>" if any(self.head) else "")
            + f"<tbody>{body}</tbody></table></div>"
        )

    def _right(self) -> list[bool]:
        """For each column, whether it has numbers and is aligned to the right."""
        if self.look != "table":
            return [False] * len(self.head)
        return [all(re.match(r"[-+−]?[\d.]|$", cell) for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Terminal:
    """A command and what it printed."""

    command: str
    output: str

    def __repr__(self) -> str:
        return f"$ {self.command}\n{self.output}"

    def _repr_html_(self) -> str:
        return f'<pre class="terminal"><b>$ {html.escape(self.command)}</b>\n{html.escape(self.output)}</pre>'


def show(table: pd.DataFrame, columns: Mapping[str, str]) -> Shown:
    """A table: each heading with the template of its cells, whose fields are columns of `table` or names of its index.

    `{"S": "{S:.2f}", "N* (millions)": "{N:.2fM} ({low:.2fM} to {high:.2fM})"}`; a cell with a missing value is empty.
    """
    named = table.reset_index() if any(table.index.names) else table
    rows = named.to_dict("records")
    return Shown(tuple(columns), tuple(tuple(_cell(cell, row) for cell in columns.values()) for row in rows), "table")


def checked(values: Mapping[str, Sequence[Any]]) -> Shown:
    """Values that are compared with the record, one per line: a label, with a template and its arguments."""
    rows = ((label, text(template, *filling)) for label, (template, *filling) in values.items())
    return Shown(("", ""), tuple(rows), "checked")


def numbers(values: Mapping[str, Sequence[Any]]) -> None:
    """Glue numbers by name for use in prose; each is a template with its arguments. Outside a notebook, do nothing."""
    if "ipykernel" not in sys.modules:
        return
    from myst_nb import glue

    for name, (template, *filling) in values.items():
        glue(name, text(template, *filling), display=False)


def voices(rows: Iterable[tuple[str, str, str]]) -> Shown:
    """What the paper says, what its law implies and what our runs show, side by side; one row per statement."""
    return Shown(tuple(VOICES.values()), tuple(rows), "voices")


def terminal(command: str) -> Terminal:
    """A `moe-lib` command with what it prints, run here; `RuntimeError` if it fails."""
    program, *arguments = shlex.split(command)
    assert program == "moe-lib", command
    call = [sys.executable, "-c", "from moe_lib.cli.app import main; main()", *arguments]
    plain = {"COLUMNS": "100", "FORCE_COLOR": "", "NO_COLOR": "1"}  # a kernel asks for colours
    result = subprocess.run(call, capture_output=True, text=True, env=os.environ | plain)
    if result.returncode:
        raise RuntimeError(f"{command} ended with {result.returncode}: {result.stderr}")
    return Terminal(command, "\n".join(line.rstrip() for line in result.stdout.splitlines() if line.strip()))


@dataclass(frozen=True)
class Board:
    """Judged claims: a table that can be filtered, and ids with verdicts in a record.

    The choice of a verdict needs no script; book/_assets/board.js adds the filters by section and kind, and the search.
    """

    judged: "tuple[Judged, ...]"

    def __repr__(self) -> str:
        return "\n".join(f"{one.claim.id}  {one.finding.verdict}" for one in self.judged)

    def _repr_html_(self) -> str:
        from moe_lib.claims import VERDICTS

        choices = "".join(
            f'<label><input type="radio" name="verdict" value="{_slug(one)}"{" checked" if one == "all" else ""}> '
            f"{html.escape(one)}</label>"
            for one in ("all", *VERDICTS)
        )
        head = "".join(f'<th class="left">{name}</th>' for name in ("claim", "the paper says", "verdict"))
        rows = "".join(map(_claim, self.judged))
        return (
            f'<div class="shown board"><fieldset><legend>Show</legend>{choices}</fieldset>'
            f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )


def _claim(one: "Judged") -> str:
    """A claim's row: where, what the paper says, grounds and rule (folded), verdict and effect."""
    claim, found = one.claim, one.finding
    asked = [(VOICES[voice], found.of(voice)) for voice in ("law", "runs") if found.of(voice)]
    by_voice = "".join(f"<dt>{name}</dt><dd>{verdict}</dd>" for name, verdict in asked)
    page, _, label = claim.shown.partition("#")
    link = f' <a href="{page}.html{label and f"#{label}"}">evidence</a>' if page not in ("", "claims") else ""
    below = " ".join(_badge(name, verdict) for name, verdict in one.rests_on.items())
    return (
        f'<tr id="{claim.id}" class="{_slug(found.verdict)}" data-kind="{html.escape(claim.kind)}" '
        f'data-sections="{" ".join(_sections(claim.section))}"><td id="{claim.id.lower()}">'
        f'<a class="permalink" href="#{claim.id}" title="permanent link">{claim.id}</a><br>'
        f"<small>{_html(claim.section)}</small></td><td>{_html(claim.says)}{link}"
        + (f'<p class="rests">rests on {below}</p>' if below else "")
        + f"<details><summary>Grounds and rule</summary><p>{_html(found.grounds)}</p><p>{_html(claim.rule)}</p>"
        f"<dl>{by_voice}</dl></details></td>"
        f'<td><span class="verdict">{found.verdict}</span><br><small>{_html(one.effect)}</small></td></tr>'
    )


def _sections(where: str) -> list[str]:
    """The sections that a claim's place names, such as 2 and A; `figures` for a place that names none."""
    found = [
        match[1] for part in where.split(",") if (match := re.match(r"(\d|[A-F]|abstract|poster)\b", part.strip()))
    ]
    return list(dict.fromkeys(found)) or ["figures"]


@dataclass(frozen=True)
class Verdicts:
    """Judged claims as badges that link to the board, with the verdicts of the claims that they rest on."""

    judged: "tuple[Judged, ...]"

    def __getitem__(self, name: str) -> "Judged":
        return next(one for one in self.judged if one.claim.id == name)

    def by_voice(self, ids: str) -> Shown:
        """What law and runs say about some of the claims: verdict, effect, and what weakens it."""
        chosen = [self[name] for name in ids.split()]
        return voices((f"{one.claim.says} ({one.claim.id})", one.said_by("law"), one.said_by("runs")) for one in chosen)

    def __repr__(self) -> str:
        return "\n".join(f"{one.claim.id}  {one.finding.verdict}{_rests(one)}" for one in self.judged)

    def _repr_html_(self) -> str:
        badges = " ".join(_badge(one.claim.id, one.finding.verdict) for one in self.judged)
        said = "".join(
            f"<li><b>{one.claim.id}</b> {_html(one.claim.says)} "
            f"<small>({_html(one.claim.section)}){_rests(one)}</small></li>"
            for one in self.judged
        )
        return (
            f'<div class="verdicts"><p><span>Verdicts</span> {badges}</p>'
            f"<details><summary>What these claims say</summary><ul>{said}</ul></details></div>"
        )


def verdicts(ids: str) -> Verdicts:
    """The verdicts of some claims, whose ids are separated by spaces, on the evidence of the book."""
    from moe_lib.claims import board

    return Verdicts(tuple(board(ids=ids.split())))


@dataclass(frozen=True)
class Tiles:
    """How many claims have each verdict, and for each the first of `examples` that has it, else any."""

    judged: "tuple[Judged, ...]"
    examples: tuple[str, ...]

    def _found(self) -> "list[tuple[str, int, Judged | None]]":
        from moe_lib.claims import counts

        by_id = {one.claim.id: one for one in self.judged}
        ordered = [*(by_id[name] for name in self.examples), *self.judged]
        return [
            (verdict, number, next((one for one in ordered if one.finding.verdict == verdict), None))
            for verdict, number in counts(self.judged).items()
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{number} {verdict}" for verdict, number, _ in self._found())

    def _repr_html_(self) -> str:
        tiles = "".join(
            f'<a class="{_slug(verdict)}" href="claims.html{_anchor(one)}"><b>{number}</b> <strong>{verdict}</strong>'
            f"<span>{_html(one.claim.says) if one else ''}</span></a>"
            for verdict, number, one in self._found()
        )
        return f'<div class="tiles">{tiles}</div>'


def _anchor(one: "Judged | None") -> str:
    return f"#{one.claim.id.lower()}" if one else ""


def _badge(name: str, verdict: str) -> str:
    return f'<a class="verdict {_slug(verdict)}" href="claims.html#{name.lower()}"><b>{name}</b> {verdict}</a>'


def _rests(one: "Judged") -> str:
    """The claims that one rests on, with their verdicts, as the end of a line."""
    below = ", ".join(f"{name} {verdict}" for name, verdict in one.rests_on.items())
    return f"; rests on {below}" if below else ""


def _slug(words: str) -> str:
    return words.replace(" ", "-")


def _cell(template: str, row: Mapping[Any, Any]) -> str:
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    return "" if any(pd.isna(row[name]) for name in fields) else text(template, **{str(k): v for k, v in row.items()})


def _long(cell: str) -> str:
    """The class of cells that break into lines."""
    return " long" if len(cell) > LONG else ""


def _html(cell: str) -> str:
    """Escaped, with N_a as a subscript."""
    return re.sub(r"\b([A-Z])_(\w+)", r"<i>\1</i><sub>\2</sub>", html.escape(cell))
