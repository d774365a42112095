"""Makes the letters of the pictures: two small fonts out of the pinned package `font-lato`.

`python tools/font.py FOLDER` (`make font`). Only the signs that a picture can have are kept, so that both
together take 30 KB. Lato is under the SIL Open Font License, which reserves its name for the original: what
is made of it is called otherwise, and comes with the licence.
"""

import importlib.util
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

NAME = "ftwatch Sans"
FACES = {"Regular": "ftwatch-sans.ttf", "Bold": "ftwatch-sans-bold.ttf"}
# Latin letters, digits and their marks, and the signs of our own sentences.
SIGNS = [*range(0x20, 0x7F), *map(ord, "·±×−–—…‘’“”")]
# Which records of a font's own description say what it is called.
FAMILY, FACE, UNIQUE, FULL, SHORT = 1, 2, 3, 4, 6
KEPT = (0, FAMILY, FACE, UNIQUE, FULL, 5, SHORT, 13, 14)


def make(folder: Path) -> None:
    """Writes both fonts and the licence into `folder`."""
    found = importlib.util.find_spec("font_lato")
    if found is None or found.origin is None:
        raise SystemExit("font-lato is not installed: make install")
    source = Path(found.origin).parent / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for face, name in FACES.items():
        font = TTFont(source / f"Lato-{face}.ttf", recalcTimestamp=False)
        options = subset.Options(hinting=False, name_IDs=list(KEPT), layout_features=["kern"])
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=SIGNS)
        cutter.subset(font)
        called = {FAMILY: NAME, UNIQUE: f"{NAME} {face}", FULL: f"{NAME} {face}"}
        called[SHORT] = f"{NAME.replace(' ', '')}-{face}"
        for record in font["name"].names:
            if record.nameID in called:
                record.string = called[record.nameID]
        font.save(folder / name)
    (folder / "OFL.txt").write_bytes((source / "OFL.txt").read_bytes())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
