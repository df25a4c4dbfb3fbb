"""Stacks of PyTorch's modules, drawn at random: what ``from_torch`` takes has the outputs and gradients of PyTorch.

All pairs of kinds, and triples of them, with small settings and shapes whose axes are often equally long, so that an axis
taken for another gives other numbers and no error. A refusal is always right, and what PyTorch refuses must be refused.
``random_stack`` and ``check_stack`` go on with any seed.
"""

import copy
import re

import numpy as np
import pytest
from cases import seed_of

import cbp
from cbp.pytorch.modules import KNOWN

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
torch.set_num_threads(1)
nn = torch.nn
pytestmark = pytest.mark.oracle

ROWS, VOCABULARY = 3, 7
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
ON_CHANNELS = (
    nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm,
)
ON_THE_LAST_AXIS = (*RECURRENT, nn.Linear, nn.LayerNorm, nn.Embedding, nn.Flatten, nn.Unflatten)
NORMALIZE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
PADS = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d)
CHANGE_THE_SHAPE = {kind.__name__ for kind in {*ON_CHANNELS, *ON_THE_LAST_AXIS, *PADS} - {*NORMALIZE}}


# --- what PyTorch computes ----------------------------------------------------------------------------------------------------


def on_channels(module):
    return isinstance(module, ON_CHANNELS) or getattr(module, "num_parameters", 1) > 1


def has_channels_first(stack, shape):
    """Whether the first axis of the samples are channels, which cbp takes last."""
    cares = (on_channels(module) for module in stack if on_channels(module) or isinstance(module, ON_THE_LAST_AXIS))
    return len(shape) == 3 or (len(shape) == 2 and next(cares, False))


def steps_or_state(module, rest, x):
    """A recurrence hands on the outputs of all steps or, if a Linear follows, its last state."""
    outputs, state = module(x)
    if next((name for name in rest if name in CHANGE_THE_SHAPE), None) != "Linear":
        return outputs
    state = state[0] if isinstance(state, tuple) else state
    return torch.cat([*state[-2:]], dim=1) if module.bidirectional else state[-1]


def run(stack, shape, x, to_come=()):
    """PyTorch's outputs, with transpose(1, 2) between a recurrence and modules that have the channels first, as documented.

    `to_come` are names of modules that will follow.
    """
    channels = has_channels_first(stack, shape)
    names = [*(type(module).__name__ for module in stack), *to_come]
    for index, module in enumerate(stack):
        if isinstance(module, RECURRENT):
            x = steps_or_state(module, names[index + 1 :], x.transpose(1, 2) if channels else x)
            channels = None if x.ndim > 2 else False
            continue
        pads = isinstance(module, PADS) and any(module.padding)  # for the convolution that follows
        if (on_channels(module) or (channels is None and pads)) and x.ndim > 2:
            x = x.transpose(1, 2) if channels is None else x
            channels = True
        elif isinstance(module, (nn.Linear, nn.Embedding)) or (
                isinstance(module, nn.Unflatten) and (channels is None or module.dim % x.ndim == 1)):
            channels = False
        x = nn.Softmax(module.dim)(x) if isinstance(module, nn.LogSoftmax) else module(x)  # cbp has the probabilities
        channels = channels if x.ndim > 2 else False
    return x


def inputs(stack, shape, rng):
    if any(isinstance(module, nn.Embedding) for module in stack):
        return torch.tensor(rng.integers(VOCABULARY, size=(ROWS, *shape)))
    return torch.tensor(rng.normal(size=(ROWS, *shape)), requires_grad=True)


# --- modules with random settings ---------------------------------------------------------------------------------------------

MAKERS = {}


def makes(*names, ranks):
    """A function that makes modules of these names for samples of so many axes."""
    def enter(make):
        MAKERS.update(dict.fromkeys(names, (make, ranks)))
        return make

    return enter


def chance(rng, probability):
    return bool(rng.random() < probability)


def some(rng, axes, most, least=1):
    """A number for every axis, or one for all."""
    numbers = tuple(int(n) for n in rng.integers(least, most + 1, size=axes))
    return numbers if chance(rng, 0.5) else numbers[0]


def groups(rng, *sizes):
    return int(rng.choice([n for n in range(1, min(sizes) + 1) if all(size % n == 0 for size in sizes)]))


@makes("Linear", ranks=(1, 2, 3))
def linear(name, rng, shape):
    return nn.Linear(shape[-1], int(rng.integers(1, 6)), bias=chance(rng, 0.7))


@makes("Conv1d", ranks=(2,))
@makes("Conv2d", ranks=(3,))
def convolution(name, rng, shape):
    axes, kernel = int(name[-2]), some(rng, int(name[-2]), 3)
    filters = int(rng.choice([1, 2, 3, 4, 6, shape[0], 2 * shape[0]]))
    how = {"stride": some(rng, axes, 2), "padding": some(rng, axes, 2, 0)}
    if chance(rng, 0.3):
        how = {"padding": str(rng.choice(["same", "valid"]))}
    return getattr(nn, name)(shape[0], filters, kernel, dilation=some(rng, axes, 2), bias=chance(rng, 0.7),
                             groups=groups(rng, shape[0], filters) if chance(rng, 0.3) else 1, **how)


@makes("MaxPool1d", "AvgPool1d", ranks=(1, 2))
@makes("MaxPool2d", "AvgPool2d", ranks=(3,))
def pool(name, rng, shape):
    axes, size = int(name[-2]), int(rng.integers(1, 4))
    how = {"padding": int(rng.integers(0, size // 2 + 1)), "ceil_mode": chance(rng, 0.4)}
    if name.startswith("Avg"):
        how["count_include_pad"] = chance(rng, 0.3)
    return getattr(nn, name)(size, some(rng, axes, 3), **how)


@makes("AdaptiveAvgPool1d", "AdaptiveMaxPool1d", ranks=(1, 2))
@makes("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", ranks=(3,))
def adaptive_pool(name, rng, shape):
    axes = int(name[-2])
    return getattr(nn, name)(1 if chance(rng, 0.5) else tuple(groups(rng, size) for size in shape[-axes:]))


@makes("ZeroPad1d", "ConstantPad1d", ranks=(1, 2))
@makes("ZeroPad2d", "ConstantPad2d", ranks=(2, 3))
def padding(name, rng, shape):
    axes = int(name[-2])
    pairs = some(rng, 2 * axes, 2, 0) if chance(rng, 0.5) else int(rng.integers(0, 3))
    return getattr(nn, name)(pairs, *([0.0] if name.startswith("Constant") else []))


@makes("Flatten", ranks=(1, 2, 3))
def flatten(name, rng, shape):
    start = int(rng.integers(1, len(shape) + 1))
    return nn.Flatten() if chance(rng, 0.6) else nn.Flatten(start, int(rng.integers(start, len(shape) + 1)))


@makes("Unflatten", ranks=(1, 2))
def unflatten(name, rng, shape):
    axis = int(rng.integers(len(shape)))
    first = groups(rng, shape[axis])
    sizes = (first, shape[axis] // first)
    if len(shape) == 1 and chance(rng, 0.4):
        second = groups(rng, sizes[1])
        sizes = (first, second, -1)
    return nn.Unflatten(axis + 1, sizes)


@makes("RNN", "LSTM", "GRU", ranks=(2,))
def recurrence(name, rng, shape):
    stacked = int(rng.integers(1, 3))
    return getattr(nn, name)(int(rng.choice(shape)), int(rng.integers(1, 5)), stacked, batch_first=chance(rng, 0.95),
                             bidirectional=chance(rng, 0.4), bias=chance(rng, 0.7), dropout=0.3 if stacked > 1 else 0.0)


@makes("Embedding", ranks=(1,))
def embedding(name, rng, shape):
    return nn.Embedding(VOCABULARY, int(rng.choice([2, 3, shape[0]])), sparse=False)


@makes("BatchNorm1d", ranks=(1, 2))
@makes("BatchNorm2d", ranks=(3,))
def batch_norm(name, rng, shape):
    return getattr(nn, name)(shape[0], eps=0.1)


@makes("LayerNorm", ranks=(1, 2, 3))
def layer_norm(name, rng, shape):
    return nn.LayerNorm(shape[-1], eps=0.1)


@makes("GroupNorm", ranks=(1, 2, 3))
def group_norm(name, rng, shape):
    return nn.GroupNorm(groups(rng, shape[0]), shape[0], eps=0.1)


@makes("PReLU", ranks=(1, 2, 3))
def prelu(name, rng, shape):
    return nn.PReLU(shape[0] if chance(rng, 0.6) else 1)


@makes("Softmax", "LogSoftmax", ranks=(1, 2, 3))
def softmax(name, rng, shape):
    return getattr(nn, name)(int(rng.choice([1, -1, rng.integers(1, len(shape) + 1)])))


@makes("Dropout", "AlphaDropout", "FeatureAlphaDropout", ranks=(1, 2, 3))
@makes("Dropout1d", ranks=(2,))
@makes("Dropout2d", ranks=(3,))
def dropout(name, rng, shape):
    return getattr(nn, name)(0.4 if name == "Dropout" or chance(rng, 0.3) else 0.0)


@makes(*sorted(KNOWN.keys() - MAKERS.keys()), ranks=(1, 2, 3))
def plain(name, rng, shape):
    return getattr(nn, name)()


def somewhere_else(stack, rng):
    """Every parameter and statistic far from where it starts, in float64 and after eval()."""
    whole = nn.Sequential(*stack).double().eval()
    with torch.no_grad():
        for module in whole.modules():
            for parameter in module.parameters(recurse=False):
                parameter.copy_(torch.tensor(rng.normal(scale=0.6, size=parameter.shape)))
            if hasattr(module, "running_var"):
                module.running_mean.copy_(torch.tensor(rng.normal(size=module.running_mean.shape)))
                module.running_var.copy_(torch.tensor(rng.uniform(0.5, 2, size=module.running_var.shape)))
    return stack


OFTEN = sorted(MAKERS) + 4 * ["Linear", "Conv1d", "Conv2d", "Flatten", "BatchNorm1d", "GRU"]
"""With more of those that others may follow."""


def random_stack(rng, names=None):
    """A stack of modules of these names, or of up to five, and the shape of its samples; or None where no module of a name
    takes what comes there. The last module may be one that PyTorch refuses."""
    names = [str(name) for name in (rng.choice(OFTEN, size=int(rng.integers(1, 6))) if names is None else names)]
    size, rank = int(rng.integers(2, 7)), int(rng.choice(MAKERS[names[0]][1]))
    shape = comes = tuple(size if chance(rng, 0.6) else int(rng.integers(1, 9)) for _ in range(rank))
    stack = []
    for index, name in enumerate(names):
        make, ranks = MAKERS[name]
        if len(comes) not in ranks:
            return None
        stack = somewhere_else([*stack, make(name, rng, comes[::-1] if chance(rng, 0.05) else comes)], rng)
        try:
            comes = tuple(run(stack, shape, inputs(stack, shape, rng), names[index + 1 :]).shape[1:])
        except (RuntimeError, ValueError, IndexError):
            break
        if 0 in comes:
            return None
    return stack, shape


# --- the check ----------------------------------------------------------------------------------------------------------------


def result_or_error(function, *arguments):
    """What it returns, or raises; modules without parameters have float64 as the rest."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return function(*arguments)
    except (RuntimeError, ValueError, TypeError, IndexError) as problem:
        return problem
    finally:
        torch.set_default_dtype(before)


def check_stack(stack, shape):
    """Whether `from_torch` took the modules; asserts that it computes what PyTorch does, and refuses what PyTorch refuses."""
    rng = np.random.default_rng(seed_of(str(stack), shape))
    x = inputs(stack, shape, rng)
    nn.Sequential(*stack).zero_grad()
    expected = result_or_error(run, stack, shape, x)
    net = result_or_error(cbp.from_torch, stack, shape)
    if isinstance(net, Exception):
        assert re.match(r"modules\[\d+\] \(\w+\): |the modules end with |these modules do nothing|loss[ =]", str(net)), net
        return False
    assert not isinstance(expected, Exception), f"PyTorch refuses: {expected}"
    agrees(net, stack, shape, x, expected, rng)
    if expected.ndim > 2 and not isinstance(stack[-1], (*RECURRENT, nn.LogSoftmax)):  # in which order the outputs are
        check_stack([*stack, nn.Flatten(), somewhere_else([nn.Linear(expected[0].numel(), 2)], rng)[0]], shape)
    return True


def agrees(net, stack, shape, x, expected, rng):
    """Outputs, the gradient of the inputs, and those of the parameters."""
    tolerance = 1e-6 if any(isinstance(module, nn.Hardsigmoid) for module in stack) else 1e-9  # its 1/6 is one of float32
    first = has_channels_first(stack, shape)
    X = arranged(x, first)
    found = net.predict(X)
    last = next(order for order in (True, False) if arranged(expected, order).shape == found.shape)
    if expected.ndim > 2 and not np.allclose(found, arranged(expected, last)):
        last = False
    near(found, arranged(expected, last), tolerance)
    d = torch.tensor(rng.normal(size=expected.shape))
    expected.backward(d)
    d_input, gradient = net.backward(X, arranged(d, last))
    if x.requires_grad:
        near(d_input, arranged(x.grad, first), tolerance)
    if not any(isinstance(module, nn.PReLU) and module.num_parameters == 1 for module in stack):
        near(gradient, in_cbp(stack, shape), tolerance)


def near(actual, expected, tolerance):
    """The gradient of a normalization of one number is 0 but for rounding, so a scale is not taken from it."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max(initial=0)))


def arranged(values, first):
    """Samples with the channels last, if they are first."""
    values = values.detach().numpy()
    return np.ascontiguousarray(np.moveaxis(values, 1, -1) if first and values.ndim > 2 else values)


def in_cbp(stack, shape):
    """The gradients of the parameters in cbp's order: they go the way of the parameters. Of the two biases of a gate, one."""
    twin = copy.deepcopy(stack)
    with torch.no_grad():
        for module, given in zip(twin, stack, strict=True):
            for (name, parameter), source in zip(module.named_parameters(), given.parameters(), strict=True):
                value = torch.zeros_like(parameter) if source.grad is None else source.grad.clone()
                if name.startswith("bias_hh"):
                    value[: 2 * module.hidden_size if isinstance(module, nn.GRU) else None] = 0
                parameter.copy_(value)
    return result_or_error(cbp.from_torch, twin, shape).get_vector()


# --- tests --------------------------------------------------------------------------------------------------------------------

QUIET = pytest.mark.filterwarnings("ignore:Using padding='same'.*:UserWarning")


@QUIET
@pytest.mark.parametrize("name", sorted(MAKERS))
def test_all_pairs(name):
    for other in sorted(MAKERS):
        rng = np.random.default_rng(seed_of(name, other))
        drawn = (random_stack(rng, [name, other]) for _ in range(6))
        for stack, shape in [made for made in drawn if made is not None][:3]:
            check_stack(stack, shape)


@QUIET
@pytest.mark.parametrize("seed", range(30))
def test_triples_and_longer_ones(seed):
    rng = np.random.default_rng(seed)
    drawn = [random_stack(rng, rng.choice(OFTEN, size=3)) for _ in range(40)] + [random_stack(rng) for _ in range(20)]
    taken = [check_stack(*made) for made in drawn if made is not None]
    assert sum(taken) > 3, "the stacks are mostly refused, so the test tests nothing"


TAKEN = {
    "a pool of features": ([nn.Linear(8, 8), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(24, 3)], (6, 8)),
    "a mean of features": ([nn.Linear(8, 8), nn.AvgPool1d(3, 2, 1, count_include_pad=False)], (6, 8)),
    "all features of a step": ([nn.Linear(8, 6), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.ReLU()], (6, 8)),
    "a pool of a row": ([nn.Linear(4, 8), nn.MaxPool1d(2), nn.ReLU(), nn.Linear(4, 2)], (4,)),
    "steps as channels": ([nn.Linear(6, 6), nn.Conv1d(6, 4, 3)], (6, 6)),
    "steps as channels, strided": ([nn.Linear(6, 6), nn.Conv1d(6, 4, 3, stride=2, padding=2, dilation=2), nn.ELU()], (6, 6)),
    "steps as channels, the same length": ([nn.Embedding(7, 5), nn.Conv1d(5, 4, 3, padding="same"), nn.BatchNorm1d(4)], (5,)),
    "a linear of positions": ([nn.Conv1d(5, 5, 1), nn.Linear(5, 5), nn.Softmax(-1)], (5, 5)),
    "there and back": ([nn.BatchNorm1d(5), nn.Linear(5, 5), nn.Conv1d(5, 5, 1), nn.Flatten(), nn.Linear(25, 2)], (5, 5)),
    "a linear of one pixel": ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(1, 2), nn.Flatten(), nn.Linear(8, 2)],
                              (3, 5, 5)),
    "windows that reach beyond the end": ([nn.MaxPool2d(2, ceil_mode=True)], (3, 5, 7)),
    "of three numbers": ([nn.MaxPool2d(3, stride=2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)], (3, 12, 14)),
    "windows that fit": ([nn.AvgPool1d(2, ceil_mode=True), nn.MaxPool1d(3, 2, 1, ceil_mode=True)], (3, 10)),
    "zeros around": ([nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)], (3, 5, 5)),
    "zeros of two paddings": ([nn.ZeroPad1d(1), nn.ConstantPad1d(1, 0.0), nn.Conv1d(3, 4, 3, padding=1)], (3, 6)),
    "zeros behind, as with 'same'": ([nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2)], (3, 6, 8)),
    "zeros that no window reaches": ([nn.ZeroPad1d((1, 0)), nn.Conv1d(3, 4, 3, stride=3)], (3, 5)),
    "logarithms of probabilities": ([nn.Linear(4, 3), nn.LogSoftmax(dim=1)], (4,)),
    "at every pixel": ([nn.Conv2d(3, 3, 2), nn.LogSoftmax(dim=1), nn.Identity()], (3, 4, 4)),
    "steps out of a row": ([nn.Linear(4, 12), nn.Tanh(), nn.Unflatten(1, (4, 3)), nn.GRU(3, 2, batch_first=True)], (4,)),
    "a signal out of a row": ([nn.Linear(4, 12), nn.Unflatten(1, (3, 4)), nn.Conv1d(3, 2, 2)], (4,)),
    "an image out of a row": ([nn.Linear(4, 12), nn.Unflatten(-1, (1, 3, 4)), nn.Conv2d(1, 2, 2)], (4,)),
    "an image out of a signal": ([nn.Conv1d(3, 3, 1), nn.Unflatten(2, (3, -1)), nn.Conv2d(3, 2, 2)], (3, 9)),
    "one axis flattened": ([nn.Flatten(2), nn.Linear(5, 5), nn.Flatten(1, 1)], (5, 5)),
    "slopes first": ([nn.PReLU(5), nn.Flatten(), nn.Linear(25, 2)], (5, 5)),
    "no dropout": ([nn.Dropout2d(0.0), nn.Conv2d(3, 2, 1), nn.AlphaDropout(0.0)], (3, 2, 2)),
}


@QUIET
@pytest.mark.parametrize("name", TAKEN)
def test_taken(name):
    stack, shape = TAKEN[name]
    assert check_stack(somewhere_else(stack, np.random.default_rng(seed_of(name))), shape)


REFUSED = {
    "norm behind a linear": ([nn.Linear(6, 6), nn.BatchNorm1d(6)], (6, 8), r"\(Linear\): in_features is 6, .*shape \(6, 8\)"),
    "norm of steps": ([nn.Linear(8, 8), nn.BatchNorm1d(6)], (6, 8), r"num_features=6 of \(6, 8\): .*put it before that one"),
    "square": ([nn.Linear(3, 5), nn.BatchNorm1d(5)], (5, 3), r"num_features=5 of \(5, 5\): the channels are axis 1 in PyTorch"),
    "channels": ([nn.Embedding(7, 6), nn.Conv1d(6, 4, 3)], (5,), r"in_channels is 6, .* shape \(5, 6\)"),
    "groups": ([nn.Linear(6, 6), nn.Conv1d(6, 4, 3, groups=2)], (6, 6), r"groups=2 of \(6, 6\), .* take groups=1"),
    "pool of steps": ([nn.Linear(6, 6), nn.MaxPool1d(2), nn.GRU(3, 2, batch_first=True)], (6, 6), r"input_size=3 of \(6, 3\)"),
    "steps of a norm": ([nn.BatchNorm1d(7), nn.GRU(4, 2, batch_first=True)], (7, 4), r"input_size=4 of \(7, 4\): .*transpose"),
    "time first": ([nn.GRU(4, 2)], (7, 4), r"batch_first=False .* set module\.batch_first = True"),
    "pads in a maximum": ([nn.ZeroPad1d(1), nn.MaxPool1d(2)], (3, 6), "only as part of a convolution; a pool has one"),
    "pads at the end": ([nn.Conv1d(3, 3, 1), nn.ZeroPad1d(1)], (3, 6), "end with a padding"),
    "pads before": ([nn.ZeroPad1d((2, 0)), nn.Conv1d(3, 3, 3)], (3, 6), "take the same padding at both ends"),
    "pads of channels": ([nn.ZeroPad2d(1), nn.Conv1d(5, 3, 3)], (3, 6), "adds channels"),
    "pads of ones": ([nn.ConstantPad1d(1, 1.0), nn.Conv1d(3, 3, 3)], (3, 6), r"value=1\.0 has no counterpart"),
    "cut off": ([nn.ZeroPad1d(-1), nn.Conv1d(3, 3, 3)], (3, 6), r"padding=\(-1, -1\) of \(3, 6\)"),
    "logarithms within": ([nn.Linear(4, 3), nn.LogSoftmax(1), nn.Linear(3, 2)], 4, "as the last of the modules"),
    "slope": ([nn.Linear(4, 3), nn.LeakyReLU(0.2)], 4, r"negative_slope=0\.2 .*torch\.nn\.PReLU\(init=slope\)"),
    "channels dropped": ([nn.Conv2d(3, 4, 2), nn.Dropout2d(0.5)], (3, 5, 5), r"p=0\.5 .* take torch\.nn\.Dropout"),
    "flat and back": ([nn.Flatten(), nn.Unflatten(1, (3, 4, 5))], (3, 4, 5), "let a Linear come between"),
    "channels unflattened": ([nn.Conv1d(6, 6, 1), nn.Unflatten(1, (2, 3))], (6, 5), r"end with \(2, 3, 5\) a sample"),
    "logarithms of positions": ([nn.Conv1d(5, 5, 1), nn.Linear(5, 4), nn.LogSoftmax(2)], (5, 5), "loss='mean_squared_error'"),
    "an image of a row": ([nn.Linear(4, 12), nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 2, 1)], 4, r"in_channels=3 of \(3, 2"),
    "numbers": ([nn.Linear(4, 4), nn.Unflatten(1, (3, 2))], 4, r"does not hold the 4 numbers"),
}


@QUIET
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    stack, shape, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        cbp.from_torch(stack, shape)


def test_logarithms_of_probabilities_have_the_cross_entropy():
    """PyTorch's NLLLoss of them; the outputs here are the probabilities."""
    modules, rng = [nn.Linear(4, 3), nn.LogSoftmax(dim=-1)], np.random.default_rng(2)
    net = cbp.from_torch([module.double() for module in modules], 4)
    x, y = rng.normal(size=(5, 4)), rng.integers(3, size=5)
    expected = nn.NLLLoss()(nn.Sequential(*modules)(torch.tensor(x)), torch.tensor(y))
    assert net.loss.name == "cross_entropy"
    assert net.evaluate(x, y)["loss"] == pytest.approx(expected.item(), rel=1e-12)
    with pytest.raises(ValueError, match=r"loss='huber' would see the logarithms .* another loss with a Softmax"):
        cbp.from_torch(modules, 4, loss="huber")
