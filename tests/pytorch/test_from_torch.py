"""Networks made of PyTorch's modules: the same outputs and gradients, the same training, and clear refusals.

A gradient of PyTorch is compared by the way the weights themselves go: modules whose weights are the gradients are turned into
a network too, whose parameters then are the gradients in cbp's order and shapes.
"""

import copy
import subprocess
import sys

import facts
import numpy as np
import pytest
from cases import close

import cbp

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
torch.set_num_threads(1)
nn = torch.nn
pytestmark = pytest.mark.oracle

TIGHT = 1e-9
"""Relative, for float64."""
SINGLE = 2e-5
ROWS = 5
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


class Steps(nn.Module):
    """A recurrence as a module that hands on the outputs of all steps, or the last state of its last layer."""

    def __init__(self, inner, last):
        super().__init__()
        self.inner, self.last = inner, last

    def forward(self, x):
        outputs, state = self.inner(x)
        if not self.last:
            return outputs
        state = state[0] if isinstance(state, tuple) else state
        return torch.cat([*state[-2:]], dim=1) if self.inner.bidirectional else state[-1]


class Swap(nn.Module):
    """Channels first to last, or back."""

    def forward(self, x):
        return x.transpose(1, 2)


def last(values):
    """Samples of PyTorch with the channels last."""
    values = np.asarray(values)
    return np.moveaxis(values, 1, -1) if values.ndim > 2 else values


def one_bias(modules):
    """Of the two biases of a gate learn one, as cbp has one."""
    for module in nn.Sequential(*modules).modules():
        if isinstance(module, RECURRENT) and module.bias:
            for name, bias in module.named_parameters():
                if name.startswith("bias_hh"):
                    learnt = torch.zeros_like(bias)
                    if isinstance(module, nn.GRU):
                        learnt[2 * module.hidden_size :] = 1
                    bias.register_hook(learnt.mul)
    return modules


def in_cbp(modules, shape, values):
    """Numbers that belong to the parameters (their gradients) in cbp's order."""
    twin = copy.deepcopy(nn.Sequential(*modules))
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), values, strict=True):
            parameter.copy_(torch.zeros_like(parameter) if value is None else value)
    return cbp.from_torch(twin, shape).get_vector()


def spread(modules):
    """Every parameter somewhere else than where it starts, those that start at 0 or 1 too; running statistics as well."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in nn.Sequential(*modules).modules():
            for parameter in module.parameters(recurse=False):
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            if hasattr(module, "running_var"):
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return modules


def agree(modules, shape, reference=None, *, first=True, out_first=None, dtype="float64", whole=None, gradients=True):
    """Outputs, and a vector-Jacobian product, of the network and of the modules in PyTorch, or of `reference` made of them.

    `first` and `out_first` tell whether PyTorch has the channels first; `whole` makes whole numbers below it the inputs.
    """
    tolerance = TIGHT if dtype == "float64" else SINGLE
    modules = one_bias(spread([module.to(getattr(torch, dtype)) for module in modules]))
    out_first = first if out_first is None else out_first
    net = cbp.from_torch(modules, shape)
    assert net.dtype == dtype
    reference = (nn.Sequential(*modules) if reference is None else reference).eval()
    reference.zero_grad()  # those of an earlier call
    rng = np.random.default_rng(5)
    given = rng.integers(whole, size=(ROWS, *shape)) if whole else rng.normal(size=(ROWS, *shape)).astype(dtype)
    x = torch.tensor(given, requires_grad=not whole)
    expected = reference(x)
    X = last(given) if first else given
    arrange = last if out_first else np.asarray
    close(net.predict(X), arrange(expected.detach()), tolerance)
    if gradients:
        d = torch.tensor(rng.normal(size=expected.shape), dtype=expected.dtype)
        expected.backward(d)
        d_input, gradient = net.backward(X, np.ascontiguousarray(arrange(d)))
        close(gradient, in_cbp(modules, shape, [p.grad for module in modules for p in module.parameters()]), tolerance)
        if not whole:
            close(d_input, last(x.grad) if first else x.grad, tolerance)
    return net


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]




@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The one of modules with parameters, and PyTorch's default, which those without take."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, request.param))
    yield request.param
    torch.set_default_dtype(before)


# --- every kind ---------------------------------------------------------------------------------------------------------------

IMAGE = (3, 9, 7)
SIGNAL = (4, 11)
ON_IMAGES = {
    "conv": [nn.Conv2d(3, 5, 3)],
    "conv, pairs": [nn.Conv2d(3, 5, (2, 3), stride=(2, 1), padding=(0, 2), dilation=(3, 1))],
    "conv, same": [nn.Conv2d(3, 4, (5, 3), padding="same", dilation=(2, 1), bias=False)],
    "conv, groups": [nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 3, padding=1, groups=2)],
    "conv 1x1": [nn.Conv2d(3, 17, 1)],
    "conv of one channel": [nn.Conv2d(3, 1, 3), nn.Conv2d(1, 2, 2)],
    "depthwise": [nn.Conv2d(3, 3, 3, padding=1, groups=3)],
    "depthwise, more": [nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False)],
    "max pool": [nn.MaxPool2d(2)],
    "max pool, padded": [nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0))],
    "average pool": [nn.AvgPool2d(3, stride=2)],
    "average pool, padded": [nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)],
    "average of all": [nn.AdaptiveAvgPool2d(1)],
    "maximum of all": [nn.AdaptiveMaxPool2d((1, 1))],
    "average to a divisor": [nn.AdaptiveAvgPool2d((3, None))],
    "average of all, then 1x1": [nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1), nn.ReLU()],
    "norm": [nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), nn.Tanh()],
    "softmax of channels": [nn.Conv2d(3, 4, 2), nn.Softmax(dim=1)],
    "identity and dropout": [nn.Identity(), nn.Conv2d(3, 4, 2), nn.Dropout(0.5), nn.ReLU()],
}
ON_SIGNALS = {
    "conv": [nn.Conv1d(4, 5, 3)],
    "conv, options": [nn.Conv1d(4, 6, 3, stride=2, padding=3, dilation=2, groups=2)],
    "depthwise": [nn.Conv1d(4, 8, 2, groups=4)],
    "same": [nn.Conv1d(4, 3, 5, padding="same", dilation=2)],
    "max pool": [nn.MaxPool1d(3, stride=2, padding=1)],
    "average pool": [nn.AvgPool1d(2)],
    "average of all": [nn.AdaptiveAvgPool1d(1)],
    "norm": [nn.BatchNorm1d(4)],
}
TO_ROWS = {
    "linear": ((6,), [nn.Linear(6, 3)]),
    "linear, no bias": ((6,), [nn.Linear(6, 17, bias=False), nn.ELU(), nn.Linear(17, 1)]),
    "nested": ((6,), [nn.Sequential(nn.Linear(6, 3), nn.Sequential(nn.Tanh(), nn.Linear(3, 2))), nn.Sigmoid()]),
    "norms": ((6,), [nn.BatchNorm1d(6), nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 2)]),
    "flat image": (IMAGE, [nn.Flatten(), nn.Linear(189, 4)]),
    "flat signal": (SIGNAL, [nn.Conv1d(4, 3, 2), nn.Flatten(), nn.Linear(30, 4)]),
    "flat, one channel": ((1, 5, 4), [nn.Flatten()]),
    "flat, one pixel": (IMAGE, [nn.Conv2d(3, 5, (9, 7)), nn.Flatten(), nn.Softmax(dim=-1)]),
    "flat, between": (IMAGE, [
        nn.Conv2d(3, 2, 3), nn.Flatten(), nn.ReLU(), nn.BatchNorm1d(70), nn.Dropout(0.1), nn.Linear(70, 3),
    ]),
    "flat, normalized": (IMAGE, [nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LayerNorm(70), nn.Softplus(), nn.Linear(70, 3)]),
    "flat after the average": (IMAGE, [nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)]),
    "flat after the maximum": (IMAGE, [nn.Conv2d(3, 5, 3), nn.AdaptiveMaxPool2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)]),
    "activation behind a pool": (IMAGE, [nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(30, 3)]),
}


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images(name, dtype):
    agree(ON_IMAGES[name], IMAGE, dtype=dtype)


@pytest.mark.parametrize("name", ON_SIGNALS)
def test_signals(name, dtype):
    agree(ON_SIGNALS[name], SIGNAL, dtype=dtype)


@pytest.mark.parametrize("name", TO_ROWS)
def test_rows_of_numbers(name, dtype):
    shape, modules = TO_ROWS[name]
    agree(modules, shape, dtype=dtype, out_first=False)


@pytest.mark.parametrize("name", [name for name, row in facts.ACTIVATIONS.items() if row.module])
def test_activations(name):
    """PyTorch's slope of Hardsigmoid is 1/6 in float32 also in float64, so it is left out of the gradients."""
    module = facts.ACTIVATIONS[name].module(nn)
    net = agree([nn.Linear(6, 5), module], (6,), first=False, gradients=not isinstance(module, nn.Hardsigmoid))
    assert kinds(net) == ["Dense"]
    assert net.layers[0].activation == name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrences(kind, layers, bidirectional, bias, dtype):
    inner = getattr(nn, kind)(3, 5, layers, batch_first=True, bidirectional=bidirectional, bias=bias)
    head = nn.Linear(10 if bidirectional else 5, 2)
    agree([inner], (7, 3), Steps(inner, last=False), first=False, dtype=dtype)
    agree([inner, head], (7, 3), nn.Sequential(Steps(inner, last=True), head), first=False, dtype=dtype)


def test_a_recurrence_of_relus():
    inner, head = nn.RNN(3, 5, nonlinearity="relu", batch_first=True), nn.Linear(5, 2)
    agree([inner, head], (4, 3), nn.Sequential(Steps(inner, last=True), head), first=False)


def test_all_steps_go_to_the_next_recurrence_and_to_a_flatten():
    one, two, flat, head = nn.GRU(3, 4, batch_first=True), nn.LSTM(4, 5, batch_first=True), nn.Flatten(), nn.Linear(30, 2)
    reference = nn.Sequential(Steps(one, last=False), Steps(two, last=False), flat, head)
    agree([one, two, flat, head], (6, 3), reference, first=False)


def test_the_last_step_goes_through_norms_and_dropout_to_a_linear():
    inner = nn.LSTM(3, 4, batch_first=True)
    rest = [nn.Dropout(0.2), nn.LayerNorm(4), nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 2)]
    agree([inner, *rest], (6, 3), nn.Sequential(Steps(inner, last=True), *rest), first=False)


def test_a_linear_acts_on_every_step():
    agree([nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2)], (6, 3), first=False)


def test_dropout_between_stacked_layers():
    net = cbp.from_torch([nn.GRU(3, 4, 2, batch_first=True, dropout=0.25), nn.Linear(4, 1)], (5, 3))
    assert kinds(net) == ["GRU", "Dropout", "GRU", "Dense"]
    assert net.layers[1].rate == 0.25


def test_embedding(dtype):
    table, inner, head = nn.Embedding(11, 6), nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 3)
    agree([table], (7,), dtype=dtype, whole=11, first=False)
    agree([table, inner, head], (7,), nn.Sequential(table, Steps(inner, last=True), head), dtype=dtype, whole=11, first=False)
    assert cbp.from_torch([nn.Embedding(11, 6, sparse=True)], (7,)).layers[0].sparse


def test_a_convolution_then_a_recurrence_and_the_other_way_round(dtype):
    conv, inner, head = nn.Conv1d(4, 6, 3), nn.GRU(6, 5, batch_first=True), nn.Linear(5, 2)
    agree([conv, nn.ReLU(), inner, head], SIGNAL, nn.Sequential(conv, nn.ReLU(), Swap(), Steps(inner, last=True), head),
          dtype=dtype, out_first=False)
    inner, conv = nn.GRU(3, 4, batch_first=True), nn.Conv1d(4, 2, 3)
    reference = nn.Sequential(Steps(inner, last=False), Swap(), conv)
    agree([inner, conv], (8, 3), reference, first=False, out_first=True, dtype=dtype)


def test_an_image_as_a_sequence_of_pixels():
    conv, flat, inner, head = nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)
    agree([conv, flat, inner, head], IMAGE, nn.Sequential(conv, flat, Swap(), Steps(inner, last=True), head), out_first=False)


# --- what a network is given --------------------------------------------------------------------------------------------------


def test_weights_are_copied_and_modules_stay_as_they_are():
    linear = nn.Linear(3, 2)
    before = linear.weight.detach().clone()
    net = cbp.from_torch([linear], 3)
    net.parameters["0.weight"][...] = 0
    assert torch.equal(linear.weight, before)
    assert linear.training


@pytest.mark.parametrize(("module", "loss"), [
    (nn.Softmax(-1), "cross_entropy"), (nn.Sigmoid(), "binary_cross_entropy"), (nn.ReLU(), "mean_squared_error"),
])
def test_the_loss_of_the_last_activation(module, loss):
    assert cbp.from_torch([nn.Linear(3, 2), module], 3).loss.name == loss
    assert cbp.from_torch([nn.Linear(3, 2), module], 3, loss="huber").loss.name == "huber"


def test_options_are_those_of_a_network():
    net = cbp.from_torch(nn.Sequential(nn.Linear(3, 2)), (3,), seed=7, l1=0.1, l2=0.2)
    assert (net.seed, net.l1, net.l2) == (7, 0.1, 0.2)


def test_the_same_from_a_sequential_and_from_a_list():
    modules = [nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)]
    nets = [cbp.from_torch(given, torch.Size([3])) for given in (nn.Sequential(*modules), modules, tuple(modules))]
    assert len({net.get_vector().tobytes() for net in nets}) == 1
    assert [kinds(net) for net in nets] == [["Dense", "Dense"]] * 3


def test_importing_cbp_does_not_import_torch():
    program = "import sys, cbp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_pytorch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"cbp\.from_torch needs PyTorch: pip install torch"):
        cbp.from_torch([], 3)


# --- training: the oracle ---------------------------------------------------------------------------------------------


def lenet():
    return [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)], (1, 28, 28)


def separable():
    return [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)], (3, 9, 7)


def lstm_stack():
    return [nn.LSTM(3, 7, 2, batch_first=True), nn.Linear(7, 4)], (9, 3)


def gru_both_ways():
    return [nn.GRU(3, 5, batch_first=True, bidirectional=True), nn.LayerNorm(10), nn.Tanh(), nn.Linear(10, 4)], (9, 3)


def words():
    return [nn.Embedding(13, 6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 4)], (8,)


def conv_then_recurrence():
    return [nn.Conv1d(2, 6, 3, padding=1), nn.ELU(), nn.AvgPool1d(2), nn.GRU(6, 5, batch_first=True), nn.Linear(5, 8),
            nn.Tanh(), nn.Linear(8, 4)], (2, 12)


MODELS = [lenet, separable, lstm_stack, gru_both_ways, words, conv_then_recurrence]
OPTIMIZERS = {
    "adam": (cbp.Adam(1e-3), lambda parameters: torch.optim.Adam(parameters, lr=1e-3)),
    "momentum": (cbp.SGD(0.05, momentum=0.9), lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)),
}


def running(modules):
    """What PyTorch runs: recurrences with their last step, and channels last before one behind a convolution."""
    found, first = [], False
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, RECURRENT):
            found += [Swap()] if first else []
            found.append(Steps(module, last=not isinstance(after, RECURRENT)))
        else:
            found.append(module)
        first = first or isinstance(module, nn.Conv1d)
    return nn.Sequential(*found)


def batch(shape, modules, classes, rows=6):
    rng = np.random.default_rng(11)
    if isinstance(modules[0], nn.Embedding):
        x = rng.integers(modules[0].num_embeddings, size=(rows, *shape))
    else:
        x = rng.normal(size=(rows, *shape))
    return x, rng.integers(classes, size=rows)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_ten_steps_of_training(model, optimizer):
    """Loss, gradient and d_input at the beginning; loss of every step, parameters and running statistics at the end."""
    torch.manual_seed(1)
    modules, shape = model()
    modules = one_bias(spread([module.double() for module in modules]))
    whole = [*modules, nn.Softmax(dim=-1)]
    net = cbp.from_torch(whole, shape)
    assert net.loss.name == "cross_entropy"
    given, y = batch(shape, modules, net.output_shape[-1])
    x = torch.tensor(given, requires_grad=given.dtype.kind == "f")
    X = last(given) if isinstance(modules[0], (nn.Conv1d, nn.Conv2d)) else given
    reference, labels = running(modules).eval(), torch.tensor(y)
    ours, theirs = OPTIMIZERS[optimizer]
    parameters = list(nn.Sequential(*modules).parameters())
    rule = theirs(parameters)

    expected = nn.functional.cross_entropy(reference(x), labels)
    expected.backward()
    loss, gradient = net.gradient(X, y)
    assert loss == pytest.approx(expected.item(), rel=TIGHT)
    close(gradient, in_cbp(whole, shape, [parameter.grad for parameter in parameters]), TIGHT)

    reference.train()
    for _ in range(10):
        rule.zero_grad()
        expected = nn.functional.cross_entropy(reference(x), labels)
        expected.backward()
        rule.step()
        assert net.train_on_batch(X, y, optimizer=ours) == pytest.approx(expected.item(), rel=TIGHT)
    trained = cbp.from_torch(whole, shape)
    close(net.get_vector(), trained.get_vector(), TIGHT)
    assert list(net.statistics) == list(trained.statistics)
    for name, values in trained.statistics.items():
        close(net.statistics[name], values, TIGHT)


# --- refusals -----------------------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown module": ([nn.Linear(4, 4), nn.Bilinear(4, 4, 4)], 4, r"modules\[1\] \(Bilinear\): .*no counterpart"),
    "nested": ([nn.Sequential(nn.Linear(4, 4), nn.RReLU())], 4, r"modules\[0\]\.1 \(RReLU\)"),
    "named": (nn.Sequential(), 4, "modules is empty"),
    "not a module": ([nn.Linear(4, 4), "relu"], 4, r"modules\[1\] must be a torch\.nn\.Module, got str"),
    "features": ([nn.Linear(5, 4)], 4, r"modules\[0\] \(Linear\): in_features is 5, .* shape \(4,\)"),
    "channels": ([nn.Conv2d(3, 4, 3)], (2, 5, 5), r"in_channels is 3, .* shape \(2, 5, 5\)"),
    "axes": ([nn.Conv2d(3, 4, 3)], (3, 5), r"it takes \(channels, height, width\), .*\(3, 5\)"),
    "kernel": ([nn.Conv2d(3, 4, 6)], (3, 5, 5), r"modules\[0\] \(Conv2d\): kernel_size=\(6, 6\) .*\(3, 5, 5\)"),
    "linear without flatten": ([nn.Conv2d(3, 4, 3), nn.Linear(3, 2)], (3, 5, 5), "put a Flatten before it"),
    "flatten at the end": ([nn.Conv2d(3, 4, 3), nn.Flatten()], (3, 5, 5), "end with the numbers of a Flatten"),
    "flatten of some axes": ([nn.Flatten(1, 2)], (3, 5, 5), "start_dim=1 and end_dim=2"),
    "padding mode": ([nn.Conv2d(3, 4, 3, padding_mode="reflect")], (3, 5, 5), "padding_mode='reflect'"),
    "ceil mode": ([nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)], (3, 6, 6), "ceil_mode=False"),
    "dilated pool": ([nn.MaxPool2d(2, dilation=2)], (3, 5, 5), "dilation=2"),
    "pads that count": ([nn.AvgPool2d(3, padding=1)], (3, 5, 5), "count_include_pad=True"),
    "divisor": ([nn.AvgPool2d(3, divisor_override=2)], (3, 5, 5), "divisor_override=2"),
    "uneven windows": ([nn.AdaptiveAvgPool2d(2)], (3, 5, 5), "output_size=2 does not divide"),
    "slope": ([nn.Linear(4, 4), nn.LeakyReLU(0.2)], 4, "negative_slope=0.2"),
    "gelu by tanh": ([nn.Linear(4, 4), nn.GELU(approximate="tanh")], 4, "approximate='tanh'"),
    "two activations": ([nn.Linear(4, 4), nn.ReLU(), nn.Tanh()], 4, r"modules\[2\] \(Tanh\): .*has an activation already"),
    "activation first": ([nn.ReLU(), nn.Linear(4, 4)], 4, r"modules\[0\] \(ReLU\): .*none of them comes right before"),
    "activation of a recurrence": ([nn.LSTM(4, 4, batch_first=True), nn.ReLU()], (3, 4), r"modules\[1\] \(ReLU\)"),
    "activation behind a maximum": ([nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.GELU()], (3, 5, 5), r"modules\[2\] \(GELU\)"),
    "activation behind dropout": ([nn.Linear(4, 4), nn.Dropout(), nn.Tanh()], 4, r"modules\[2\] \(Tanh\)"),
    "softmax of pixels": ([nn.Conv2d(3, 4, 3), nn.Softmax(dim=-1)], (3, 5, 5), r"dim=-1 of \(4, 3, 3\).*dim=1"),
    "time first": ([nn.LSTM(4, 3)], (5, 4), r"modules\[0\] \(LSTM\): batch_first=False"),
    "projection": ([nn.LSTM(4, 3, proj_size=2, batch_first=True)], (5, 4), "proj_size=2"),
    "no time": ([nn.GRU(4, 3, batch_first=True)], 4, r"it takes \(time, features\), .*\(4,\)"),
    "image to a recurrence": ([nn.GRU(4, 3, batch_first=True)], (4, 3, 3), r"it takes \(time, features\)"),
    "late embedding": ([nn.Linear(4, 4), nn.Embedding(3, 2)], 4, "must be the first"),
    "padding index": ([nn.Embedding(3, 2, padding_idx=0)], 4, "padding_idx=0"),
    "batch statistics": ([nn.BatchNorm1d(4, track_running_stats=False)], 4, "track_running_stats=False"),
    "no affine": ([nn.BatchNorm1d(4, affine=False)], 4, "affine=False"),
    "mean of all batches": ([nn.BatchNorm1d(4, momentum=None)], 4, "momentum=None"),
    "two axes normalized": ([nn.LayerNorm((3, 4))], (3, 4), r"normalized_shape=\(3, 4\)"),
    "positions normalized": ([nn.Conv1d(3, 3, 1), nn.LayerNorm(4)], (3, 4), r"normalized_shape=\(4,\) of \(3, 4\)"),
    "half": ([nn.Linear(4, 4).half()], 4, r"modules\[0\] has parameters of dtype float16"),
    "mixed": ([nn.Linear(4, 4), nn.Linear(4, 4).double()], 4, "float32 and float64"),
    "lazy": ([nn.LazyLinear(4)], 4, "LazyLinear"),
    "rate": ([nn.Linear(4, 4), nn.Dropout(1.0)], 4, r"modules\[1\] \(Dropout\): rate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    modules, shape, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        cbp.from_torch(modules, shape)


def test_a_module_of_the_users_own_is_refused():
    class Mine(nn.Linear):
        pass

    with pytest.raises(ValueError, match=r"modules\.head \(Mine\)"):
        cbp.from_torch(nn.Sequential(torch.nn.modules.container.OrderedDict(head=Mine(2, 2))), 2)


def test_one_module_is_no_list():
    with pytest.raises(TypeError, match="put a single module into a list"):
        cbp.from_torch(nn.Linear(2, 2), 2)


CONTAINERS = {"list": list, "Sequential": lambda modules: nn.Sequential(*modules),
              "nested": lambda modules: nn.Sequential(nn.Sequential(*modules))}


@pytest.mark.parametrize("container", CONTAINERS)
def test_shared_weights_are_refused_and_shared_activations_are_not(container):
    linear, relu, within = nn.Linear(3, 3), nn.ReLU(), CONTAINERS[container]
    with pytest.raises(ValueError, match=r"modules\S*2\]? is the same module as modules\S*0\]?; cbp's layers do not share"):
        cbp.from_torch(within([linear, relu, linear]), 3)
    modules = [linear, relu, nn.Linear(3, 3), relu]
    net = cbp.from_torch(within(modules), 3)
    assert [layer.activation for layer in net.layers] == ["relu", "relu"]
    agree(modules, (3,), first=False)


def test_modules_without_numbers_are_named():
    with pytest.raises(ValueError, match=r"^modules\[1\] \(Linear\): its parameters are on the device 'meta'"):
        cbp.from_torch([nn.Linear(3, 3), nn.Linear(3, 3, device="meta")], 3)


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(("wrapped", "place"), [
    (lambda inner: inner, "modules"), (lambda inner: [inner], r"modules\[0\]"), (nn.Sequential, r"modules\.0"),
])
def test_a_sequential_with_a_forward_of_its_own_is_refused(wrapped, place):
    with pytest.raises(TypeError, match=rf"^{place} is a Doubled, .* pass them as a list"):
        cbp.from_torch(wrapped(Doubled(nn.Linear(3, 3))), 3)


@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize(("module", "wrapped", "place"), [
    (nn.Linear(3, 3), lambda inner: [inner], r"modules\[0\] \(Linear\)"),
    (nn.Sequential(nn.Linear(3, 3)), lambda inner: inner, r"modules \(Sequential\)"),
    (nn.Sequential(nn.Linear(3, 3)), lambda inner: [inner], r"modules\[0\] \(Sequential\)"),
    (nn.Sequential(nn.Linear(3, 3)), nn.Sequential, r"modules\.0 \(Sequential\)"),
])
def test_hooks_are_refused(module, wrapped, place, kind):
    hook = getattr(module, kind)(lambda *_: None)
    with pytest.raises(ValueError, match=rf"^{place}: it has forward hooks"):
        cbp.from_torch(wrapped(module), 3)
    hook.remove()
    assert kinds(cbp.from_torch(wrapped(module), 3)) == ["Dense"]


@pytest.mark.parametrize("shape", [0, (3, -1), 2.5, "3"])
def test_wrong_input_shapes(shape):
    with pytest.raises((ValueError, TypeError), match="input_shape"):
        cbp.from_torch([nn.Linear(3, 3)], shape)


@pytest.mark.parametrize("call", [
    lambda: cbp.from_torch(nn.Linear(3, 1), 3, dtype="float32"), lambda: cbp.from_torch(nn.Linear(3, 1), 3, foo=1),
    lambda: cbp.from_torch(nn.Linear(3, 1)),
])
def test_wrong_arguments_are_those_of_from_torch(call):
    with pytest.raises(TypeError, match=r"^from_torch (takes no|needs)"):
        call()
