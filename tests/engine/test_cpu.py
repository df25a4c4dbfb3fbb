"""Which builds of the core there are. That a level can be chosen is tested in house/test_layout.py."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

import cbp
from cbp.engine import cpu


class EditableFinder:
    """As an editable install leaves one behind: asked last, it looks for everything in the folder of its own checkout."""

    def __init__(self, checkout):
        self.checkout = checkout

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        file = self.checkout / f"{name.removeprefix('cbp.')}.so"
        return spec_from_file_location(name, file) if file.exists() else None


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "_core_v0.so").write_bytes(b"")
    (tmp_path / "_kernels_v0.so").write_bytes(b"")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, EditableFinder(tmp_path)])
    monkeypatch.setitem(cpu._MODULES, "v0", "cbp._core_v0")


def test_a_level_of_another_checkout_is_none_of_this_one(elsewhere):
    assert cpu.find_spec("cbp._core_v0") is not None
    assert "v0" not in cpu.levels()


def test_nor_are_its_kernels(elsewhere, monkeypatch):
    monkeypatch.setitem(cpu._MODULES, cpu.core.BUILD, "cbp._core_v0")
    with pytest.raises(ImportError, match="built for development only"):
        cpu.kernels()


def test_what_is_taken_lies_in_the_package():
    assert Path(cpu.core.__file__).resolve().parent == Path(cbp.__file__).resolve().parent
