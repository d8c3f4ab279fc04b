"""Save our first isoFLOP slice, a figure of Section 2, as the picture that the README shows."""

import sys

import chapters

PICTURE = chapters.ROOT / "book" / "_assets" / "picture.svg"


def main() -> int:
    """Execute the chapter and write the SVG of that figure; 1 if there is none."""
    notebook = chapters.execute(chapters.ROOT / "book" / "interplay.md")
    for cell in notebook.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") != "fig-slice":
            continue
        for output in cell.get("outputs", []):
            if svg := output.get("data", {}).get("image/svg+xml"):
                PICTURE.write_text(svg, encoding="utf-8")
                print(f"{PICTURE.relative_to(chapters.ROOT)}: {len(svg) / 1000:.0f} kB")
                return 0
    print("book/interplay.md shows no figure fig-slice", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
