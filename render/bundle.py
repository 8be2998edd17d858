"""Bundles the explorable figures into one classic script, because a page opened from a file cannot load modules."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

from render.book import ASSETS, RenderError

EXPLORE = ASSETS / "explore"
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
DECLARATION = re.compile(r"^export (?=(?:async )?(?:function|const|class) ([\w$]+))", re.MULTILINE)
DEFAULT = re.compile(r"^export default (?=function ([\w$]+))", re.MULTILINE)
LIST = re.compile(r"export\{([^}]*)\};?\s*$")
COMMENT = re.compile(r"^[ \t]*(?://.*|/\*(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)  # on lines of its own
LEFT_OVER = re.compile(r"^(?:import|export)\b", re.MULTILINE)
USE = "const modules = {}, made = {};\nconst use = (name) => (made[name] ??= modules[name]());"
START = 'use("explore.js").startAll(async (name) => use(`${name}.js`));'


def explorables() -> list[str]:
    """Returns the names of the explorable figures, which are the modules with a default export."""
    return sorted(path.stem for path in EXPLORE.glob("*.js") if DEFAULT.search(path.read_text(encoding="utf-8")))


def bundle() -> str:
    """Returns the script that starts every explorable figure of a page. A module runs when it is first used."""
    made: dict[str, str] = {}
    for name in ["explore.js", *(f"{name}.js" for name in explorables())]:
        _add(name, made)
    parts = [f"modules[{json.dumps(name)}] = () => {{\n{code}\n}};" for name, code in made.items()]
    return "\n".join(["(() => {", USE, *parts, START, "})();", ""])


def _add(name: str, made: dict[str, str]) -> None:
    """Adds a module after those that it imports, as the body of a function that returns its exports."""
    if name in made:
        return
    code = (EXPLORE / name).read_text(encoding="utf-8")
    folder = PurePosixPath(name).parent
    for _, source in IMPORT.findall(code):
        _add(str(folder / source), made)

    def taken(match: re.Match[str]) -> str:
        pieces = match[1].replace(" as ", ": ")
        return f"const {{{pieces}}} = use({json.dumps(str(folder / match[2]))});"

    exports = list(DECLARATION.findall(code))
    exports += [f"default: {name}" for name in DEFAULT.findall(code)]
    if listed := LIST.search(code):
        for piece in listed[1].split(","):
            inner, _, outer = piece.strip().partition(" as ")
            exports.append(f"{outer or inner}: {inner}")
    if folder.name != "vendor":  # where a comment may be a licence
        code = COMMENT.sub("", code)
    code = LIST.sub("", DECLARATION.sub("", DEFAULT.sub("", IMPORT.sub(taken, code))))
    if LEFT_OVER.search(code):
        raise RenderError(f"assets/explore/{name}: an import or export of a form that cannot be bundled")
    made[name] = f"{code.strip()}\nreturn {{ {', '.join(exports)} }};"


def write_bundle(folder: Path) -> None:
    """Writes the script into the folder of the book's assets."""
    (folder / "explore.js").write_text(bundle(), encoding="utf-8")
