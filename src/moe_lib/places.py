"""Places in the book: the pages, sections and figures that show the paper's figures, tables and claims."""

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from pydantic import Field

from moe_lib.claims.statement import Text, read_claims
from moe_lib.config import Config, read_yaml
from moe_lib.errors import InputError
from moe_lib.repository import BOOK, require

FENCE = re.compile(r"^(`{3,}|:{3,})(.*)$")
HEADING = re.compile(r"^(#{1,4}) (.+)$")
LABEL = re.compile(r"^\(([\w-]+)\)=$")
FIGURE = re.compile(r"^    name: ([\w-]+)$")
Target = Annotated[str, Field(pattern=r"^[\w-]+(#[\w-]+)?$")]


class Part(Config):
    """A figure or a table of the paper, what it shows, and the places that have its counterpart."""

    id: Text
    shows: Text
    here: list[Target]


class Parts(Config):
    """The content of book/where.yml."""

    parts: list[Part]


@dataclass(frozen=True)
class Place:
    """A page, or a section or figure of it; `section` is the title above the anchor, empty for the page itself."""

    page: str
    anchor: str
    title: str
    section: str

    @property
    def address(self) -> str:
        """The link from another page."""
        return f"{self.page}.html" + (f"#{self.anchor}" if self.anchor else "")

    @property
    def words(self) -> str:
        """Title of page and section."""
        return self.title if self.section in ("", self.title) else f"{self.title} › {self.section}"


def place(target: str) -> Place:
    """The place of `page#anchor` or `page`; `InputError` if the book has no such page or anchor.

    An id of a claim on the page of claims (`claims#c01`) is an anchor too.
    """
    page, _, anchor = target.partition("#")
    path = require(BOOK, "a place in the book") / f"{page}.md"
    if not path.exists():
        raise InputError(f"{target!r} names the page {page!r}, which is not a page of the book")
    found = anchors(path.read_text(encoding="utf-8"))
    title = next(iter(found.values()), page)
    if page == "claims" and re.fullmatch(r"c\d\d", anchor):
        return Place(page, anchor, title, "the grounds of its verdict")
    if anchor and anchor not in found:
        raise InputError(f"{target!r} names the anchor {anchor!r}, which {path.name} does not have")
    return Place(page, anchor, title, found.get(anchor, ""))


def anchors(page: str) -> dict[str, str]:
    """The anchors of a page's source (sections, labels, figures), each with the title of its section; in order."""
    found: dict[str, str] = {}
    labels: list[str] = []
    title, fence = "", ""
    for line in page.splitlines():
        if mark := FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) and not mark[2] else fence or mark[1]
        if fence:
            if figure := FIGURE.match(line):
                found[figure[1]] = title
        elif label := LABEL.match(line):
            labels.append(label[1])
        elif heading := HEADING.match(line):
            title = re.sub(r"[$*`]", "", re.sub(r"^\d+\. ", "", heading[2]))
            found |= dict.fromkeys([slug(heading[2]), *labels], title)
            labels = []
    return found


def slug(title: str) -> str:
    """The address of a section with this title on its page, as Sphinx makes it after quotes are set."""
    plain = unicodedata.normalize("NFKD", title.lower().replace("'", "")).encode("ascii", "ignore").decode()
    return re.sub(r"^[-\d]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", plain))


@cache
def parts() -> tuple[Part, ...]:
    """The paper's figures and tables with their places, in the order of book/where.yml."""
    return tuple(Parts(**read_yaml(require(BOOK, "the places of figures") / "where.yml")).parts)


@dataclass(frozen=True)
class Where:
    """Tables of the paper's figures and tables, and of its claims, each with links to the book; text in a record."""

    rows: tuple[tuple[str, str, tuple[Place, ...]], ...]

    @classmethod
    def of_parts(cls) -> "Where":
        """The paper's figures and tables."""
        return cls(tuple((part.id, part.shows, tuple(map(place, part.here))) for part in parts()))

    @classmethod
    def of_claims(cls) -> "Where":
        """The paper's claims."""
        return cls(tuple((claim.id, claim.says, (place(claim.shown),)) for claim in read_claims()))

    def __repr__(self) -> str:
        return "\n".join(f"{name}  {', '.join(one.address for one in places)}" for name, _, places in self.rows)

    def _repr_html_(self) -> str:
        return (
            '<div class="shown board"><table class="table"><thead><tr><th></th><th>what it is, and where</th>'
            f"</tr></thead><tbody>{''.join(map(_row, self.rows))}</tbody></table></div>"
        )


def _row(row: tuple[str, str, tuple[Place, ...]]) -> str:
    name, says, places = row
    claim = re.fullmatch(r"C\d\d", name)
    first = f'<a href="claims.html#{name.lower()}">{name}</a>' if claim else f"<b>{name}</b>"
    links = "<br>".join(f'<a href="{one.address}">{html.escape(one.words)}</a>' for one in places)
    return (
        f'<tr><td id="{slug(name.replace(" ", "-"))}">{first}</td>'
        f"<td>{re.sub(r'N_a', '<i>N</i><sub>a</sub>', html.escape(says))}<br>{links}</td></tr>"
    )
