"""Make the files of assets/fonts and helpers/fonts from Source Serif 4, with the characters that the book's text uses.

usage: python -m tools.fonts    (needs npm, and `pip install brotli`)

Pages load the woff2 files. The figures are drawn with the ttf files, since matplotlib does not read woff2.
"""

import subprocess
import tempfile
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

PACKAGE = "@fontsource/source-serif-4"
VERSION = "5.3.1"
ROOT = Path(__file__).resolve().parent.parent
PAGES, FIGURES = ROOT / "assets" / "fonts", ROOT / "helpers" / "fonts"
FACES = {"regular": "400-normal", "italic": "400-italic", "semibold": "600-normal"}
CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x100), *map(ord, "ıŒœ–—‘’‚“”„•…‹›−×")]


def subset(source: Path, target: Path, characters: list[int], flavour: str | None) -> None:
    font = TTFont(source)
    subsetter = Subsetter(Options(layout_features=["kern", "liga", "mark", "ccmp"], hinting=False))
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    font.flavor = flavour
    font.save(target)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        subprocess.run(["tar", "-xzf", archive], cwd=folder, check=True)
        package = Path(folder, "package")
        for name, face in FACES.items():
            source = package / "files" / f"source-serif-4-latin-{face}.woff2"
            subset(source, PAGES / f"source-serif-{name}.woff2", CHARACTERS, "woff2")
        for name in ("regular", "semibold"):
            source = package / "files" / f"source-serif-4-latin-{FACES[name]}.woff2"
            subset(source, FIGURES / f"source-serif-{name}.ttf", CHARACTERS, None)
        for folder in (PAGES, FIGURES):
            (folder / "LICENSE").write_bytes((package / "LICENSE").read_bytes())


if __name__ == "__main__":
    main()
