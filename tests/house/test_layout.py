"""The shape of the package: who imports whom, what importing costs, what it offers, and that all of it is described."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
import warnings
from fnmatch import fnmatchcase

import pytest
from places import ROOT

import cbp
from cbp import _core
from cbp.engine import cpu

PACKAGE = ROOT / "cbp"

# From the bottom to the top. A module imports from lower layers, and from its own as long as there is no circle. A new
# module goes into the lowest layer that it can be in.
LAYERS = {
    "the compiled core": ["_core", "_core_v*", "engine", "engine.cpu"],
    "errors and names": ["errors", "habits", "history", "_ctrl_c", "_registry", "_version", "pictures", "pictures.*"],
    "the engine": ["engine.*"],
    "specifications": ["activations", "averages", "initializers", "layers", "layers.*", "losses", "optimizers", "schedules"],
    "metrics": ["metrics", "metrics.*"],
    "files and traces": ["modelfile", "modelfile.*", "trace", "trace.*"],
    "callbacks": ["callbacks", "callbacks.*"],
    "the network": ["network", "loading"],
    "beside the network": ["check", "datasets", "pytorch", "pytorch.*"],
    "the package": ["__init__"],
    "the command line": ["cli", "cli.*", "__main__"],
}
INDEPENDENT = ("files and traces", "beside the network")
OPTIONAL = {"tqdm", "matplotlib", "torch", "pandas", "IPython", "tensorboardX"}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {*SOURCES, "_core"}


def layer_of(module):
    """The number of a module's layer; None for one that has none."""
    for number, patterns in enumerate(LAYERS.values()):
        if any(fnmatchcase(module, pattern) for pattern in patterns):
            return number
    return None


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_below(nodes, when="at once"):
    """(absolute name, when it is imported) of everything that is imported: "at once", on a "call", or for "types" alone."""
    for node in nodes:
        if is_type_checking(node):
            yield from imports_below(node.body, "types")
            yield from imports_below(node.orelse, when)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, when
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", when
        else:
            on_call = when == "at once" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports_below(ast.iter_child_nodes(node), "call" if on_call else when)


def imports_of(module):
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    return list(imports_below(tree.body))


def own(name):
    """The module of cbp that an absolute name lies in: "cbp.layers.Dense" -> "layers"; None for other packages."""
    parts = name.split(".")
    if parts[0] != "cbp":
        return None
    for length in range(len(parts), 1, -1):
        candidate = ".".join(parts[1:length])
        if candidate in MODULES:
            return candidate
    return "__init__"


def own_imports(module, *times):
    """The modules of cbp that a module imports at these times; without times at any."""
    return {own(name) for name, when in imports_of(module) if not times or when in times} - {None, module}


# --- who imports whom ---------------------------------------------------------------------------------------------


def test_every_module_has_its_layer():
    assert [module for module in MODULES if layer_of(module) is None] == []
    patterns = [pattern for group in LAYERS.values() for pattern in group]
    assert len(patterns) == len(set(patterns))


@pytest.mark.parametrize("module", SOURCES)
def test_imports_go_down(module):
    """Those on a call too, which are for start-up time alone, and those for types."""
    above = {other for other in own_imports(module) if layer_of(other) > layer_of(module)}
    assert above == set(), f"{module} is below what it imports"


def test_there_are_no_circles():
    graph = {module: own_imports(module, "at once", "call") for module in SOURCES}
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, " -> ".join([*open_, module])
        if module in done or module not in graph:
            return
        open_.append(module)
        for other in sorted(graph[module]):
            visit(other)
        open_.pop()
        done.add(module)

    for module in graph:
        visit(module)


@pytest.mark.parametrize("module", [module for module in SOURCES if list(LAYERS)[layer_of(module)] in INDEPENDENT])
def test_what_lies_side_by_side_is_independent(module):
    """Traces know nothing of files, PyTorch nothing of data sets: each can change or go without the others."""
    beside = {other for other in own_imports(module) if layer_of(other) == layer_of(module)}
    assert {other.split(".")[0] for other in beside} <= {module.split(".")[0]}


@pytest.mark.parametrize("module", SOURCES)
def test_numpy_is_the_one_requirement(module):
    for name, when in imports_of(module):
        package = name.split(".")[0]
        allowed = {"cbp", "numpy"} | (set() if when == "at once" else OPTIONAL)
        assert package in sys.stdlib_module_names or package in allowed, name


# The rooms of the core, from the bottom to the top: each knows itself and those below.
ROOMS = ["cbp.kernels", "cbp.ops", "cbp.loops"]


def rooms_known_by(path):
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"^import (\S+)", text, re.MULTILINE)) <= ({"numpy"} if path.suffix == ".pyx" else set())
    for source, module in re.findall(r"^\s*(?:from\s+(\S+)\s+)?cimport\s+(\S+)", text, re.MULTILINE):
        known = source or module
        if known.startswith("cbp."):
            yield ".".join(known.split(".")[:2])
        else:
            assert known.startswith(("cython", "cpython", "libc", "posix", "numpy")), f"{path.name}: {known}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.p[xy][dx]")), ids=lambda path: path.name)
def test_cimports_go_down(path):
    room = f"cbp.{path.parent.name}"
    below = ROOMS[: ROOMS.index(room) + 1] if room in ROOMS else ROOMS
    assert set(rooms_known_by(path)) <= set(below)


# --- what importing it costs --------------------------------------------------------------------------------------


def in_a_fresh_python(code):
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_loads_nothing_heavy():
    """What `import cbp` loads beyond `import numpy`."""
    loaded = json.loads(in_a_fresh_python("""
import sys, json, numpy
before = set(sys.modules)
import cbp
print(json.dumps(sorted(set(sys.modules) - before)))
"""))
    heavy = {
        "argparse", "asyncio", "concurrent", "csv", "ctypes", "email", "html", "http", "importlib.metadata", "inspect",
        "logging", "matplotlib", "multiprocessing", "pdb", "pickle", "pkg_resources", "safetensors", "scipy",
        "setuptools", "shutil", "sklearn", "socket", "sqlite3", "subprocess", "tempfile", "torch", "tqdm",
        "typing_extensions", "unittest", "urllib", "xml", "zipfile", "cbp.cli", "cbp.trace",
    }
    assert [name for name in loaded if name in heavy or name.split(".")[0] in heavy] == []
    assert [name for name in loaded if name.startswith(("cbp.cli", "cbp.trace"))] == []
    others = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert {name for name in others if not name.startswith(("cbp", "numpy", "_cython", "cython_runtime"))} == set()


def test_importing_says_nothing_and_changes_nothing():
    output = in_a_fresh_python("""
import os, signal, sys, threading, warnings
import numpy as np
def settings():
    return (np.geterr(), np.get_printoptions(), warnings.filters[:], dict(os.environ), signal.getsignal(signal.SIGINT),
            sys.path[:], threading.active_count(), sys.excepthook, os.getcwd(), np.random.get_state()[1].tolist())
before = settings()
import cbp
assert settings() == before
""")
    assert output == ""


def test_training_needs_nothing_more():
    """A run without an audience loads no further package."""
    in_a_fresh_python("""
import sys
import numpy as np
import cbp
before = set(sys.modules)
net = cbp.mlp([2, 3, 1], seed=0)
net.fit(np.ones((4, 2)), np.ones(4), validation_data=(np.ones((4, 2)), np.ones(4)))
net.predict(np.ones((1, 2))), net.evaluate(np.ones((4, 2)), np.ones(4)), net.summary(), repr(net), net.get_vector()
new = {name for name in set(sys.modules) - before if name.split(".")[0] not in {"numpy", *sys.stdlib_module_names}}
assert not new, new
""")


@pytest.mark.parametrize("level", cpu.levels())
def test_the_level_can_be_chosen(level):
    out = in_a_fresh_python(f"import os; os.environ['CBP_CPU'] = {level!r}; import cbp; print(cbp.engine.cpu.core.BUILD)")
    assert out.strip() == importlib.import_module(cpu._MODULES[level]).BUILD


@pytest.mark.parametrize("level", ["v1", "v5", "V3", "avx2", " "])
def test_an_unknown_level_is_refused(level):
    out = in_a_fresh_python(f"""
import os
os.environ["CBP_CPU"] = {level!r}
try:
    import cbp
except ImportError as problem:
    print(problem)
""")
    assert "CBP_CPU" in out
    assert repr(level) in out
    assert cpu.levels()[0] in out


# --- what it offers -----------------------------------------------------------------------------------------------

PUBLIC = [module for module in SOURCES if not module.startswith("_") and "." not in module and module != "cli"]


def loaded(module):
    return importlib.import_module(f"cbp.{module}")


def offered_by(module):
    """Classes and functions, name -> thing, that a module defines; of a package that defines nothing itself, what its files
    define and it imports; and what it lists."""
    content, own = loaded(module), f"cbp.{module}"
    things = {name: thing for name, thing in vars(content).items()
              if not name.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing))}
    only_imports = all(thing.__module__ != own for thing in things.values())
    return {name: thing for name, thing in things.items()
            if thing.__module__ == own or name in getattr(content, "__all__", ())
            or (only_imports and thing.__module__.startswith(f"{own}."))}


LAYER_CLASSES = [thing for thing in offered_by("layers").values() if inspect.isclass(thing)
                 and issubclass(thing, cbp.layers.Layer) and thing is not cbp.layers.Layer]


def test_all_is_all():
    assert len(set(cbp.__all__)) == len(cbp.__all__)
    offered = {name for name, value in vars(cbp).items() if not name.startswith("_") and not inspect.ismodule(value)}
    modules = {name for name in cbp.__all__ if inspect.ismodule(getattr(cbp, name))}
    assert offered | modules | {"__version__"} == set(cbp.__all__)


def test_the_words_of_the_design_are_there():
    words = {"Network", "mlp", "Dense", "SGD", "Adam", "History", "load", "check_gradients", "DivergedError", "ModelFileError",
             *(kind.__name__ for kind in cbp.optimizers.OPTIMIZERS.values())}
    assert words <= set(cbp.__all__)
    methods = {"fit", "predict", "predict_one", "evaluate", "train_on_batch", "gradient", "backward", "trace", "save",
               "summary", "get_vector", "set_vector", "set_optimizer", "parameters", "optimizer_state", "step", "epoch"}
    net = cbp.mlp([2, 1])
    assert all(hasattr(net, name) for name in methods)


def test_a_star_import_gives_it_all():
    names = {}
    exec("from cbp import *", names)
    assert set(cbp.__all__) <= set(names)


@pytest.mark.parametrize("module", PUBLIC)
def test_lists_of_names_are_true(module):
    content = loaded(module)
    listed = getattr(content, "__all__", None)
    if listed is None:
        return
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert hasattr(content, name), name
    assert set(offered_by(module)) <= set(listed)


def test_no_layer_is_checked_by_nobody():
    """The checks of what is public see the layers, wherever in the package they are defined."""
    assert set(LAYER_CLASSES) == set(cbp.layers.LAYERS.values())


def test_the_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == cbp.__version__


def test_every_package_is_shipped():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(settings["packages"]) == folders
    assert (PACKAGE / "py.typed").exists()


# --- and that it is described -------------------------------------------------------------------------------------


def undescribed(module):
    """Public things without a docstring of their own or an inherited one."""
    if not inspect.getdoc(loaded(module)):
        yield module
    for name, thing in offered_by(module).items():
        if not thing.__doc__ or thing.__doc__.startswith(f"{name}("):  # the second: what a dataclass makes up
            yield f"{module}.{name}"
        if not inspect.isclass(thing):
            continue
        for member, value in vars(thing).items():
            if member.startswith("_") or not (inspect.isfunction(value) or isinstance(value, (property, classmethod))):
                continue
            if not inspect.getdoc(getattr(thing, member)):
                yield f"{module}.{name}.{member}"


@pytest.mark.parametrize("module", PUBLIC)
def test_everything_public_has_a_docstring(module):
    assert list(undescribed(module)) == []


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_says_what_it_is(module):
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    first_line = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert len(first_line) > 20


def test_parameters_are_described():
    """Where a docstring lists parameters, it lists them all."""
    missing = []
    for name in cbp.__all__:
        thing = getattr(cbp, name)
        calls = {name: thing} if inspect.isfunction(thing) or inspect.isclass(thing) else {}
        if inspect.isclass(thing):
            calls |= {f"{name}.{member}": value for member, value in vars(thing).items() if inspect.isfunction(value)}
        for label, call in calls.items():
            text = call.__doc__ or ""
            if label.rpartition(".")[2].startswith("_") or "Parameters\n" not in text:
                continue
            for argument, parameter in inspect.signature(call).parameters.items():
                if argument != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                    missing += [] if re.search(rf"\b{argument}\b", text) else [f"{label}({argument})"]
    assert missing == []


@pytest.mark.parametrize("layer", LAYER_CLASSES, ids=lambda layer: layer.__name__)
def test_layers_say_what_they_refuse(layer):
    """Those without arguments refuse none."""
    described = re.search(r"\nRaises\n------\n(ValueError, TypeError|TypeError, ValueError)\n    \w", inspect.getdoc(layer))
    assert described or not inspect.signature(layer).parameters


# --- the stub of the core -----------------------------------------------------------------------------------------


def stub():
    """Functions, methods too (name -> arguments), and constants of _core.pyi."""
    tree = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = {f"{prefix}{node.name}": [argument.arg for argument in node.args.args]
                 for prefix, body in [("", tree.body), *((f"{found.name}.", found.body) for found in classes)]
                 for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")
                 and "property" not in map(ast.unparse, node.decorator_list)}
    constants = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    return functions, constants


def builds():
    return [importlib.import_module(cpu._MODULES[level]) for level in cpu.levels()]


@pytest.mark.parametrize("core", builds(), ids=lambda core: core.BUILD)
def test_the_stub_names_what_the_core_has(core):
    functions, constants = stub()
    public = {name: value for name, value in vars(core).items()
              if not name.startswith("_") and not inspect.ismodule(value)}
    for name, found in [(name, value) for name, value in public.items() if inspect.isclass(value)]:
        del public[name]
        public |= {f"{name}.{method}": value for method, value in vars(found).items()
                   if not method.startswith("_") and callable(value)}
    assert {name for name, value in public.items() if callable(value)} == set(functions)
    assert {name for name, value in public.items() if not callable(value)} == constants
    for name, arguments in functions.items():
        assert list(inspect.signature(public[name]).parameters) == arguments, name
        assert public[name].__doc__, f"{name} has no docstring"


def test_all_builds_agree_on_names_and_numbers():
    first, *others = builds()
    for core in others:
        for name in ("OPS", "MODES", "ACTIVATIONS", "LOSSES", "OPTIMIZERS", "SOURCES", "STREAMS", "KEEPS_SUM", "PHASES"):
            assert getattr(core, name) == getattr(first, name)
        assert core.OP == first.OP
        assert core.RUN == first.RUN
    assert first is _core
    assert len({core.BUILD for core in builds()}) == len(builds())
    assert cpu.core.BUILD in {core.BUILD for core in builds()}


def test_each_list_of_names_exists_once():
    """Activations and losses that the core knows are those that layers and losses offer."""
    assert set(cbp.layers.ACTIVATIONS) == set(cpu.core.ACTIVATIONS)
    assert set(cbp.losses.LOSSES) == set(cpu.core.LOSSES)
    for kind in cbp.optimizers.OPTIMIZERS.values():
        net = cbp.mlp([1, 1], seed=0)
        assert len(net.fit([[1.0]], [1.0], epochs=1, optimizer=kind()).loss) == 1


def test_no_source_warns_when_it_is_compiled():
    """Invalid escapes and the like."""
    for path in SOURCES.values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
