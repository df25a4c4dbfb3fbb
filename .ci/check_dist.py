"""Look into the distributions that were built: nothing missing, nothing stale, small enough."""

import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

folder = Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
(sdist,) = folder.glob("*.tar.gz")

names = zipfile.ZipFile(wheel).namelist()
libraries = [name for name in names if name.endswith(".so")]
expected = 3 if platform.machine() == "x86_64" else 1
size = wheel.stat().st_size / 1e6
print(f"{wheel.name}: {size:.2f} MB, {len(libraries)} compiled cores, {len(names)} files")
assert len(libraries) == expected, libraries
assert size < 3, f"the wheel has {size:.2f} MB"
assert "cbp/py.typed" in names
assert "cbp/_core.pyi" in names
assert "cbp/data/digits.npz" in names
assert not [name for name in names if name.endswith((".c", ".pyx", ".pxd"))]

with tarfile.open(sdist) as archive:
    inside = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB, {len(inside)} files")
listing = ["git", "ls-files", "cbp", "tests", "docs", "bench", "examples"]
tracked = subprocess.run(listing, capture_output=True, text=True, check=True)
missing = set(tracked.stdout.split()) - inside
assert not missing, f"not in the sdist: {sorted(missing)}"
assert not [name for name in inside if name.endswith((".c", ".so"))]

tags = subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], capture_output=True, text=True, check=True)
print(" ".join(tags.stdout.split())[:400])
