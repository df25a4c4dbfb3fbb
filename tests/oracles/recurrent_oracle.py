"""Recurrent layers computed one number after the other in NumPy, and with PyTorch's own layers."""

import numpy as np

import cbp
from cbp.layers import Bidirectional
from cbp.layers.recurrent import Recurrent


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


FUNCTIONS = {"tanh": np.tanh, "sigmoid": sigmoid, "relu": lambda z: np.maximum(z, 0), "identity": lambda z: z}


def cell(layer, p, x, h, c):
    """The state after one step, from the equations in the docstrings."""
    z = np.tensordot(x, p["weight"], 1)
    s = np.tensordot(h, p["recurrent"], 1)
    b = p.get("bias")
    if isinstance(layer, cbp.RNN):
        return FUNCTIONS[layer.activation](z + s + (0 if b is None else b)), c
    b = np.zeros((4, layer.units)) if b is None else b
    if isinstance(layer, cbp.LSTM):
        i, f, g, o = z + s + b
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    r, update = (sigmoid(z[k] + s[k] + b[k]) for k in (0, 1))
    n = np.tanh(z[2] + b[2] + r * (s[2] + b[3]))
    return (1 - update) * n + update * h, c


def naive_row(layer, p, x, length, state=None):
    """Outputs of one sequence, and the state after it."""
    h, c = (np.zeros(layer.units), np.zeros(layer.units)) if state is None else state
    outputs = np.zeros((len(x), layer.units))
    for t in reversed(range(length)) if layer.reverse else range(length):
        h, c = cell(layer, p, x[t], h, c)
        outputs[t] = h
    return (outputs if layer.return_sequences else h), (h, c)


def sides(layer):
    """The recurrent layers that a layer is made of, with the prefix of their parameters' names."""
    if isinstance(layer, Bidirectional):
        return [(f"{side}.", each) for side, each in layer.sides.items()]
    return [("", layer)]


def of(parameters, prefix):
    return {name.removeprefix(prefix): values for name, values in parameters.items() if name.startswith(prefix)}


def naive(net, x, lengths=None):
    """What ``net.predict(x)`` should be, for recurrent layers and dense ones without activation."""
    lengths = np.full(len(x), x.shape[1]) if lengths is None else lengths
    values = list(np.asarray(x, float))
    for index, layer in enumerate(net.layers):
        p = of(net.parameters, f"{index}.")
        if isinstance(layer, cbp.Dense):
            values = [v @ p["weight"] + p["bias"] for v in values]
            continue
        values = [np.concatenate([naive_row(each, of(p, prefix), v, n)[0] for prefix, each in sides(layer)], axis=-1)
                  for v, n in zip(values, lengths, strict=True)]
    return np.array(values)


class Twin:
    """A network's copy in PyTorch, whose parameters have cbp's shapes."""

    def __init__(self, torch, net, optimizer=None):
        self.torch, self.net = torch, net
        self.parameters = {name: torch.tensor(np.array(view, np.float64), requires_grad=True)
                           for name, view in net.parameters.items()}
        if optimizer is not None:
            self.rule = torch.optim.Adam(self.parameters.values(), lr=optimizer.rate, eps=optimizer.epsilon)

    def forward(self, x, lengths=None):
        for index, layer in enumerate(self.net.layers):
            p = of(self.parameters, f"{index}.")
            if isinstance(layer, Recurrent | Bidirectional):
                x = self.torch.cat([self.recurrent(each, of(p, prefix), x, lengths) for prefix, each in sides(layer)], dim=-1)
            else:
                x = x @ p["weight"] + p["bias"]
        return x

    def recurrent(self, layer, p, x, lengths):
        """Every sequence alone, up to its length; all together where none is shorter."""
        torch = self.torch
        if lengths is None:
            return self.sequences(layer, p, x)
        rows = []
        for row, length in zip(x, lengths, strict=True):
            found = self.sequences(layer, p, row[None, :length])[0]
            if layer.return_sequences:
                found = torch.cat([found, torch.zeros(x.shape[1] - length, layer.units, dtype=x.dtype)])
            rows.append(found)
        return torch.stack(rows)

    def sequences(self, layer, p, x):
        torch = self.torch
        x = x.flip(1) if layer.reverse else x
        state, outputs = None, []
        for stretch in x.split(layer.bptt or x.shape[1], dim=1):
            found, state = self.run(layer, p, stretch, state)
            outputs.append(found)
            state = tuple(each.detach() for each in state)
        outputs = torch.cat(outputs, dim=1)
        if not layer.return_sequences:
            return outputs[:, -1]
        return outputs.flip(1) if layer.reverse else outputs

    def run(self, layer, p, x, state, batch_sizes=None):
        """PyTorch's function of the layer; with ``batch_sizes`` x is the data of a packed sequence."""
        torch = self.torch
        rows = len(x) if batch_sizes is None else int(batch_sizes[0])
        if state is None:
            state = tuple(torch.zeros(1, rows, layer.units, dtype=x.dtype) for _ in range(1 + isinstance(layer, cbp.LSTM)))
        weights = self.weights(layer, p)
        name = f"rnn_{layer.activation}" if isinstance(layer, cbp.RNN) else type(layer).__name__.lower()
        given = state if isinstance(layer, cbp.LSTM) else state[0]
        ends = (True,) if batch_sizes is None else ()
        middle = () if batch_sizes is None else (batch_sizes,)
        outputs, *state = getattr(torch, name)(x, *middle, given, weights, True, 1, 0.0, False, False, *ends)
        return outputs, tuple(state)

    def weights(self, layer, p):
        """Input and recurrent weights and the two biases, as PyTorch lays them out."""
        torch, units = self.torch, layer.units
        inputs = p["weight"].shape[0]
        pair = [p["weight"].reshape(inputs, -1).T, p["recurrent"].reshape(units, -1).T]
        if isinstance(layer, cbp.GRU):
            r, z, n, m = p["bias"] if "bias" in p else torch.zeros(4, units, dtype=torch.float64)
            nothing = torch.zeros_like(r)
            return [*pair, torch.cat([r, z, n]), torch.cat([nothing, nothing, m])]
        count = pair[0].shape[0]
        nothing = torch.zeros(count, dtype=torch.float64)
        return [*pair, p["bias"].reshape(-1) if "bias" in p else nothing, nothing]

    def loss(self, x, y, lengths=None):
        """Mean squared error: over the outputs, the steps of each sample that count, the samples."""
        torch = self.torch
        each = ((self.forward(torch.as_tensor(x), lengths) - torch.as_tensor(y)) ** 2).mean(-1)
        if each.dim() == 1 or lengths is None:
            return each.mean()
        return torch.stack([row[:length].mean() for row, length in zip(each, lengths, strict=True)]).mean()

    def step(self, x, y, lengths=None):
        """The loss and the flat gradient before an update."""
        self.rule.zero_grad()
        loss = self.loss(x, y, lengths)
        loss.backward()
        gradient = flat(parameter.grad for parameter in self.parameters.values())
        self.rule.step()
        return loss.item(), gradient

    @property
    def vector(self):
        return flat(self.parameters.values())


def flat(tensors):
    return np.concatenate([tensor.detach().numpy().reshape(-1) for tensor in tensors])
