"""Make the libraries that pages load, with their licences: MiniSearch, and the parts of D3 that figures use.

usage: python -m tools.vendor      (needs node and npm, and asks the npm registry; the book itself needs neither)

They are assets/explore/vendor/d3.js and assets/search/minisearch.js. To move to newer versions, or to use more of D3,
edit the tables below and run it again.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"
VENDOR = ASSETS / "explore" / "vendor"
SEARCH = ASSETS / "search"
ESBUILD = "0.28.2"
MINISEARCH = "7.2.0"
EXPORTS = {
    "d3-axis": ["axisBottom", "axisLeft"],
    "d3-format": ["format"],
    "d3-scale": ["scaleLinear", "scaleLog", "scaleSymlog"],
    "d3-selection": ["select"],
}
VERSIONS = {
    "d3-array": "3.2.5",
    "d3-axis": "3.0.1",
    "d3-color": "3.1.1",
    "d3-format": "3.1.3",
    "d3-interpolate": "3.0.2",
    "d3-scale": "4.0.3",
    "d3-selection": "3.0.1",
    "d3-time": "3.1.1",
    "d3-time-format": "4.1.1",
    "internmap": "2.0.3",
}


def bundle(folder: Path) -> set[str]:
    """Write d3.js and return the names of the packages that are in it."""
    entry = "".join(f'export {{ {", ".join(names)} }} from "{package}";\n' for package, names in EXPORTS.items())
    (folder / "entry.js").write_text(entry)
    wanted = VERSIONS | {"esbuild": ESBUILD, "minisearch": MINISEARCH}
    (folder / "package.json").write_text(json.dumps({"dependencies": wanted}))
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(npm, cwd=folder, check=True)
    esbuild = ["node_modules/.bin/esbuild", "entry.js", "--bundle", "--minify", "--format=esm", "--target=es2020"]
    made = [f"--outfile={VENDOR / 'd3.js'}", "--metafile=meta.json", f"--banner:js={banner()}", "--log-level=warning"]
    subprocess.run([*esbuild, *made], cwd=folder, check=True)
    (output,) = json.loads((folder / "meta.json").read_text())["outputs"].values()
    return {name.split("/")[1] for name, part in output["inputs"].items() if "/" in name and part["bytesInOutput"]}


def bundle_search(folder: Path) -> None:
    """Write minisearch.js, a classic script that defines MiniSearch, and its licence; after `bundle`."""
    package = folder / "node_modules" / "minisearch"
    esbuild = ["node_modules/.bin/esbuild", "node_modules/minisearch/dist/es/index.js", "--bundle", "--minify"]
    form = ["--format=iife", "--global-name=MiniSearchModule", "--target=es2020", "--log-level=warning"]
    said = f"// MiniSearch {MINISEARCH}, bundled by tools/vendor.py. Licence: minisearch.LICENSE beside this file."
    ends = [f"--banner:js={said}", "--footer:js=var MiniSearch=MiniSearchModule.default;"]
    subprocess.run([*esbuild, *form, *ends, f"--outfile={SEARCH / 'minisearch.js'}"], cwd=folder, check=True)
    (SEARCH / "minisearch.LICENSE").write_text((package / "LICENSE.txt").read_text())


def banner() -> str:
    return "// Parts of D3, bundled by tools/vendor.py. Licences: d3.LICENSE beside this file."


def licences(folder: Path, packages: set[str]) -> str:
    texts = []
    for name in sorted(packages):
        text = (folder / "node_modules" / name / "LICENSE").read_text().strip()
        texts.append(f"{name} {VERSIONS[name]}\n\n{text}\n")
    return "\n\n".join(texts)


def main() -> int:
    if not shutil.which("npm"):
        print("tools.vendor: npm was not found; install Node.js", file=sys.stderr)
        return 1
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        packages = bundle(Path(name))
        (VENDOR / "d3.LICENSE").write_text(licences(Path(name), packages))
        bundle_search(Path(name))
    print(f"{VENDOR / 'd3.js'}: {(VENDOR / 'd3.js').stat().st_size:,} bytes from {', '.join(sorted(packages))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
