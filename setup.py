"""Build the extension: one source, ``cbp/_core.pyx``, compiled once for every level of CPU (see docs/design.md).

Environment variables, read at build time:

CBP_DEBUG=1
    Bounds checks, little optimisation, symbols.
CBP_SANITIZE=address|thread|undefined (or address,undefined)
    Compile and link with that sanitizer.
CBP_LEVELS=v4 (or v2, v3, several with commas)
    Compile only these, while trying something: a package needs all of them.
"""

import os
import platform
import sys
from threading import Lock

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CBP_DEBUG", "") not in ("", "0")
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
GCC_ONLY = ["-fvect-cost-model=unlimited", "-fno-tree-loop-distribute-patterns"]


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
    link = ["-Wl,--strip-all"] if sys.platform == "linux" else []
    return [*march, *OPTIMISE, *(GCC_ONLY if compiler_is_gcc() else [])], link


def levels() -> dict[str, tuple[list[str], int, int]]:
    on_x86 = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"
    return X86_LEVELS if on_x86 else OTHER_LEVELS


def extension(suffix: str) -> Extension:
    """The extension of one level."""
    march, vector_bytes, tile_rows = levels()[suffix]
    compile_flags, link_flags = flags(march)
    macros = [("CBP_VECTOR_BYTES", str(vector_bytes)), ("CBP_TILE_ROWS", str(tile_rows)),
              ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")]
    if sys.platform != "win32":
        # Without forced inlining the tile's literal sizes are not constants and it runs 6 times slower.
        macros.append(("CYTHON_INLINE", "__inline__ __attribute__((always_inline))"))
    return Extension(
        f"cbp._core{suffix}",
        ["cbp/_core.pyx"],
        include_dirs=[numpy.get_include()],
        define_macros=macros,
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
        libraries=["m", "pthread"] if sys.platform != "win32" else [],
    )


class Build(build_ext):
    """Runs Cython when a level is built and not before: pip reads this file three times, and Cython takes half a minute. The C
    compiler works on all levels at once."""

    one_at_a_time = Lock()

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or len(levels())

    def build_extension(self, ext: Extension) -> None:
        with self.one_at_a_time:
            ext.sources = self.translated(ext)
        super().build_extension(ext)

    @staticmethod
    def translated(ext: Extension) -> list[str]:
        """The C source of a level."""
        (translated,) = cythonize(
            Extension(ext.name, ext.sources),
            build_dir=f"build/level{ext.name.removeprefix('cbp._core')}",  # one each, or they overwrite each other
            force=True,  # a change in a kernel is not always seen
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
        return translated.sources


def wanted() -> list[str]:
    """The suffixes of the levels to build."""
    chosen = os.environ.get("CBP_LEVELS")
    return [suffix for suffix in levels() if not chosen or (suffix[1:] or "v2") in chosen.split(",")]


setup(ext_modules=[extension(suffix) for suffix in wanted()], cmdclass={"build_ext": Build})
