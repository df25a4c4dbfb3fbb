"""Network: what a user configures, trains and asks. No arithmetic happens here; it happens in the core."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbp import losses, optimizers
from cbp.engine import arrays, check, team
from cbp.engine.cpu import core as _core
from cbp.engine.fit import Fit
from cbp.engine.online import Online
from cbp.engine.plan import aligned
from cbp.engine.runner import Numbers, Objective, Runner, predict, vector_jacobian
from cbp.engine.stream import Carried, Stream
from cbp.errors import DivergedError
from cbp.history import History
from cbp.layers import Dense, Layer, stack
from cbp.layers.base import brief
from cbp.losses import Loss
from cbp.optimizers import Adam, Optimizer

if TYPE_CHECKING:
    from cbp.trace import Trace

__all__ = ["Network", "load", "mlp"]

Array = npt.NDArray[Any]

# Rough times of one thread for threads="auto", a parameter: forward and backward of one row, and the update.
_SECONDS_PER_PRODUCT = 3e-11
_SECONDS_PER_UPDATE = 3e-10


class Network:
    """A network: layers one after the other, a loss, and the numbers that training changes.

    Parameters
    ----------
    inputs : int or tuple of int
        Number of input features, or the shape of one sample, of at most 8 axes.
    layers : sequence of Layer
        For example ``[cbp.Dense(64, "relu"), cbp.Dense(10, "softmax")]``.
    loss : str or cbp.losses.Loss
        One of ``cbp.losses.LOSSES``.
    dtype : str or dtype
        ``"float32"`` or ``"float64"``, of parameters, data and results.
    seed : int or None
        Of the initial weights, the shuffles and the noise, from 0 to 2**63 - 1. None takes one from the operating system, which
        ``network.seed`` tells.
    l1, l2 : float
        Penalty on the weights (not on biases), part of the loss: ``l1 * sum(|w|) + l2 / 2 * sum(w²)``. It does not depend on
        the batch size.

    Attributes
    ----------
    layers, input_shape, output_shape, loss, dtype, seed, l1, l2
        As configured; not to be changed.
    parameters, statistics : mapping of str to array
        ``"0.weight"`` and so on, by the place of the layer: what is learned, and what :class:`BatchNorm` has seen. Views of the
        network's numbers, which may be written to.
    optimizer : Optimizer or None
        The optimizer whose state the network holds; None before any training.
    step, epoch : int
        Updates made by that optimizer; epochs begun in the network's life, which is the position of the shuffle generator.
    history : History or None
        Of the last ``fit``, also of one that was interrupted. Not saved.
    metadata : dict
        The user's own notes; saved with the network, so they must be JSON.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind or an unknown name, or the layers do not fit each other or the loss.
    """

    def __init__(
        self, inputs: int | tuple[int, ...], layers: Sequence[Layer], *, loss: str | Loss, dtype: npt.DTypeLike = "float32",
        seed: int | None = None, l1: float = 0.0, l2: float = 0.0,
    ):
        sizes = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        if isinstance(inputs, (tuple, list)) and any(size is None for size in sizes):
            raise TypeError(f"inputs must be whole numbers, got {inputs!r}; sequences of different lengths are padded to the "
                            f"longest, and lengths= says how long each is")
        self.input_shape = check.shape("inputs", sizes)
        if not sizes:
            raise ValueError("inputs must be a number of features or the shape of one sample, got ()")
        self.layers = stack.checked(layers)
        self.loss = losses.get(loss)
        self.dtype = check.float_dtype(dtype)
        chosen = int.from_bytes(os.urandom(8), "little") >> 1 if seed is None else seed
        self.seed = check.integer("seed", chosen, minimum=0)
        self.l1 = check.real("l1", l1, minimum=0)
        self.l2 = check.real("l2", l2, minimum=0)
        self._plan = stack.plan(self.layers, self.input_shape)
        if self._plan.vocabulary > 2**24 and self.dtype == np.float32:
            raise ValueError(f"layers: an Embedding has a vocabulary of {self._plan.vocabulary}; inputs of a float32 network "
                             f"are whole numbers only up to 2**24, so it needs dtype='float64'")
        self.output_shape = self._plan.output_shape
        self._form = arrays.Form(self.input_shape, self.output_shape, self.loss, self.dtype, self._plan.vocabulary)
        last = self.layers[-1]
        self.loss.check_output(brief(last), getattr(last, "activation", None), self.output_shape[-1])
        self.optimizer: Optimizer | None = None
        self.history: History | None = None
        self.metadata: dict[str, Any] = {}
        self._busy = threading.Lock()
        self._training = _core.Exclusive(self._busy)
        self._copying = threading.Lock()
        size = max(self._plan.size, 1)
        self._numbers = Numbers(aligned(size, self.dtype), np.zeros((0, size), self.dtype),
                                aligned(max(self._plan.statistics_size, 1), self.dtype))
        self.parameters: Mapping[str, Array] = MappingProxyType(self._plan.views(self._numbers.parameters))
        self.statistics: Mapping[str, Array] = MappingProxyType(
            self._plan.views(self._numbers.statistics, self._plan.statistics))
        self._online: Online | None = None
        self._carried = Carried(self._plan, self.dtype)
        self._stream: Stream | None = None
        self._few = self._plan.few(self.dtype)
        self._initialise()

    def _initialise(self) -> None:
        arrays = {**self._plan.parameters, **self._plan.statistics}
        for counter, (name, view) in enumerate({**self.parameters, **self.statistics}.items()):
            def draw(distribution: str, count: int, counter: int = counter) -> npt.NDArray[np.float64]:
                values = np.empty(count)
                _core.draw(self.seed, _core.STREAMS["initial_weights"], counter, distribution, values)
                return values

            start = arrays[name]
            try:
                view[...] = check.numbers("init", start.init(view.shape, draw, start.fans), self.dtype)
            except ValueError as problem:
                raise ValueError(f"layers[{name.partition('.')[0]}]: {problem}") from None

    # --- training -------------------------------------------------------------------------------------------------------------

    def fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *, epochs: int = 10, batch_size: int | None = 32,
        optimizer: str | Optimizer | None = None, sample_weight: npt.ArrayLike | None = None,
        lengths: npt.ArrayLike | None = None, validation_data: tuple[Any, ...] | None = None, shuffle: bool = True,
        threads: team.Threads = 1, progress: bool | None = None,
    ) -> History:
        """Train with backpropagation.

        Data may be larger than the memory (``np.memmap``): X, and targets that are not labels, are not copied if they are
        arrays of bools, integers or floats up to float64 in the byte order of the machine. Where they are not C-contiguous or
        not of the network's dtype, the rows of a batch are converted when it is their turn. Copied as a whole are lists,
        objects, other dtypes, columns (Fortran order) in ordinary memory, samples of several axes that were transposed or
        cropped, labels that are not of dtype ``np.intp``, and weights that are not of the network's dtype. Nothing is written
        to; while ``fit`` runs, nobody else may either. Numbers are taken as they are: a network learns best from inputs around
        -1 to 1, so scale pixels of 0 to 255 before they are stored (float16 takes two bytes).

        Parameters
        ----------
        X : array, (samples, features), (samples, time, features) or (samples, height, width, channels)
            Inputs.
        y : array
            Targets: integer labels (samples,) or probabilities (samples, classes) for ``cross_entropy``; (samples, outputs),
            or (samples,) for a single output, for the other losses. Where the network gives an output for every step or
            pixel, these axes follow the samples: (samples, time), (samples, time, outputs); the loss of a sample is the mean
            over them.
        epochs : int
            Passes over the data.
        batch_size : int or None
            Samples per update; None takes all of them (batch gradient descent). Large batches go through in pieces, so that
            memory stays small and Ctrl-C is answered; with a :class:`BatchNorm` they cannot, because its rows depend on each
            other.
        optimizer : str, Optimizer or None
            None goes on with the network's optimizer and its state; a new network takes ``Adam(1e-3)``. An optimizer equal to
            the network's goes on with the state too, a different one starts afresh.
        sample_weight : array, (samples,), optional
            The loss is ``sum(w_i * l_i) / sum(w_i)``.
        lengths : array of int, (samples,), optional
            How many steps of every sequence count, from 1 to time. What X and y hold after them changes nothing, but it must be
            valid (zeros are); a network that answers at every step gives outputs there too.
        validation_data : tuple, optional
            (X, y), (X, y, sample_weight) or (X, y, sample_weight, lengths), measured after every epoch; sample_weight may be
            None.
        shuffle : bool
            Take the samples of every epoch in a new order. With one batch per epoch the order never changes.
        threads : int or "auto"
            Threads that share every step; the result has the same bits for every number. More than one pay where a step takes
            longer than about 0.1 ms. "auto" uses the cores of the process while that is measured to be faster, and one thread
            otherwise.
        progress : bool or None
            Show progress: None does if the run is long and a terminal or notebook watches.

        Returns
        -------
        History
            Loss and metric of every epoch.

        Raises
        ------
        ValueError, TypeError
            An argument is wrong; nothing was changed.
        DivergedError
            The loss or a weight is no longer finite. The network holds the numbers of the last finite epoch.
        RuntimeError
            Another thread is training this network, or saving it.
        KeyboardInterrupt
            Ctrl-C, answered between two updates; ``history`` tells how far the run came.
        """
        epochs = check.integer("epochs", epochs, minimum=0)
        data = self._data(X, y, sample_weight, lengths)
        validation = None if validation_data is None else self._validation(validation_data, lengths is not None)
        shuffle = check.boolean("shuffle", shuffle)
        progress = None if progress is None else check.boolean("progress", progress)
        size = None if batch_size is None else check.integer("batch_size", batch_size)
        chosen = self._chosen(optimizer)
        crew = self._crew(team.checked(threads), len(data.x), size, epochs)
        self._carried.check_order(shuffle, len(data.x), size)
        with self._training, crew.guard:
            self._check_parameters()
            crew.start()
            held = self._numbers.state, self._numbers.step, self.optimizer
            try:
                self._hold(chosen)
                runner = self._runner(self._numbers, data, mode="train", batch_size=size, optimizer=chosen, shuffle=shuffle,
                                      crew=crew)
                run = Fit(runner, self._numbers, self.loss.metric, None if validation is None else
                          lambda: self._measure(validation, crew))
            except BaseException:  # out of memory
                self._numbers.state, self._numbers.step, self.optimizer = held
                raise
            self._carried.reset()
            try:
                run.run(epochs, progress)
            finally:
                self.history = history = run.history
        return history

    def train_on_batch(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *, optimizer: str | Optimizer | None = None,
        sample_weight: npt.ArrayLike | None = None, lengths: npt.ArrayLike | None = None,
    ) -> float:
        """One update with the gradient of these samples; returns their loss before it.

        Arguments and errors as for :meth:`fit`; after a DivergedError the network is as it was before the call.
        """
        online = self._online
        if online is not None and sample_weight is None and lengths is None:
            loss = online.step(X, y, optimizer)
            if loss is not None:
                return loss
        data = self._data(X, y, sample_weight, lengths)
        chosen = self._chosen(optimizer)
        with self._training:
            self._check_parameters()
            before, optimizer_before = self._numbers.copy(), self.optimizer
            try:
                self._hold(chosen)
                carry = self._carried.copy(len(data.x)) if self._carried else None
                runner = self._runner(self._numbers, data, mode="train", optimizer=chosen, carry=carry)
                curves = runner.epochs(1)
                if runner.diverged or not self._numbers.finite:
                    raise DivergedError(f"the loss or a weight is no longer finite (rate {chosen.rate:g}); the network is as "
                                        f"it was before this batch. Try a lower rate, or standardise X.")
            except BaseException:
                self._numbers.state, self.optimizer = before.state, optimizer_before
                self._numbers.assign(before)
                raise
            finally:
                self._numbers.epoch = before.epoch  # a batch is no epoch: the shuffles to come stay the same
            if carry is not None:
                self._carried.keep(carry)
            self._keep_online(chosen, runner, len(data.x))
        return float(curves[0, 0])

    def _keep_online(self, optimizer: Optimizer, runner: Runner, rows: int) -> None:
        """Keep what the next batch like this one needs."""
        fits = self._online is not None and self._online.covers(self._numbers, rows)
        if not fits and Online.suits(self._plan, rows):
            self._online = Online(self._plan, self._numbers, self._busy, optimizer, runner, rows)

    def set_optimizer(self, optimizer: str | Optimizer) -> None:
        """Hold this optimizer with fresh state, also if it equals the present one."""
        chosen = optimizers.get(optimizer)
        with self._training:
            self._check_parameters()
            self.optimizer = None
            self._hold(chosen)

    def _chosen(self, optimizer: str | Optimizer | None) -> Optimizer:
        if optimizer is None:
            return self.optimizer or Adam(1e-3)
        return optimizers.get(optimizer)

    def _hold(self, optimizer: Optimizer) -> None:
        if optimizer == self.optimizer:
            return
        slots = len(optimizer.slots)
        size = self._numbers.parameters.size
        self._numbers.state = aligned(slots * size, self.dtype).reshape(slots, size)
        self._numbers.step = 0
        self.optimizer = optimizer

    def _check_parameters(self) -> None:
        for what, flat in ("parameters", self._numbers.parameters), ("statistics", self._numbers.statistics):
            if _core.first_not_finite(flat) >= 0:
                name = next(name for name, values in getattr(self, what).items() if not np.isfinite(values).all())
                raise ValueError(f"{what}[{name!r}] holds a value that is not finite; training cannot mend that")
        for name, values in self.statistics.items():
            if name.endswith("variance") and values.min() < 0:
                raise ValueError(f"statistics[{name!r}] holds a value below 0; training cannot mend that")

    # --- asking ---------------------------------------------------------------------------------------------------------------

    def predict(self, X: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None) -> Array:
        """Outputs (samples, *output_shape) for X (samples, *input_shape): class probabilities after a softmax.

        ``lengths`` (samples,) tells how many steps of every sequence count. X may be larger than the memory, as in :meth:`fit`;
        the outputs are all that is allocated beyond some rows.

        Safe to call from several threads at once, but for stateful layers: their state goes on from call to call, and a second
        call at the same time raises RuntimeError. Raises ValueError or TypeError where X is wrong.
        """
        outputs: Array | None = None
        if lengths is None:
            outputs = _core.predict_ready(self._plan.ops, self._numbers.parameters, X, 2, self._few)
        if outputs is None:
            x = self._inputs(X, "predict_one")
            outputs = self._outputs(x, self._lengths(lengths, len(x)))
        return outputs

    def predict_one(self, x: npt.ArrayLike) -> Array:
        """Outputs (*output_shape) for one sample x (*input_shape). Raises ValueError or TypeError where x is wrong."""
        outputs: Array | None = _core.predict_ready(self._plan.ops, self._numbers.parameters, x, 1, self._few)
        if outputs is None:
            row = arrays.row("x", x, self.input_shape, self.dtype, vocabulary=self._plan.vocabulary)
            outputs = self._outputs(row, arrays.NO_LENGTHS)[0]
        return outputs

    def _outputs(self, x: arrays.Source, lengths: Array) -> Array:
        numbers = self._numbers
        if not self._carried:
            return predict(self._plan, numbers.parameters, numbers.statistics, x, lengths)
        with self._training:
            carry = self._carried.copy(len(x))
            outputs = predict(self._plan, numbers.parameters, numbers.statistics, x, lengths, carry)
            self._carried.keep(carry)
        return outputs

    def predict_step(self, x: npt.ArrayLike) -> Array:
        """Outputs (outputs,) for the next time step x (features,) of a sequence that arrives step by step; x is a whole number
        where the first layer is an embedding.

        What :meth:`predict` gives at that step of the whole sequence, to the last bit. The network keeps the state from call to
        call, apart from that of :meth:`predict` and :meth:`fit`; :meth:`reset_state` begins a new sequence. For networks of
        recurrent layers that read forward, ``stateful`` or not, and layers that act on each step alone, whatever time the
        network was built for. One sequence at a time: not to be called by several threads at once.

        Raises ValueError where x is wrong, or a layer needs more than one step.
        """
        stream = self._stream
        if stream is None:
            stream = self._stream = Stream(self._plan, self._numbers, partial(stack.of_one_step, self.layers))
        return stream.step(x)

    def reset_state(self) -> None:
        """Let every sequence begin anew: for :meth:`predict_step`, and for stateful layers in :meth:`predict` and
        :meth:`train_on_batch`. ``fit`` begins every epoch so, and ends so; the state is not saved."""
        self._carried.reset()
        if self._stream is not None:
            self._stream.reset()

    def evaluate(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *,
        lengths: npt.ArrayLike | None = None,
    ) -> dict[str, float]:
        """Loss (penalties included) and metric over the samples: ``{"loss": ..., "accuracy": ...}``.

        The metric is ``"accuracy"`` for classification losses, else ``"mean_absolute_error"``. Arguments as for :meth:`fit`.
        """
        return self._measure(self._data(X, y, sample_weight, lengths))

    def gradient(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *,
        lengths: npt.ArrayLike | None = None, training: bool = False,
    ) -> tuple[float, Array]:
        """Loss and its gradient, as one flat vector in the order of :meth:`get_vector`; nothing is updated.

        Arguments as for :meth:`fit`. Made for ``scipy.optimize.minimize(..., jac=True)``. With ``training`` it is what the next
        step of the training would compute, with batch statistics and noise; else layers behave as in :meth:`predict`.
        """
        data = self._data(X, y, sample_weight, lengths)
        runner = self._runner(self._still(), data, mode="gradient", training=check.boolean("training", training))
        loss = float(runner.epochs(1)[0, 0])
        return loss, self._compact(runner.gradient)

    def backward(
        self, X: npt.ArrayLike, d_output: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, training: bool = False,
    ) -> tuple[Array, Array]:
        """Vector-Jacobian product: from the gradient of anything with respect to the outputs to the gradients before them.

        Parameters
        ----------
        X : array, (samples, *input_shape)
            Inputs.
        d_output : array, (samples, *output_shape)
            Gradient with respect to ``predict(X)``.
        lengths : array of int, (samples,), optional
            As for :meth:`fit`.
        training : bool
            As for :meth:`gradient`.

        Returns
        -------
        d_input : array of the shape of X
            Gradient with respect to X.
        gradient : array, (parameters,)
            Gradient with respect to the parameters, summed over the samples, in the order of :meth:`get_vector`. The
            penalties l1 and l2 are not in it.
        """
        x = self._inputs(X)
        d = arrays.features("d_output", d_output, self.output_shape, self.dtype)
        if len(d) != len(x):
            raise ValueError(f"X has {len(x)} samples and d_output has {len(d)}; they must have the same number")
        d_input, gradient = vector_jacobian(
            self._plan, self._numbers, x, self._lengths(lengths, len(x)), d,
            training=check.boolean("training", training), seed=self.seed)
        return d_input, self._compact(gradient)

    def trace(
        self, x: npt.ArrayLike, y: npt.ArrayLike, *, optimizer: str | Optimizer | None = None,
        sample_weight: npt.ArrayLike | None = None, lengths: npt.ArrayLike | None = None,
    ) -> Trace:
        """Every weighted sum, activation, delta, gradient and update of one step, computed in plain Python.

        ``x`` is one row of the shape ``input_shape`` or a batch (rows, *input_shape), ``y`` its target of the shape
        ``output_shape`` (labels: ``output_shape[:-1]``) or one for every row; ``sample_weight`` and ``lengths`` as in
        :meth:`train_on_batch`. The network is not changed. ``print`` shows the trace, a notebook too; its ``to_html()`` is a
        page for a browser, its ``to_dict()`` has all numbers. ``help("cbp.trace")`` says how they are called.
        """
        from cbp.trace import trace

        chosen = None if optimizer is None else optimizers.get(optimizer)
        return trace(self, x, y, optimizer=chosen, sample_weight=sample_weight, lengths=lengths)

    # --- numbers --------------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Updates made by the present optimizer."""
        return self._numbers.step

    @property
    def epoch(self) -> int:
        """Epochs begun in the network's life."""
        return self._numbers.epoch

    @property
    def optimizer_state(self) -> Mapping[str, Mapping[str, Array]]:
        """The state of the optimizer: name of the array ("mean", ...) -> name of the parameter -> writable view."""
        if self.optimizer is None:
            return MappingProxyType({})
        return MappingProxyType({
            slot: MappingProxyType(self._plan.views(row))
            for slot, row in zip(self.optimizer.slots, self._numbers.state, strict=True)
        })

    def get_vector(self) -> Array:
        """All parameters as one flat copy, in the order of ``parameters``."""
        return self._compact(self._numbers.parameters)

    def set_vector(self, vector: npt.ArrayLike) -> None:
        """Set all parameters from one flat vector, as :meth:`get_vector` gives it; raises ValueError for a wrong length."""
        values = check.numbers("vector", vector, self.dtype)
        if values.shape != (self._plan.count,):
            raise ValueError(f"vector must have the shape ({self._plan.count},), got {values.shape}")
        start = 0
        for view in self.parameters.values():
            view[...] = values[start : start + view.size].reshape(view.shape)
            start += view.size

    def _compact(self, flat: Array) -> Array:
        return np.concatenate([flat[:0], *(view.reshape(-1) for view in self._plan.views(flat).values())])

    # --- description ----------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The layers as a table: output shape, activation, number of parameters."""
        rows = [("layer", "output", "activation", "parameters")]
        shape = self.input_shape
        rows.append(("input", str(shape), "", ""))
        for index, layer in enumerate(self.layers):
            count = sum(prod(parameter.shape) for parameter in layer.parameters(shape).values())
            shape = layer.output_shape(shape)
            rows.append((f"{index} {type(layer).__name__}", str(shape), getattr(layer, "activation", ""), f"{count:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows]
        lines.insert(1, "-" * (sum(widths) + 6))
        lines.append(f"{self._plan.count:,} parameters, {self.dtype}, loss {self.loss.name}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        inside = ", ".join(map(brief, self.layers))
        inputs = self.input_shape[0] if len(self.input_shape) == 1 else self.input_shape
        return f"Network({inputs}, [{inside}], loss={self.loss.name!r}, dtype={self.dtype.name!r}, seed={self.seed})"

    # --- files ----------------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, its optimizer's state and the generator's position to one file; see :func:`cbp.load`.

        Raises RuntimeError while another thread is training the network; copying and pickling do too.
        """
        from cbp import modelfile

        modelfile.save(self, path)

    def __reduce__(self) -> tuple[Any, ...]:
        from cbp import modelfile

        return modelfile.loads, (modelfile.dumps(self),)

    # --- helpers --------------------------------------------------------------------------------------------------------------

    def _data(self, X: object, y: object, sample_weight: object, lengths: object = None, **names: Any) -> arrays.Data:
        if lengths is not None:
            self._check_lengths()
        return arrays.data(self._form, X, y, sample_weight, lengths, **names)

    def _inputs(self, X: object, one: str = "") -> arrays.Source:
        return arrays.features("X", X, self.input_shape, self.dtype, one, vocabulary=self._plan.vocabulary)

    def _lengths(self, lengths: object, samples: int) -> Array:
        if lengths is not None:
            self._check_lengths()
        return arrays.checked_lengths("lengths", lengths, samples, self.input_shape)

    def _check_lengths(self) -> None:
        if self._plan.no_lengths:
            raise ValueError(f"lengths cannot be used with this network: {self._plan.no_lengths}")

    def _validation(self, given: tuple[Any, ...], with_lengths: bool) -> arrays.Data:
        if not isinstance(given, (tuple, list)) or not 2 <= len(given) <= 4:
            raise TypeError("validation_data must be a tuple (X, y), (X, y, sample_weight) or (X, y, sample_weight, lengths), "
                            f"got {type(given).__name__}{f' of {len(given)}' if isinstance(given, (tuple, list)) else ''}")
        if len(given) == 3 and with_lengths:
            raise ValueError("validation_data (X, y, sample_weight) has no lengths, but fit got some: give "
                             "(X, y, None, lengths), or (X, y, sample_weight, None) where all steps count")
        X, y, weight, lengths = (*given, None, None)[:4]
        return self._data(X, y, weight, lengths, names=tuple(f"validation_data[{index}]" for index in range(4)))

    def _still(self) -> Numbers:
        """The parameters with counters of their own, for a pass that changes nothing."""
        mine = self._numbers
        return Numbers(mine.parameters, mine.state, mine.statistics, mine.step, mine.epoch)

    def _runner(self, numbers: Numbers, data: arrays.Data, **how: Any) -> Runner:
        return Runner(self._plan, numbers, Objective(self.loss, self.l1, self.l2), data, seed=self.seed, **how)

    def _crew(self, threads: team.Threads, samples: int, batch_size: int | None, epochs: int) -> team.Crew:
        """The threads of a run; for "auto" with estimates from the number of parameters."""
        rows = samples if batch_size is None else min(batch_size, samples)
        step = _SECONDS_PER_PRODUCT * self._plan.work * rows + _SECONDS_PER_UPDATE * self._plan.size
        return team.Crew(threads, step=step, run=step * epochs * samples / rows)

    def _measure(self, data: arrays.Data, crew: team.Crew | None = None) -> dict[str, float]:
        loss, metric, _ = self._runner(self._still(), data, mode="evaluate", crew=crew).epochs(1)[0]
        return {"loss": float(loss), self.loss.metric: float(metric)}


def mlp(
    sizes: Sequence[int], *, hidden: str = "relu", output: str = "identity", loss: str | Loss | None = None, **options: Any
) -> Network:
    """A multilayer perceptron from its sizes: ``mlp([64, 32, 10], output="softmax")``.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs.
    hidden, output : str
        Activations of the hidden layers and of the last one.
    loss : str, Loss or None
        None takes ``cross_entropy`` after a softmax, ``binary_cross_entropy`` after a sigmoid, else ``mean_squared_error``.
    **options
        ``dtype``, ``seed``, ``l1``, ``l2`` of :class:`Network`.
    """
    if not isinstance(sizes, (list, tuple)) or len(sizes) < 2:
        raise ValueError(f"sizes must list inputs, hidden layers and outputs, for example [64, 32, 10], got {sizes!r}")
    layers = [Dense(units, hidden) for units in sizes[1:-1]]
    layers.append(Dense(sizes[-1], output))
    chosen = losses.usual(output) if loss is None else loss
    return Network(sizes[0], layers, loss=chosen, **options)


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that :meth:`Network.save` wrote, with its optimizer's state; training goes on where it stood.

    Nothing in the file is executed. Raises ModelFileError where the file is damaged or is no model file, FileNotFoundError
    where it is missing.
    """
    from cbp import modelfile  # here, not above: a program that loads nothing need not wait for the import

    return modelfile.load(path)
