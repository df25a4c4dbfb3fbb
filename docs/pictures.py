"""The pictures of ``pictures.md``: ``python docs/pictures.py`` runs the code of the page in the folder ``pictures``.

The drawing of the network is that of the notebook, which a browser has to draw: where there is a Chromium, it is made anew too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent


def run_page(folder: Path) -> dict[str, Any]:
    """Run the code of the page where its pictures belong; its names."""
    page = (DOCS / "pictures.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            exec(block, names)
    finally:
        os.chdir(before)
    return names


def small(picture: Path) -> None:
    """In two hundred colours, which takes a third of the bytes."""
    from PIL import Image  # which matplotlib needs

    with Image.open(picture) as image:
        image.convert("RGB").quantize(200, dither=Image.Dither.NONE).save(picture, optimize=True)


def photograph(html: str, picture: Path, width: int, height: int) -> bool:
    """A page as a browser shows it; False where there is none."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text('<!doctype html><meta charset="utf-8"><body style="margin: 8px; background: white">' + html,
                        encoding="utf-8")
        subprocess.run([
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={folder}/profile", "--hide-scrollbars",
            f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri(),
        ], check=True, capture_output=True, timeout=120)
    return True


if __name__ == "__main__":
    pictures = DOCS / "pictures"
    pictures.mkdir(exist_ok=True)
    page = run_page(pictures)
    if not photograph(page["lenet"]._repr_html_(), pictures / "network.png", 700, 640):
        print("network.png stays as it was: there is no Chromium here")
    for picture in pictures.glob("*.png"):
        small(picture)
