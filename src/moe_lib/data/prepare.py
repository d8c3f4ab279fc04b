"""`prepare` builds a corpus, or verifies the existing one; `open_corpus` reads an existing one."""

import re
import shutil
from pathlib import Path

from moe_lib.data import corpus as corpora
from moe_lib.data.build import Say, build
from moe_lib.data.corpus import FILES, MAX_VOCAB_SIZE, Manifest, TokenCorpus
from moe_lib.data.recipes import find_recipe, recipe_name
from moe_lib.errors import InputError
from moe_lib.extras import require_extra
from moe_lib.files import only_builder, whole_file

MIN_VOCAB_SIZE = 257  # every byte, and end-of-text


def prepare(
    corpus: str = "embedded", vocab_size: int = 1024, root: Path | None = None, say: Say = lambda line: None
) -> TokenCorpus:
    """Build a corpus, or verify the existing one within seconds.

    `corpus` is one of `KNOWN` in `recipes`, or a file or folder of text. An interrupted build leaves the old
    corpus intact. Raises `InputError` for a corpus that cannot be found, empty text, or a vocabulary out of range.
    """
    if not MIN_VOCAB_SIZE <= vocab_size <= MAX_VOCAB_SIZE:
        raise InputError(f"vocab_size = {vocab_size} has to be in [{MIN_VOCAB_SIZE}, {MAX_VOCAB_SIZE}]")
    require_extra("train", f"corpus = '{corpus}' has to be prepared, which")
    path = corpora.manifest_path(recipe_name(corpus), vocab_size, root)
    recipe = find_recipe(corpus, downloads=path.parent.parent / "downloads")
    fingerprint = recipe.fingerprint(vocab_size)
    if existing := _existing(path, fingerprint, say):
        return existing
    with only_builder(path.with_suffix("")) as folder:
        existing = _existing(path, fingerprint, lambda line: None)  # another process may just have built it
        return existing or _publish(build(recipe, vocab_size, folder, say), folder, path)


def _existing(path: Path, fingerprint: str, say: Say) -> TokenCorpus | None:
    """The existing corpus, if it is complete and its sources are unchanged."""
    if not path.exists():
        return None
    try:
        existing = corpora.read_corpus(path)
    except InputError as error:
        say(f"{error}: rebuilding")
        return None
    if existing.manifest.fingerprint != fingerprint:
        say("the sources have changed: rebuilding")
        return None
    return existing


def open_corpus(corpus: str = "embedded", vocab_size: int = 1024, root: Path | None = None) -> TokenCorpus:
    """A prepared corpus; `InputError` if it has not been prepared, or if manifest and tokens do not match."""
    path = corpora.manifest_path(recipe_name(corpus), vocab_size, root)
    if not path.exists():
        raise InputError(
            f"corpus = '{corpus}' with vocab_size = {vocab_size} is not prepared; "
            f"run: moe-lib data prepare --corpus {corpus} --vocab-size {vocab_size}"
        )
    return corpora.read_corpus(path)


def _publish(manifest: Manifest, built: Path, path: Path) -> TokenCorpus:
    """Move the built files into place, then replace the manifest atomically, then remove the old tokens."""
    folder = path.parent / manifest.folder
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (built / name).replace(folder / name)
    with whole_file(path) as temporary:
        temporary.write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    ours = re.compile(re.escape(path.stem) + "-[0-9a-f]{12}")  # a longer name belongs to another corpus
    for old in path.parent.iterdir():
        if ours.fullmatch(old.name) and old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return TokenCorpus(root=folder, manifest=manifest).opened()
