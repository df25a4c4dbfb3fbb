"""Build the extensions: ``cbp/_core.pyx``, translated to C once and compiled once for every level of CPU (see docs/design.md);
in an editable install ``cbp/_kernels.pyx`` too, the kernels one by one for tests and the benchmark.

Environment variables, read at build time:

CBP_LEVELS=v4 (or v2, v3, several with commas)
    Compile only these, while trying something: a package needs all of them.
CBP_QUICK=1
    No optimisation, while trying something: compiles in a third of the time, runs many times slower.
CBP_DEBUG=1
    Bounds checks, little optimisation, symbols.
CBP_SANITIZE=address|thread|undefined (or address,undefined)
    Compile and link with that sanitizer.
"""

import os
import platform
import shutil
import sys
from pathlib import Path
from threading import Lock

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CBP_DEBUG", "") not in ("", "0")
QUICK = os.environ.get("CBP_QUICK", "") not in ("", "0")
SANITIZE = os.environ.get("CBP_SANITIZE", "")

# What distinguishes the builds. A level is (compiler flags, bytes in a vector register, rows of the product's tile).
X86_LEVELS = {
    "": (["-march=x86-64-v2"], 16, 4),
    "_v3": (["-march=x86-64-v3"], 32, 6),
    "_v4": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64, 12),
}
OTHER_LEVELS = {"": ([], 16, 6)}

# -O2 with vectorisation, not -O3: gcc at -O3 unrolls the tile's inner loops away before the vectoriser sees them, and the
# product then runs 6 to 25 times slower. -fno-trapping-math lets loops with a condition vectorise; nothing faster is
# used, because -ffast-math turns subnormal numbers off for the whole process.
OPTIMISE = ["-O2", "-ftree-vectorize", "-fpeel-loops", "-fno-math-errno", "-fno-trapping-math", "-g0"]
# Loops that copy or clear stay loops: as a call of memset or `rep stos` they would force the tile's accumulators into memory.
# Functions of so many instructions are still inlined where the source says `inline`, and some are not although it does, which
# gcc would warn of: see kernels/inlining.pxd.
GCC_ONLY = ["-fvect-cost-model=unlimited", "-fno-tree-loop-distribute-patterns", "--param", "max-inline-insns-single=400",
            "-Wno-attributes"]


def compiler_is_gcc() -> bool:
    return sys.platform == "linux" and "clang" not in os.environ.get("CC", "")


def flags(march: list[str]) -> tuple[list[str], list[str]]:
    """Compiler and linker flags of one build."""
    if sys.platform == "win32":
        return (["/Od"] if DEBUG else ["/O2", "/fp:precise"]), []
    if SANITIZE:
        sanitizer = [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
        # Python's own flags hold -fwrapv, which would hide signed overflow from UBSan.
        return [*march, "-O1", "-g", "-fno-wrapv", *sanitizer], sanitizer
    if DEBUG:
        return [*march, "-O1", "-g"], []
    if QUICK:
        return [*march, "-O0", "-g0"], []
    link = ["-Wl,--strip-all"] if sys.platform == "linux" else []
    return [*march, *OPTIMISE, *(GCC_ONLY if compiler_is_gcc() else [])], link


def levels() -> dict[str, tuple[list[str], int, int]]:
    on_x86 = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"
    return X86_LEVELS if on_x86 else OTHER_LEVELS


def extension(module: str, suffix: str) -> Extension:
    """A module of one level. Its C source is that of the plain module, the function that Python looks for apart."""
    march, vector_bytes, tile_rows = levels()[suffix]
    compile_flags, link_flags = flags(march)
    how = " ".join(["debug"] * DEBUG + ["quick"] * QUICK + [SANITIZE] * bool(SANITIZE))
    macros = [("CBP_VECTOR_BYTES", str(vector_bytes)), ("CBP_TILE_ROWS", str(tile_rows)), ("CBP_HOW", f'"{how}"'),
              ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), (f"PyInit_{module}", f"PyInit_{module}{suffix}")]
    if sys.platform != "win32":
        macros.append(("CYTHON_INLINE", "__inline__"))
    return Extension(
        f"cbp.{module}{suffix}",
        [f"cbp/{module}.pyx"],
        depends=sources(),
        include_dirs=[numpy.get_include()],
        define_macros=macros,
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
        libraries=["m", "pthread"] if sys.platform != "win32" else [],
    )


def sources() -> list[str]:
    """All Cython files: any of them may be part of an extension."""
    return sorted(str(path) for pattern in ("*.pyx", "*.pxd") for path in Path("cbp").rglob(pattern))


class Build(build_ext):
    """Runs Cython when a level is built and not before: pip reads this file three times, and Cython takes ten seconds. Each
    module is translated once, and the C compiler works on all levels at once. What is newer than its sources, and was built
    in the same way, stays."""

    one_at_a_time = Lock()

    def finalize_options(self) -> None:
        if self.editable_mode or self.inplace:
            known = {ext.name for ext in self.distribution.ext_modules}
            more = [extension("_kernels", suffix) for suffix in wanted()]
            self.distribution.ext_modules += [ext for ext in more if ext.name not in known]
        super().finalize_options()
        self.parallel = self.parallel or len(levels())

    def build_extension(self, ext: Extension) -> None:
        stamp = Path("build", "how", ext.name)
        how = repr((ext.extra_compile_args, ext.extra_link_args, ext.define_macros, DEBUG, sys.version, numpy.__version__))
        if not stamp.exists() or stamp.read_text() != how:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # built in another way
        with self.one_at_a_time:
            translated = self.translated(Path(ext.sources[0]))
        # A copy for each level, since the object file takes its name.
        own = translated.parent / f"{ext.name.removeprefix('cbp.')}.level.c"
        shutil.copy2(translated, own)
        ext.sources = [str(own)]
        super().build_extension(ext)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(how)

    @staticmethod
    def translated(source: Path) -> Path:
        """The C source of a module."""
        folder = Path("build", "debug" if DEBUG else "c")
        found = folder / "cbp" / f"{source.stem}.c"
        stamp = folder / "cython"
        same = stamp.exists() and stamp.read_text() == Cython.__version__
        if same and found.exists() and found.stat().st_mtime > max(os.stat(name).st_mtime for name in [*sources(), "setup.py"]):
            return found
        (module,) = cythonize(
            Extension(f"cbp.{source.stem}", [str(source)]),
            build_dir=str(folder),
            force=True,  # Cython does not always see that a kernel changed
            compiler_directives={
                "language_level": "3",
                "boundscheck": DEBUG,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": DEBUG,
                "embedsignature": True,
                "autotestdict": False,
                "freethreading_compatible": True,
            },
        )
        stamp.write_text(Cython.__version__)
        return Path(module.sources[0])


def wanted() -> list[str]:
    """The suffixes of the levels to build."""
    chosen = os.environ.get("CBP_LEVELS")
    return [suffix for suffix in levels() if not chosen or (suffix[1:] or "v2") in chosen.split(",")]


setup(ext_modules=[extension("_core", suffix) for suffix in wanted()], cmdclass={"build_ext": Build})
