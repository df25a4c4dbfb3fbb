"""What ``from_torch`` may be given beside a Sequential or a list, and what it says of everything else: the remedy, and one that
helps."""

import copy
import doctest
import warnings

import numpy as np
import pytest
from cases import close

import cbp

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
torch.set_num_threads(1)
nn, utils, prune = torch.nn, torch.nn.utils, pytest.importorskip("torch.nn.utils.prune")
pytestmark = pytest.mark.oracle


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.second = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x):
        return self.second(self.act(self.first(x)))


class Leaf(nn.Module):
    def forward(self, x):
        return x


class Named(nn.Sequential):
    """What torchvision has: a Sequential that only builds itself."""

    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.Tanh())


def same(given, modules, shape=(3,)):
    """The network of what is given computes what the modules do."""
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype("float32")
    with torch.no_grad():
        expected = nn.Sequential(*modules).eval()(torch.tensor(x))
    close(cbp.from_torch(given, shape).predict(x), expected, 1e-5)


def changed(module, change):
    change(module)
    return module


def test_a_sequential_of_ones_own_without_a_forward_and_a_module_list():
    named = Named()
    same(named, named)
    same([named, nn.Linear(4, 2)][:1], named)
    inner = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    same(nn.ModuleList(inner), inner)


def test_modules_that_train_or_are_frozen_or_were_compiled_in_place():
    modules = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).train()
    modules.requires_grad_(False)
    quietly(modules.compile, backend="eager")
    same(modules, copy.deepcopy([*modules]))
    assert modules.training


def test_a_class_of_ones_own_is_not_sent_in_a_circle():
    net = Own()
    remedy = r"the modules that its forward calls, .*cbp\.from_torch\(\[net\.first, net\.act, net\.second\], \.\.\.\)"
    with pytest.raises(TypeError, match=rf"^modules must be .*got Own; its class is your own, .*{remedy}"):
        cbp.from_torch(net, 3)
    with pytest.raises(ValueError, match=rf"^modules\[0\] \(Own\): its class is your own, .*{remedy}"):
        cbp.from_torch([net], 3)
    same([net.first, net.act, net.second], [net])
    with pytest.raises(ValueError, match=r"^modules\[1\] \(Leaf\): its class is your own, .*PyTorch's own modules"):
        cbp.from_torch([nn.Linear(3, 4), Leaf()], 3)


LINEAR = nn.Linear(3, 3)
NO_MODULES = {
    "state_dict": (LINEAR.state_dict(), r"got OrderedDict; a state_dict has weights without modules: .*load_state_dict"),
    "dict of modules": ({"a": LINEAR}, r"got dict; pass its modules as a list"),
    "module dict": (nn.ModuleDict({"a": LINEAR}), r"got ModuleDict; pass its modules as a list"),
    "one module": (LINEAR, "got Linear; put a single module into a list"),
    "parallel": (nn.DataParallel(LINEAR), "got DataParallel; it only wraps another module; .* attribute module"),
    "path": ("model.pt", r"got str; for example \[torch"),
    "nothing": (None, "got NoneType"),
    "function within": ([LINEAR, torch.relu], r"modules\[1\] must be .*; a function is no module; .*torch\.nn\.ReLU\(\)"),
    "class within": ([LINEAR, nn.ReLU], r"modules\[1\] must be .*got the class ReLU; call the class: ReLU\(\.\.\.\)"),
    "list within": ([LINEAR, [nn.ReLU()]], r"modules\[1\] must be .*got list; .*torch\.nn\.Sequential"),
}


@pytest.mark.parametrize("name", NO_MODULES)
def test_no_modules(name):
    given, message = NO_MODULES[name]
    with pytest.raises(TypeError, match=message):
        cbp.from_torch(given, 3)


def quietly(change, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch tells of successors, also to itself
        return change(*arguments, **options)


CHANGED = {
    "hook": (lambda: changed(nn.Linear(3, 3), lambda m: m.register_forward_hook(print)), "the handle that registered them"),
    "weight_norm": (lambda: quietly(utils.weight_norm, nn.Linear(3, 3)), r"torch\.nn\.utils\.remove_weight_norm\(module\)"),
    "pruning": (lambda: prune.l1_unstructured(nn.Linear(3, 3), "weight", 2), r"prune\.remove\(module, 'weight'\)"),
    "parametrized": (lambda: utils.parametrizations.weight_norm(nn.Linear(3, 3)),
                     r"'weight' is computed by a parametrization, .*remove_parametrizations\(module, 'weight'\)"),
    "other forward": (lambda: changed(nn.Linear(3, 3), lambda m: setattr(m, "forward", torch.relu)), r"del module\.forward"),
    "half": (lambda: nn.Linear(3, 3).half(), r"dtype float16; .*\.float\(\) or \.double\(\)"),
    "bfloat16": (lambda: nn.Linear(3, 3).bfloat16(), r"dtype bfloat16; .*\.float\(\) or \.double\(\)"),
    "complex": (lambda: nn.Linear(3, 3, dtype=torch.complex64), r"dtype complex64"),
    "meta": (lambda: nn.Linear(3, 3, device="meta"), r"'meta', .*to_empty\(device='cpu'\) and load_state_dict\(\)"),
    "lazy": (lambda: nn.LazyLinear(3), "it has no shapes yet; call the modules once with a batch"),
    "parallel": (lambda: nn.DataParallel(nn.Linear(3, 3)), "only wraps another module; pass that one, its attribute module"),
    "compiled": (lambda: quietly(torch.compile, nn.Linear(3, 3), backend="eager"),
                 "only wraps another module; pass that one, its attribute _orig_mod"),
    "averaged": (lambda: torch.optim.swa_utils.AveragedModel(nn.Linear(3, 3)), "pass that one, its attribute module"),
    "list": (lambda: nn.ModuleList([nn.Linear(3, 3)]), "a ModuleList does not say in which order its modules are called"),
    "dict": (lambda: nn.ModuleDict({"a": nn.Linear(3, 3)}), "put them one by one into the list of modules"),
    "unknown": (lambda: nn.Bilinear(3, 3, 3), "no counterpart in cbp, which knows Linear, "),
}


@pytest.mark.parametrize("name", CHANGED)
def test_modules_that_are_not_what_they_seem(name):
    make, message = CHANGED[name]
    with pytest.raises(ValueError, match=rf"^modules\[1\].*{message}"):
        cbp.from_torch([nn.Linear(3, 3), make()], 3)


def test_compiled_by_jit():
    compiled = quietly(torch.jit.trace, nn.Linear(3, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"it is compiled by torch\.jit, .*pass the modules that it was compiled from"):
        cbp.from_torch([compiled], 3)


def test_the_remedies_help():
    parametrized = utils.parametrizations.weight_norm(nn.Linear(3, 3))
    expected = parametrized.weight.detach().clone()
    utils.parametrize.remove_parametrizations(parametrized, "weight")
    pruned = prune.l1_unstructured(nn.Linear(3, 3), "weight", 2)
    prune.remove(pruned, "weight")
    same([parametrized, pruned], [parametrized, pruned])
    assert torch.equal(parametrized.weight, expected)
    lazy = nn.Sequential(nn.LazyLinear(4))
    lazy(torch.zeros(1, 3))
    same(lazy, [*lazy])
    shared = nn.Linear(3, 3)
    same([shared, copy.deepcopy(shared)], [shared, shared])


def test_one_parameter_in_two_modules():
    one, two = nn.Linear(3, 3), nn.Linear(3, 3)
    two.weight = one.weight
    with pytest.raises(ValueError, match=r"^modules\[2\] has the same weight as modules\[0\]; .*copy\.deepcopy\(module\)"):
        cbp.from_torch([one, nn.ReLU(), two], 3)


def test_examples_in_docstrings_run():
    failed, tried = doctest.testmod(cbp.pytorch, extraglobs={"cbp": cbp})
    assert tried
    assert not failed
