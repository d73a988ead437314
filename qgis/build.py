"""Write the plugin as a zip that QGIS installs, with the version of the project and its licence.

usage: python qgis/build.py [FOLDER]     (dist by default; needs nothing but Python 3.11)
"""

import re
import sys
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PLUGIN = HERE / "landshift_processing"
KINDS = (".py", ".txt", ".svg")
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same files give the same zip."""


def build(folder: Path) -> Path:
    """Write the zip, and return its path."""
    version = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    files = {p.name: p.read_bytes() for p in sorted(PLUGIN.iterdir()) if p.suffix in KINDS}
    files["LICENSE"] = (HERE.parent / "LICENSE").read_bytes()
    metadata, count = re.subn(r"(?m)^version=.*$", f"version={version}", files["metadata.txt"].decode())
    if count != 1:
        sys.exit("metadata.txt: expected one line that begins with version=")
    files["metadata.txt"] = metadata.encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"landshift_processing-{version}.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{PLUGIN.name}/{name}", DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, content)
    return path


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("dist")))  # noqa: T201
