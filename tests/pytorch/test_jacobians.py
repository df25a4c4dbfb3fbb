"""Jacobians against torch.func: vmap(jacrev), where PyTorch can do that, else one backward pass for each output."""

import copy

import numpy as np
import pytest
from cases import close

import cbp

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
torch.set_num_threads(1)
nn = torch.nn
pytestmark = pytest.mark.oracle

ROWS = 3
TIGHT = 1e-10


class Last(nn.Module):
    """A recurrence that hands on its last state."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[0][:, -1]


def stacks():
    """Modules, and the shape of a sample as PyTorch has it."""
    return {
        "dense": ([nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(-1)], (2,)),
        "batch norm": ([nn.Linear(2, 5), nn.BatchNorm1d(5), nn.SiLU(), nn.Dropout(0.5), nn.Linear(5, 2)], (2,)),
        "convolution": ([nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(12, 2)], (2, 4, 4)),
        "rnn": ([nn.RNN(2, 4, batch_first=True), nn.Linear(4, 2)], (5, 2)),
        "lstm": ([nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 2)], (5, 2)),
    }


def made(name, dtype):
    torch.manual_seed(0)
    modules, shape = stacks()[name]
    modules = nn.ModuleList(modules).to(dtype).eval()
    for module in modules:
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    run = nn.Sequential(*(Last(module) if isinstance(module, nn.RNNBase) else module for module in modules))
    return modules, run, shape


def one_by_one(run, x):
    """Derivatives of every output of every row with respect to the inputs, and to all parameters of the modules."""
    by_inputs, by_parameters = [], []
    parameters = list(run.parameters())
    for row in x:
        row = row[None].requires_grad_()
        for output in run(row)[0]:
            d_row, *gradients = torch.autograd.grad(output, [row, *parameters], retain_graph=True)
            by_inputs.append(d_row[0])
            by_parameters.append(gradients)
    return torch.stack(by_inputs), by_parameters


def batched(run, x):
    """The same by vmap(jacrev)."""
    names, parameters = zip(*run.named_parameters(), strict=True)

    def one(row, *parameters):
        return torch.func.functional_call(run, dict(zip(names, parameters, strict=True)), (row[None],))[0]

    every = tuple(range(1 + len(parameters)))
    by_inputs, *gradients = torch.func.vmap(torch.func.jacrev(one, every), (0, *[None] * len(parameters)))(x, *parameters)
    gradients = [gradient.flatten(0, 1) for gradient in gradients]
    return by_inputs.flatten(0, 1), [[gradient[k] for gradient in gradients] for k in range(len(by_inputs.flatten(0, 1)))]


def in_cbp(modules, shape, gradients):
    """Gradients of the modules' parameters in cbp's order: as the weights of modules that become a network. The two biases of a
    recurrence are one there, their sum."""
    twin = copy.deepcopy(modules)
    with torch.no_grad():
        for (name, parameter), gradient in zip(twin.named_parameters(), gradients, strict=True):
            parameter[...] = torch.zeros_like(gradient) if "bias_hh" in name else gradient
    return cbp.from_torch(twin, shape).get_vector()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", stacks())
def test_as_pytorch(name, dtype):
    modules, run, shape = made(name, dtype)
    x = torch.randn(ROWS, *shape, dtype=dtype)
    by_inputs, by_parameters = (one_by_one if name in ("rnn", "lstm") else batched)(run, x)
    net = cbp.from_torch(modules, shape)
    rows, first = x.detach().numpy(), (lambda values: np.moveaxis(values, -3, -1) if len(shape) == 3 else values)
    tolerance = TIGHT if dtype == torch.float64 else 1e-5
    expected = first(by_inputs.detach().numpy().reshape(ROWS, -1, *shape))
    close(net.jacobian(first(rows)), expected, tolerance)
    flat = np.array([in_cbp(modules, shape, gradients) for gradients in by_parameters]).reshape(ROWS, -1, net.get_vector().size)
    close(net.jacobian(first(rows), of="parameters"), flat, tolerance)
