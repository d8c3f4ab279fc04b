"""Facts of MegaBlocks' source that our adapter rests on, read from its source distribution without running it.

`python tests/model/megablocks_facts.py megablocks-0.10.0.tar.gz > tests/model/megablocks-0.10.0.json`
"""

import ast
import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any


def facts_of(sdist: Path) -> dict[str, Any]:
    """Fields of `Arguments` (name, type, default), the functions and classes of its layers, and its pins."""
    with tarfile.open(sdist) as archive:
        sources = {
            Path(member.name).stem: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if "/megablocks/layers/" in member.name and member.name.endswith(".py")
        }
    (dataclass,) = (
        node
        for node in ast.parse(sources["arguments"]).body
        if isinstance(node, ast.ClassDef) and node.name == "Arguments"
    )
    return {
        "source": sdist.name,
        "sha256": hashlib.sha256(sdist.read_bytes()).hexdigest(),
        "Arguments": [
            [node.target.id, ast.unparse(node.annotation), node.value and ast.unparse(node.value)]
            for node in dataclass.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        ],
        "names": {
            module: [node.name for node in ast.parse(sources[module]).body if hasattr(node, "name")]
            for module in ("dmoe", "moe", "router", "glu")
        },
    }


if __name__ == "__main__":
    print(json.dumps(facts_of(Path(sys.argv[1])), indent=1))
