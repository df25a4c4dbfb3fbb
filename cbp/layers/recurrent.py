"""Layers that carry a state from step to step of a sequence (time, features), and the one that reads it both ways.

In all of them x_t is the input of step t, h_t the state after it, h_{-1} = 0 unless the layer is ``stateful``. Backpropagation
goes through all steps (Werbos, 1990, *Backpropagation through time: what it does and how to do it*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cbp import initializers
from cbp.activations import ACTIVATIONS
from cbp.engine import check
from cbp.engine.cpu import core as _core
from cbp.engine.plan import padded
from cbp.errors import quoted
from cbp.initializers import Draw, Fans, Initializer
from cbp.layers.base import ZEROS, Layer, Parameter, Plan, Shape, Value, brief, checked_activation, chosen_init

__all__ = ["RNN", "LSTM", "GRU", "Bidirectional"]

STATE_ACTIVATIONS = tuple(name for name, row in ACTIVATIONS.items() if row.of_value)
"""Activations of a state: each number for itself, with a derivative that the activation tells."""


@dataclass(frozen=True, eq=False)
class _Gatewise(Initializer):
    """Fills (inputs, gates, units) gate by gate, each as a matrix (inputs, units) of its own."""

    def __call__(self, shape: Shape, draw: Draw, fans: Fans | None = None) -> npt.NDArray[np.float64]:
        if self.values is not None or len(shape) == 2:
            return super().__call__(shape, draw, fans)
        inputs, gates, units = shape
        drawn: list[npt.NDArray[np.float64]] = []

        def share(distribution: str, count: int) -> npt.NDArray[np.float64]:
            if not drawn:
                drawn.extend(draw(distribution, gates * count).reshape(gates, count))
            return drawn.pop(0)

        return np.stack([super(_Gatewise, self).__call__((inputs, units), share, fans) for _ in range(gates)], axis=1)


class _ForgetGateOpen(Initializer):
    """0, and 1 for the second gate of an LSTM's."""

    def __call__(self, shape: Shape, draw: Draw, fans: Fans | None = None) -> npt.NDArray[np.float64]:
        start = np.zeros(shape)
        start[1] = 1
        return start


@dataclass(frozen=True)
class Recurrent(Layer):
    """What the recurrent layers have in common.

    Attributes
    ----------
    GATES, BIASES : int
        Sums of a number of the state that have weights, and that have a bias.
    """

    GATES: ClassVar[int]
    BIASES: ClassVar[int]

    units: int
    return_sequences: bool = field(default=False, kw_only=True)
    reverse: bool = field(default=False, kw_only=True)
    bptt: int | None = field(default=None, kw_only=True)
    stateful: bool = field(default=False, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)
    recurrent_init: str | float | Initializer | npt.ArrayLike = field(default="orthogonal", kw_only=True)

    def __post_init__(self) -> None:
        def place(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        place("units", check.integer("units", self.units, below=2**48))
        for name in ("return_sequences", "reverse", "stateful", "bias"):
            place(name, check.boolean(name, getattr(self, name)))
        place("bptt", None if self.bptt is None else check.integer("bptt", self.bptt))
        place("init", chosen_init(self.init, getattr(self, "activation", "tanh")))
        place("recurrent_init", initializers.get(self.recurrent_init))

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            remedy = "put a Reshape((time, features)) before it"
            if len(input_shape) == 1:
                remedy = f"a recurrent layer before it needs return_sequences=True; else {remedy}"
            raise ValueError(f"{type(self).__name__}({self.units}) takes sequences (time, features), its input has the shape "
                             f"{input_shape}; {remedy}")
        return (input_shape[0], self.units) if self.return_sequences else (self.units,)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        inputs, units = input_shape[-1], self.units
        assert isinstance(self.init, Initializer)
        assert isinstance(self.recurrent_init, Initializer)
        found = {
            "weight": Parameter(self._shape(inputs, self.GATES), _gatewise(self.init), (inputs, units)),
            "recurrent": Parameter(self._shape(units, self.GATES), _gatewise(self.recurrent_init), (units, units)),
        }
        if self.bias:
            found["bias"] = Parameter(self._shape(None, self.BIASES), self._bias_init(), penalised=False)
        return found

    def multiplications(self, input_shape: Shape) -> int:
        time, inputs = input_shape
        return time * self.GATES * (inputs + self.units) * self.units

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """One op for all steps."""
        width = padded(self.units)
        output = plan.value(self.output_shape(value.shape), timed=value.timed and self.return_sequences)
        plan.add(
            self.kind, value, output, weight=f"{name}.weight", weight_rows=value.shape[-1] + self.units,
            weight_width=self.GATES * width, bias=f"{name}.bias", bias_width=self.BIASES * width,
            sequences=self.return_sequences, timed=value.timed, reverse=self.reverse, bptt=self.bptt or 0,
            stateful=self.stateful, state_activation=_core.ACTIVATIONS[getattr(self, "activation", "tanh")])
        return output

    def of_one_step(self) -> Layer:
        return super().of_one_step() if self.reverse else replace(self, stateful=True)

    def _shape(self, rows: int | None, gates: int) -> Shape:
        """Of weights or, without rows, of biases: (rows, gates, units), where the layer has several gates."""
        return (() if rows is None else (rows,)) + ((gates,) if gates > 1 else ()) + (self.units,)

    def _bias_init(self) -> Initializer:
        return ZEROS


def _gatewise(init: Initializer) -> Initializer:
    return _Gatewise(init.name, init.values)


@dataclass(frozen=True)
class RNN(Recurrent):
    """The simple recurrent layer of Elman (1990), *Finding structure in time*.

    Takes (time, inputs), gives (units,) or, with ``return_sequences``, (time, units).

    ``h_t = f(x_t @ weight + h_{t-1} @ recurrent + bias)``, with weight (inputs, units), recurrent (units, units) and bias
    (units,). PyTorch's ``nn.RNN`` has two biases, whose sum this one is.

    Parameters
    ----------
    units : int
        Numbers of the state, at least 1.
    activation : str
        f: an activation of ``cbp.activations.ACTIVATIONS`` whose derivative follows from its value: not gelu, for example.
    return_sequences : bool
        Whether the output is the state after every step, (time, units), or only the last one, (units,).
    reverse : bool
        Whether time runs from the last step to the first. With ``return_sequences`` every output stays at its own step.
    bptt : int or None
        No gradient crosses from step to step at multiples of it (truncated backpropagation through time, Williams & Peng,
        1990): the state goes on, what is learned from an output reaches back to the beginning of its stretch. None: all steps.
    stateful : bool
        Whether row i of a batch goes on from the state of row i of the batch before it, without a gradient to that batch: in
        ``fit`` (from the beginning of every epoch, with ``shuffle=False``), ``train_on_batch`` and ``predict``; see
        ``Network.reset_state``.
    bias : bool
        Whether the sums have biases. They start at 0.
    init, recurrent_init : str, float, array or Initializer
        How the weights of the inputs and those of the state start. By default ``init`` is chosen as for ``Dense``, and
        ``recurrent_init`` is ``orthogonal`` (Saxe et al., 2014).

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kind: ClassVar[str] = "rnn"
    arrays: ClassVar[str] = "`weight` (inputs, units), `recurrent` (units, units), `bias` (units)"
    GATES: ClassVar[int] = 1
    BIASES: ClassVar[int] = 1

    activation: str = "tanh"

    def __post_init__(self) -> None:
        if checked_activation(self.activation) not in STATE_ACTIVATIONS:
            known = ", ".join(STATE_ACTIVATIONS)
            raise ValueError(f"activation of an RNN must be one of {known}, got {quoted(self.activation)}")
        super().__post_init__()


@dataclass(frozen=True)
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000), as in PyTorch.

    Takes (time, inputs), gives (units,) or, with ``return_sequences``, (time, units).

    With four sums (i, f, g, o) = ``x_t @ weight + h_{t-1} @ recurrent + bias`` a number of the state, σ the logistic function::

        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    weight (inputs, 4, units), recurrent (units, 4, units) and bias (4, units) hold the gates i, f, g, o in this order. PyTorch
    has two biases, whose sum this one is. The bias of f starts at 1, so that the memory lasts (Jozefowicz et al., 2015).

    Parameters
    ----------
    units : int
        Numbers of the state, at least 1.
    return_sequences, reverse, bptt, stateful, bias, init, recurrent_init
        As of :class:`RNN`; every gate starts as a matrix of its own.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kind: ClassVar[str] = "lstm"
    arrays: ClassVar[str] = "`weight` (inputs, 4, units), `recurrent` (units, 4, units), `bias` (4, units)"
    GATES: ClassVar[int] = 4
    BIASES: ClassVar[int] = 4

    def _bias_init(self) -> Initializer:
        return _ForgetGateOpen("zeros")


@dataclass(frozen=True)
class GRU(Recurrent):
    """The gated recurrent unit (Cho et al., 2014) in the form that cuDNN and PyTorch compute.

    Takes (time, inputs), gives (units,) or, with ``return_sequences``, (time, units)::

        r = σ(x_t W_r + h_{t-1} U_r + b_r)
        z = σ(x_t W_z + h_{t-1} U_z + b_z)
        n = tanh(x_t W_n + b_n + r (h_{t-1} U_n + b_m))
        h_t = (1 - z) n + z h_{t-1}

    weight (inputs, 3, units) is (W_r, W_z, W_n), recurrent (units, 3, units) is (U_r, U_z, U_n), bias (4, units) is
    (b_r, b_z, b_n, b_m). Cho et al. multiply r with h_{t-1} before the product instead. PyTorch has two biases for r and for z,
    whose sums these are.

    Parameters
    ----------
    units : int
        Numbers of the state, at least 1.
    return_sequences, reverse, bptt, stateful, bias, init, recurrent_init
        As of :class:`RNN`; every gate starts as a matrix of its own.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kind: ClassVar[str] = "gru"
    arrays: ClassVar[str] = "`weight` (inputs, 3, units), `recurrent` (units, 3, units), `bias` (4, units)"
    GATES: ClassVar[int] = 3
    BIASES: ClassVar[int] = 4


@dataclass(frozen=True)
class Bidirectional(Layer):
    """A recurrent layer and its copy that reads time from the end (Schuster & Paliwal, 1997), side by side.

    Takes (time, inputs), gives (2 units,) or, if the layer has ``return_sequences``, (time, 2 units). The outputs are those of
    the layer, then those of the copy: of every step, or the last state of both, which for the copy is the one after the first
    step. The parameters are called ``forward.weight``, ..., ``backward.weight``, ...

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Neither ``reverse`` nor ``stateful``: the copy cannot know the future beyond its batch.

    Raises
    ------
    TypeError, ValueError
        The layer is of another kind.
    """

    kind: ClassVar[str] = "bidirectional"
    arrays: ClassVar[str] = "`forward.` and `backward.` before each of `layer`"

    layer: Recurrent

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Recurrent):
            given = brief(self.layer) if isinstance(self.layer, Layer) else repr(self.layer)
            raise TypeError(f"layer must be an RNN, LSTM or GRU, such as cbp.LSTM(8), got {given}")
        for name in ("reverse", "stateful"):
            if getattr(self.layer, name):
                raise ValueError(f"the layer of Bidirectional must not be {name}=True")

    @property
    def sides(self) -> Mapping[str, Recurrent]:
        """The layer and its copy by name."""
        return {"forward": self.layer, "backward": replace(self.layer, reverse=True)}

    def output_shape(self, input_shape: Shape) -> Shape:
        *steps, units = self.layer.output_shape(input_shape)
        return (*steps, 2 * units)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        found = self.layer.parameters(input_shape)  # those of the copy are alike
        return {f"{side}.{name}": parameter for side in ("forward", "backward") for name, parameter in found.items()}

    def multiplications(self, input_shape: Shape) -> int:
        return 2 * self.layer.multiplications(input_shape)

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """Both directions over one input, their outputs side by side."""
        source = plan.split(value)
        first, second = (layer.lower(plan, f"{name}.{side}", reader)
                         for (side, layer), reader in zip(self.sides.items(), source, strict=True))
        plan.values |= {f"{name}.{side}": value for side, value in zip(self.sides, (first, second), strict=True)}
        return plan.concat(first, second)
