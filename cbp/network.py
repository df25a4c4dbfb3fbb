"""Network: what a user configures, trains and asks. No arithmetic happens here; it happens in the core."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Never, TypedDict, Unpack, cast, overload

import numpy as np
import numpy.typing as npt

from cbp import losses, modelfile, optimizers
from cbp.callbacks import Callback, listed
from cbp.engine import answers, arrays, check, finite, online, questions, team
from cbp.engine.classes import weighted
from cbp.engine.columns import names_or_none, names_to_learn, warn_where_nameless
from cbp.engine.containers import as_array
from cbp.engine.cpu import core as _core
from cbp.engine.fit import Fit
from cbp.engine.learning import Learning
from cbp.engine.model import Model
from cbp.engine.named import Named, NamedState
from cbp.engine.numbers import Numbers
from cbp.engine.runner import Runner, gradient, measure, predict, vector_jacobian
from cbp.engine.snapshot import Snapshot
from cbp.engine.stream import Carried, Stream
from cbp.engine.validation import Validation, divided
from cbp.errors import DivergedError, not_by_handler, quoted
from cbp.habits import no_attribute, refusal, understood, understood_behind, understood_inside, understood_methods
from cbp.history import History
from cbp.layers import Dense, Layer, stack, summary
from cbp.layers.base import brief
from cbp.losses import Loss
from cbp.optimizers import Adam, Optimizer

if TYPE_CHECKING:
    from cbp.metrics import ConfusionMatrix, Measure, Metrics, Task
    from cbp.metrics.checked import Asked
    from cbp.trace import Trace

__all__ = ["Network", "mlp"]

Array = npt.NDArray[Any]


class _Lengths(TypedDict, total=False):
    """What :meth:`Network.predict` takes by name."""

    lengths: npt.ArrayLike | None
    averaged: bool
    training: bool
    seed: int | None
    out: Array | None


@understood_methods(but=("predict_one", "predict_step"))
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
        As configured; read-only. ``output_shape`` loses a last axis of one number where targets do, see :meth:`fit`.
    parameters, statistics : mapping of str to array
        ``"0.weight"`` and so on, by the place of the layer: what is learned, and what :class:`BatchNorm` has seen. Views of the
        network's numbers, which may be written to. What is assigned, one array or a mapping of all, is checked and copied.
    optimizer : Optimizer or None
        The optimizer whose state the network holds; None before any training. Assigning one is :meth:`set_optimizer`.
    optimizer_state : mapping of str to mapping of str to array
        Name of a state array -> as ``parameters``.
    feature_names : tuple of str or None
        Names of the columns of the first table of pandas, Polars or Arrow that :meth:`fit` or :meth:`train_on_batch` learned
        from, if all are strings; saved. Later tables, and validation_data, must have the same in the same order, else there is
        a ValueError, which there is for a name that comes twice too; data without names get a UserWarning. A Series of pandas
        for :meth:`predict_one` must have them in its index, if that holds names; other rows are taken as they are. May be
        assigned: None forgets them.
    step, epoch : int
        Updates made by that optimizer; epochs begun in the network's life, which is the position of the shuffle generator.
    history : History or None
        Of the last ``fit``, also of one that was interrupted. Read-only; not saved.
    metadata : dict
        The user's own notes; saved with the network, so they must be JSON.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind or an unknown name, or the layers do not fit each other or the loss.

    Notes
    -----
    A class that derives from it may have attributes of its own; copies and pickles keep its type and these, and are made
    without ``__init__``. ``load`` gives a plain network, ``Mine.from_snapshot`` a ``Mine`` without attributes of its own.
    """

    __slots__ = ("__weakref__", "_answers", "_applied", "_carried", "_copying", "_extras", "_history", "_layers", "_metadata",
                 "_online", "_plan", "_stream", "_training")

    def __init__(
        self, inputs: int | tuple[int, ...], layers: Sequence[Layer], *, loss: str | Loss, dtype: npt.DTypeLike = "float32",
        seed: int | None = None, l1: float = 0.0, l2: float = 0.0,
    ):
        chosen = int.from_bytes(os.urandom(8), "little") >> 1 if seed is None else seed
        self._set_up(inputs, layers, loss=loss, dtype=dtype, seed=chosen, l1=l1, l2=l2)
        self._numbers.start(self._plan, self.seed)

    def _set_up(
        self, inputs: int | tuple[int, ...], layers: Sequence[Layer], *, loss: str | Loss, dtype: npt.DTypeLike, seed: int,
        l1: float, l2: float,
    ) -> None:
        """Make all of a network but its numbers, which are 0."""
        shape = check.input_shape(inputs)
        self._layers = stack.checked(layers)
        chosen_loss, number = losses.get(loss), check.float_dtype(dtype)
        start = check.integer("seed", seed, minimum=0)
        penalties = check.real("l1", l1, minimum=0), check.real("l2", l2, minimum=0)
        plan = self._plan = stack.plan(self._layers, shape)
        form = arrays.Form.of(plan, chosen_loss, number)
        last = self._layers[-1]
        chosen_loss.check_output(brief(last), getattr(last, "activation", None), plan.output_shape[-1])
        self._online: _core.Online | None
        self._applied: _core.Applied | None
        self._model = Model(plan, form, Numbers.zeros(plan, number), *penalties, start)
        self._history: History | None = None
        self._metadata: dict[str, Any] = {}
        self._extras: Mapping[str, Any] = {}
        self._training = _core.Training()
        self._copying = _core.Copying(self._training)
        self._carried = Carried(plan, number)
        self._stream: Stream | None = None

    # --- training -------------------------------------------------------------------------------------------------------------

    def fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *, epochs: int | None = None, batch_size: int | None = 32,
        optimizer: str | Optimizer | None = None, sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None, lengths: npt.ArrayLike | None = None,
        validation_data: tuple[Any, ...] | None = None, validation_split: float | None = None,
        validation_groups: npt.ArrayLike | None = None, metrics: Asked = None, shuffle: bool = True,
        clip_norm: float | None = None, clip_value: float | None = None, accumulate: int = 1,
        callbacks: Callback | Sequence[Callback] | None = None, until_epoch: int | None = None,
        threads: team.Threads = 1, progress: bool | None = None,
    ) -> History:
        """Train with backpropagation.

        Data may be larger than the memory (``np.memmap``): X, and targets that are not labels, are not copied if they are
        arrays of bools, integers or floats up to float64 in the byte order of the machine. Where they are not C-contiguous or
        not of the network's dtype, the rows of a batch are converted when it is their turn. Copied as a whole are lists,
        objects, other dtypes, columns (Fortran order) in ordinary memory, samples of several axes that were transposed or
        cropped, labels and lengths, and weights that are not of the network's dtype. Nothing is written
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
            over them. After targets without the axis of a single output the network answers without it too, so that
            ``predict(X) - y`` is what it seems to be: (samples,), or a number from :meth:`predict_one`. Targets
            (samples, 1) bring it back.
        epochs : int, optional
            Passes over the data; 10 if neither this nor ``until_epoch`` is given.
        batch_size : int or None
            Samples per update; None takes all of them (batch gradient descent). Large batches go through in pieces, so that
            memory stays small and Ctrl-C is answered; with a :class:`BatchNorm` they cannot, because its rows depend on each
            other.
        optimizer : str, Optimizer or None
            None goes on with the network's optimizer and its state; a new network takes ``Adam(1e-3)``. One of the same
            class with other numbers, ``Adam(1e-4)`` after ``Adam(1e-3)``, goes on with state and ``step`` too: a schedule by
            hand. A name is that class with its defaults: ``"sgd"`` after ``SGD(0.05, momentum=0.9)`` goes on with the rate 0.01
            and without momentum. One of another class starts afresh; :meth:`set_optimizer` always does.
        sample_weight : array, (samples,), optional
            The loss is ``sum(w_i * l_i) / sum(w_i)``.
        class_weight : mapping or "balanced", optional
            What the weight of a sample is multiplied by, by its class, for targets of one class each; classes that are not
            there have 1. ``"balanced"`` lets all classes count alike: samples / (classes * samples of the class). Validation
            knows no weights of classes.
        lengths : array of int, (samples,), optional
            How many steps of every sequence count, from 1 to time. What X and y hold after them changes nothing, but it must be
            valid (zeros are); a network that answers at every step gives outputs there too.
        validation_data : tuple, optional
            (X, y), (X, y, sample_weight) or (X, y, sample_weight, lengths), measured after every epoch; sample_weight may be
            None.
        validation_split : float, optional
            In the place of ``validation_data``: the share of the samples to hold out, above 0 and below 1. Of every class the
            same share, where targets are classes. Which samples depends on ``seed`` and the targets alone, so it is the same
            ones in every call. Both parts are copies.
        validation_groups : array, (samples,), optional
            Beside ``validation_split``: samples of one group stay together.
        metrics : str, Metric, function, list or mapping of them, optional
            As for :meth:`evaluate`; measured on the validation data, as the curves ``val_...``.
        shuffle : bool
            Take the samples of every epoch in a new order. With one batch per epoch the order never changes.
        clip_norm, clip_value : float, optional
            The optimizer with these bounds on the gradient, which it keeps: short for ``optimizer=cbp.Adam(clip_norm=1.0)``.
        accumulate : int
            Batches whose gradients make one update: that of a batch so many times as large, in the memory of one. A
            :class:`BatchNorm` normalises each of them by itself. The last update of an epoch may be of fewer.
        callbacks : Callback or list of them, optional
            What goes with the training: :class:`EarlyStopping`, :class:`Checkpoint` and the others of ``cbp.callbacks``.
        until_epoch : int, optional
            Train until ``network.epoch`` is this, in the place of ``epochs``: how a run that was stopped goes on.
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
            The loss or a weight is no longer finite. The network holds the numbers of the last finite epoch, and where that is
            none of this run, the optimizer from before.
        RuntimeError
            Another thread is training this network, or saving it, or this call came in the middle of one on this network.
        KeyboardInterrupt
            Ctrl-C, answered between two updates; ``history`` tells how far the run came.
        """
        epochs = self._epochs_to_run(epochs, until_epoch)
        companions = listed(callbacks)
        form = self._model.form
        if validation_split is not None or validation_groups is not None:
            (X, y, sample_weight, lengths), validation_data = divided(
                form, (X, y, sample_weight, lengths), validation_data, validation_split, validation_groups, self.seed)
        if class_weight is not None:
            sample_weight = weighted(class_weight, y, sample_weight, self._plan.output_shape)
        data = arrays.data(form, X, y, sample_weight, lengths)
        names = form.names or names_to_learn("X", X, form.inputs)
        named = form if names is form.names else replace(form, names=names)
        validation = arrays.validation(named, validation_data, lengths is not None)
        asked = None if metrics is None else self._measured(metrics, validation, validation_data)
        shuffle = check.boolean("shuffle", shuffle)
        progress = None if progress is None else check.boolean("progress", progress)
        size = None if batch_size is None else check.integer("batch_size", batch_size)
        accumulate = check.integer("accumulate", accumulate)
        chosen = self._chosen(optimizer).bounded(clip_norm=clip_norm, clip_value=clip_value)
        crew = team.Crew.of_run(team.checked(threads), self._plan, len(data.x), size, epochs)
        self._carried.check_order(shuffle, len(data.x), size)
        with self._training, crew.guard:
            numbers = self._checked_numbers()
            warn_where_nameless("X", X, names)
            if validation_data is not None:
                warn_where_nameless("validation_data[0]", validation_data[0], names)
            crew.start()
            before = replace(numbers)
            self._training.between(lambda: before)
            try:
                numbers.hold(chosen)
                numbers.flat = data.flat if epochs else numbers.flat
                runner = Runner(self._model, data, mode="train", batch_size=size, accumulate=accumulate, optimizer=chosen,
                                shuffle=shuffle, crew=crew)
                run = Fit(runner, numbers, self.loss.metric,
                          None if validation is None else Validation(self._model, validation, crew, asked))
                if companions:
                    run.accompany(self, companions, epochs)
            except BaseException:  # out of memory, or a callback that cannot do its work
                numbers.hold_again(before)
                raise
            self._carried.reset()
            if epochs and names != form.names:
                self._model = self._model.named(names)
            self._training.between(run.present)
            try:
                run.run(epochs, progress)
            except DivergedError:
                if numbers.epoch == before.epoch:
                    numbers.hold_again(before)
                    self._model = self._model.named(form.names)
                raise
            finally:
                self._history = history = run.history
        return history

    @understood_inside
    def train_on_batch(
        self, X: npt.ArrayLike, y: npt.ArrayLike, *more: Never, optimizer: str | Optimizer | None = None,
        sample_weight: npt.ArrayLike | None = None, lengths: npt.ArrayLike | None = None, **unknown: Never,
    ) -> float:
        """One update with the gradient of these samples; returns their loss before it.

        Arguments and errors as for :meth:`fit`; after a DivergedError the network is as it was before the call.
        """
        if more or unknown:
            raise refusal(Network.train_on_batch, (self, X, y, *more), unknown)
        kept = self._online
        if kept is not None and sample_weight is None and lengths is None:
            loss = kept.step(X, y, optimizer)
            if loss is not None:
                return loss
        form = self._model.form
        data = arrays.data(form, X, y, sample_weight, lengths)
        names = form.names or names_to_learn("X", X, form.inputs)
        chosen = self._chosen(optimizer)
        with self._training:
            numbers = self._checked_numbers()
            warn_where_nameless("X", X, names)
            held, before = replace(numbers), numbers.copy()
            self._training.between(lambda: before)
            try:
                numbers.hold(chosen)
                numbers.flat = data.flat
                carry = self._carried.copy(len(data.x)) if self._carried else None
                runner = Runner(self._model, data, mode="train", optimizer=chosen, carry=carry)
                curves = runner.epochs(1)
                if runner.diverged or not numbers.finite:
                    raise finite.refusal(self._plan, before, chosen, updated=before.step > 0 or not runner.diverged)
            except BaseException:
                numbers.put_back(held, before)
                raise
            finally:
                numbers.epoch = before.epoch  # a batch is no epoch: the shuffles to come stay the same
            if carry is not None:
                self._carried.rows = carry
            if names != form.names:
                self._model = self._model.named(names)
            self._keep_online(chosen, runner, len(data.x))
        return float(curves[0, 0])

    def apply_gradient(self, gradient: npt.ArrayLike, optimizer: str | Optimizer | None = None) -> None:
        """One update by a given gradient: with the optimizer's state, its step, schedule, clipping, decay and average.

        Parameters
        ----------
        gradient : array, (parameters,)
            As :meth:`gradient` and :meth:`backward` give it. It is followed as it is: of the penalties l1 and l2 it has what it
            was given, which is all in the first case and nothing in the second.
        optimizer : str, Optimizer or None
            As for :meth:`fit`.

        Raises
        ------
        ValueError, TypeError
            An argument is wrong, or not finite.
        DivergedError
            A weight would no longer be finite; the network is as it was.
        RuntimeError
            As for :meth:`fit`.

        Examples
        --------
        The same step twice:

        >>> one, other = cbp.mlp([2, 1], seed=0), cbp.mlp([2, 1], seed=0)
        >>> loss = one.train_on_batch([[0.0, 1.0]], [1.0])
        >>> loss, gradient = other.gradient([[0.0, 1.0]], [1.0], training=True)
        >>> other.apply_gradient(gradient)
        >>> bool((one.get_vector() == other.get_vector()).all())
        True
        """
        kept = self._applied
        if kept is not None and kept.step(gradient, optimizer):
            return
        values = self._model.flat_vector("gradient", gradient)
        chosen = self._chosen(optimizer)
        with self._training:
            numbers = self._checked_numbers()
            held, before = replace(numbers), numbers.copy()
            self._training.between(lambda: before)
            try:
                numbers.hold(chosen)
                if kept is None or not kept.suits(numbers):
                    kept = online.applied(self._model, self._training, chosen)
                if not kept.taken_step(values, chosen):
                    raise finite.refusal(self._plan, before, chosen, updated=True)
            except BaseException:
                numbers.put_back(held, before)
                raise
            self._applied = kept

    def _keep_online(self, optimizer: Optimizer, runner: Runner, rows: int) -> None:
        """Keep what the next batch like this one needs."""
        fits = self._online is not None and self._online.covers(self._numbers, rows)
        if not fits and self.feature_names is None and online.suits(self._plan, rows):
            self._online = online.kept(self._model, self._training, optimizer, runner, rows)

    def set_optimizer(self, optimizer: str | Optimizer) -> None:
        """Hold this optimizer with fresh state, also if it equals the present one."""
        chosen = optimizers.get(optimizer)
        with self._training:
            self._checked_numbers().hold(chosen, afresh=True)

    def freeze(self, names: str | int | Sequence[str | int]) -> None:
        """Let training leave layers or arrays as they are: ``net.freeze("0")``, ``net.freeze(["0.weight", "1.bias"])``.

        A frozen array has no gradient and no decay in training, and nothing is computed for it, nor on the way back before the
        first layer that learns. A frozen :class:`BatchNorm` keeps its running statistics too, and takes them in
        training as it does in :meth:`predict`. :meth:`gradient` and :meth:`backward` still give all gradients. Frozen arrays
        are saved as such.

        Raises ValueError for a name that the network does not have, RuntimeError while another thread is training it.

        Examples
        --------
        >>> net = cbp.mlp([2, 3, 1], seed=0)
        >>> net.freeze("0")
        >>> net.frozen
        ('0.weight', '0.bias')
        >>> net.unfreeze()
        >>> net.frozen
        ()
        """
        self._learn(self._model.learning.with_frozen(self._plan.below("names", names)))

    def unfreeze(self, names: str | int | Sequence[str | int] | None = None) -> None:
        """Let training change layers or arrays again; without names all."""
        free = list(self._plan.parameters) if names is None else self._plan.below("names", names)
        self._learn(self._model.learning.without_frozen(free))

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the arrays that training leaves as they are, see :meth:`freeze`."""
        return tuple(name for name in self._plan.parameters if name in self._model.learning.frozen)

    @property
    def rate_multipliers(self) -> Mapping[str, float]:
        """What the rate is multiplied by, by the name of the array, where that is not 1; saved. Assigning a mapping with names
        of layers or arrays, ``net.rate_multipliers = {"0": 0.1}``, replaces all; of two for one array the longer counts."""
        return MappingProxyType(dict(self._model.learning.multipliers))

    @rate_multipliers.setter
    def rate_multipliers(self, given: Mapping[str, float]) -> None:
        self._learn(self._model.learning.with_multipliers(self._plan, given))

    def _learn(self, learning: Learning) -> None:
        with self._training:
            self._model = replace(self._model, learning=learning)

    def _checked_numbers(self) -> Numbers:
        """The numbers, which training may begin with."""
        model = self._model
        model.numbers.check(model.parameters, model.statistics)
        return model.numbers

    def _epochs_to_run(self, epochs: int | None, until_epoch: int | None) -> int:
        if until_epoch is None:
            return check.integer("epochs", 10 if epochs is None else epochs, minimum=0)
        if epochs is not None:
            raise ValueError("epochs and until_epoch both say when the training ends; give one of them")
        return max(check.integer("until_epoch", until_epoch, minimum=0) - self.epoch, 0)

    def _chosen(self, optimizer: str | Optimizer | None) -> Optimizer:
        if optimizer is None:
            return self.optimizer or Adam(1e-3)
        return optimizers.get(optimizer)

    # --- asking ---------------------------------------------------------------------------------------------------------------

    @understood
    def _predict(
        self, X: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None, averaged: bool = False, training: bool = False,
        seed: int | None = None, out: Array | None = None,
    ) -> Array:
        if lengths is None and averaged is training is False and seed is None:
            outputs: Array | None = self._answers.into(X, out)
            if outputs is not None:
                return outputs
        model = self._model
        form = model.form
        x = arrays.inputs(form, X, "predict_one")
        counted = arrays.checked_lengths(form, lengths, len(x))
        noise = questions.noise_seed(check.boolean("training", training), seed)
        averaged = check.boolean("averaged", averaged)
        place = None if out is None else answers.room("out", out, (len(x), *model.output_shape), form.dtype, self._read(X=X))
        warn_where_nameless("X", X, form.names)
        return self._outputs(x, counted, averaged=averaged, noise=noise, out=place)

    def _read(self, **given: object) -> dict[str, object]:
        """What answers must not be written over."""
        return given | {"the network's parameters": self._numbers.parameters}

    @understood_behind(_predict)
    def predict(self, X: npt.ArrayLike, *more: Never, **others: Unpack[_Lengths]) -> Array:
        """Outputs (samples, *output_shape) for X (samples, *input_shape): class probabilities after a softmax. A network of one
        output that was trained with targets (samples,) gives (samples,).

        ``lengths`` (samples,) tells how many steps of every sequence count. With ``averaged`` the average that the optimizer
        takes of the parameters is used in their place (``cbp.averages``), from the first one on; what :class:`BatchNorm` has
        seen is as it is. X may be larger than the memory, as in :meth:`fit`;
        the outputs are all that is allocated beyond some rows. With ``out``, an array of the outputs' shape and the network's
        dtype, C-contiguous and apart from X, they go there, and that is returned.

        With ``training`` the noise of :class:`Dropout` and :class:`GaussianNoise` is on, other numbers for every row:
        Monte-Carlo dropout (Gal & Ghahramani, 2016, "Dropout as a Bayesian approximation"). ``seed``, from 0 to 2**63 - 1, says
        which noise; None takes it from the operating system. A :class:`BatchNorm` takes what it has seen, as ever, so that no
        row depends on the others, and nothing of the network changes. ``docs/asking.md`` has an example.

        Safe to call from several threads at once, but for stateful layers: their state goes on from call to call, and a second
        call at the same time raises RuntimeError. Raises ValueError or TypeError where X is wrong.
        """
        outputs: Array | None = None if more or others else self._answers.few(X)
        if outputs is None:
            outputs = self._predict(X, *more, **others)
        return outputs

    def predict_one(self, x: npt.ArrayLike) -> Array:
        """Outputs (*output_shape) for one sample x (*input_shape). Raises ValueError or TypeError where x is wrong."""
        outputs: Array | None = self._answers.one(x)
        if outputs is None:
            outputs = self._outputs(arrays.row(self._model.form, x), arrays.NO_LENGTHS)[0]
        return outputs

    def _outputs(
        self, x: arrays.Source, lengths: Array, *, averaged: bool = False, noise: int | None = None, out: Array | None = None,
    ) -> Array:
        model = self._model.averaged if averaged else self._model
        ask = predict if noise is None else partial(questions.sampled, seed=noise)
        if not self._carried:
            outputs = ask(model, x, lengths, None, out)
        else:
            with self._training:
                carry = self._carried.copy(len(x))
                outputs = ask(model, x, lengths, carry, out)
                self._carried.rows = carry
        finite.warn_of(model, {"the output": outputs})
        return outputs

    def predict_step(self, x: npt.ArrayLike) -> Array:
        """Outputs (outputs,) for the next time step x (features,) of a sequence that arrives step by step; x is a whole number
        where the first layer is an embedding. A number where :meth:`predict` leaves the axis of one output out.

        What :meth:`predict` gives at that step of the whole sequence, to the last bit. The network keeps the state from call to
        call, apart from that of :meth:`predict` and :meth:`fit`; :meth:`reset_state` begins a new sequence. For networks of
        recurrent layers that read forward, ``stateful`` or not, and layers that act on each step alone, whatever time the
        network was built for. One sequence at a time: not to be called by several threads at once.

        Raises ValueError where x is wrong, or a layer needs more than one step.
        """
        stream = self._stream
        if stream is None:
            stream = self._stream = Stream(self._plan, self._numbers, partial(stack.of_one_step, self.layers))
        outputs: Array = stream.step(x, self._answers.numbers)
        return outputs

    def reset_state(self) -> None:
        """Let every sequence begin anew: for :meth:`predict_step`, and for stateful layers in :meth:`predict` and
        :meth:`train_on_batch`. ``fit`` begins every epoch so, and ends so; the state is not saved."""
        self._carried.reset()
        if self._stream is not None:
            self._stream.reset()

    def evaluate(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *,
        metrics: Asked = None, lengths: npt.ArrayLike | None = None, averaged: bool = False,
    ) -> dict[str, float]:
        """Loss (penalties included) and metric over the samples: ``{"loss": ..., "accuracy": ...}``.

        The metric is ``"accuracy"`` for classification losses, else ``"mean_absolute_error"``. ``metrics`` adds others: names
        and members of ``cbp.metrics``, functions ``(y_true, y_pred) -> float``, or a mapping from names for the results to
        these. One that has the name of the loss's own takes its place. Other arguments as for :meth:`fit`, ``averaged`` as
        for :meth:`predict`. Raises ValueError or TypeError, before anything is computed, for a metric that is unknown or does
        not suit the network.

        Examples
        --------
        >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
        >>> net.evaluate([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], metrics=["r2", cbp.metrics.Pinball(0.5)])["r2"]
        0.5
        """
        asked = None if metrics is None else self._metrics(metrics, weighted=sample_weight is not None)
        model = self._model.averaged if check.boolean("averaged", averaged) else self._model
        data = arrays.data(self._model.form, X, y, sample_weight, lengths)
        warn_where_nameless("X", X, self.feature_names)
        measured = measure(model, data)
        finite.warn_of(model, measured)
        if asked:
            measured |= asked.of(predict(model, data.x, data.lengths), data, sample_weight)
        return measured

    def _measured(self, metrics: Asked, validation: arrays.Data | None, given: Sequence[Any] | None) -> Measure:
        """What fit measures on the validation data beside the loss, checked."""
        if validation is None or given is None:
            raise ValueError("metrics are measured on the validation data: give validation_split=0.1 or validation_data=(X, y)"
                             "; evaluate(X, y, metrics=...) measures them on any data")
        weights = given[2] if len(given) > 2 else None
        return self._metrics(metrics, weighted=weights is not None).on(validation, weights)

    def _metrics(self, metrics: Asked, *, weighted: bool) -> Metrics:
        """What is asked for beside the loss, checked."""
        from cbp.metrics import checked  # here, not above: it would lengthen the time that importing cbp takes

        return checked(metrics, self._task, weighted=weighted)

    @property
    def _task(self) -> Task:
        """What the outputs mean, for metrics."""
        from cbp.metrics import Task

        activation = getattr(self._layers[-1], "activation", None)
        return Task.of(self.loss, activation, self._plan.output_shape, timed=self._plan.timed)

    def confusion(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *,
        labels: Sequence[object] | None = None, lengths: npt.ArrayLike | None = None,
    ) -> ConfusionMatrix:
        """How often each class was answered for the samples of each class, with the precision and recall of all.

        ``labels`` are names for the classes, in their order. Steps and pixels count one by one. Other arguments as for
        :meth:`fit`. Raises ValueError where the network does not answer with one class a row.

        Examples
        --------
        >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
        >>> net.confusion([[-1.0], [2.0], [3.0]], [0, 0, 1], labels=["no", "yes"])
        true \\ answered  no  yes   precision  recall     f1
        no                1    1       1.000   0.500  0.667
        yes               0    1       0.500   1.000  0.667
        accuracy 0.6667 of 3
        """
        from cbp.metrics import confusion

        confusion.check_task(self._task)
        data = arrays.data(self._model.form, X, y, sample_weight, lengths)
        warn_where_nameless("X", X, self.feature_names)
        outputs = predict(self._model, data.x, data.lengths)
        finite.warn_of(self._model, {"the output": outputs})
        return confusion.of_data(self._task, data, sample_weight, outputs, labels)

    @overload
    def gradient(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *,
        lengths: npt.ArrayLike | None = None, training: bool = False, per_sample: Literal[False] = False,
        out: Array | None = None,
    ) -> tuple[float, Array]: ...

    @overload
    def gradient(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: None = None, *, lengths: npt.ArrayLike | None = None,
        training: bool = False, per_sample: Literal[True], out: Array | None = None,
    ) -> tuple[Array, Array]: ...

    @understood_inside
    def gradient(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None, *more: Never,
        lengths: npt.ArrayLike | None = None, training: bool = False, per_sample: bool = False, out: Array | None = None,
        **unknown: Never,
    ) -> tuple[float | Array, Array]:
        """Loss and its gradient, as one flat vector in the order of :meth:`get_vector`; nothing is updated.

        Arguments as for :meth:`fit`. Made for ``scipy.optimize.minimize(..., jac=True)``. With ``training`` it is what the next
        step of the training would compute, with batch statistics and noise; else layers behave as in :meth:`predict`.

        With ``per_sample`` the losses of the samples (samples,) and the gradient of each (samples, parameters), without the
        penalties l1 and l2: their mean, weighted as one likes, is :meth:`gradient` of a network without penalties. It takes no
        sample_weight, and with ``training`` no :class:`BatchNorm`, whose samples depend on each other.

        ``out`` is an array for the gradient, of its shape and the network's dtype, C-contiguous and apart from the data; it is
        returned.

        Raises ValueError or TypeError where an argument is wrong, MemoryError where the gradients of all samples would take
        more than the machine has.
        """
        if more or unknown:
            raise refusal(Network.gradient, (self, X, y, sample_weight, *more), unknown)
        model: Model = self._answers.model
        kept = model.asked
        if kept is not None and sample_weight is lengths is None and training is per_sample is False:
            asked: tuple[float, Array] | None = kept.gradient_of(X, y, out)
            if asked is not None:
                return asked
        data = arrays.data(model.form, X, y, sample_weight, lengths)
        training, per_sample = check.boolean("training", training), check.boolean("per_sample", per_sample)
        read = self._read(X=X, y=y, sample_weight=sample_weight)
        if per_sample:
            questions.check_no_weights(sample_weight)
            losses, gradients = questions.sample_gradients(model, data, out, read, training=training)
            warn_where_nameless("X", X, self.feature_names)
            finite.warn_of(model, {"a loss": losses, "a gradient": gradients})
            return losses, gradients
        place = None if out is None else answers.room("out", out, (self._plan.count,), model.form.dtype, read)
        warn_where_nameless("X", X, self.feature_names)
        loss, padded = gradient(model, data, training=training)
        finite.warn_of(model, {"loss": loss, "gradient": padded})
        return loss, self._plan.compact(padded, place)

    @understood_inside
    def backward(
        self, X: npt.ArrayLike, d_output: npt.ArrayLike, *more: Never, lengths: npt.ArrayLike | None = None,
        training: bool = False, out: tuple[Array | None, Array | None] | None = None, **unknown: Never,
    ) -> tuple[Array, Array]:
        """Vector-Jacobian product: from the gradient of anything with respect to the outputs to the gradients before them.

        Parameters
        ----------
        X : array, (samples, *input_shape)
            Inputs.
        d_output : array, (samples, *output_shape)
            Gradient with respect to ``predict(X)``, with or without the axis of a single output.
        lengths : array of int, (samples,), optional
            As for :meth:`fit`.
        training : bool
            As for :meth:`gradient`.
        out : tuple of array, optional
            Arrays for (d_input, gradient), of their shapes and the network's dtype, C-contiguous, apart from each other and
            from the data; None for one that is to be new.

        Returns
        -------
        d_input : array of the shape of X
            Gradient with respect to X.
        gradient : array, (parameters,)
            Gradient with respect to the parameters, summed over the samples, in the order of :meth:`get_vector`. The
            penalties l1 and l2 are not in it.

        Raises
        ------
        ValueError, TypeError
            An argument is wrong.
        """
        if more or unknown:
            raise refusal(Network.backward, (self, X, d_output, *more), unknown)
        model: Model = self._answers.model
        places = (None, None) if out is None else answers.pair("out", out, ("d_input", "gradient"))
        kept = model.asked
        if kept is not None and lengths is None and training is False:
            asked: tuple[Array, Array] | None = kept.backward(X, d_output, places)
            if asked is not None:
                return asked
        form = model.form
        x = arrays.inputs(form, X)
        d = arrays.d_outputs(form, d_output)
        if len(d) != len(x):
            raise ValueError(f"X has {len(x)} samples and d_output has {len(d)}; they must have the same number")
        counted = arrays.checked_lengths(form, lengths, len(x))
        training = check.boolean("training", training)
        read = self._read(X=X, d_output=d_output)
        d_input = answers.room("out[0]", places[0], (len(x), *self.input_shape), form.dtype, read)
        place = answers.room("out[1]", places[1], (self._plan.count,), form.dtype, read | {"out[0]": d_input})
        warn_where_nameless("X", X, self.feature_names)
        padded = vector_jacobian(model, x, counted, d, d_input, training=training)
        finite.warn_of(model, {"d_input": d_input, "gradient": padded})
        return d_input, self._plan.compact(padded, place)

    def jacobian(
        self, X: npt.ArrayLike, *, of: str = "inputs", lengths: npt.ArrayLike | None = None, out: Array | None = None,
    ) -> Array:
        """The derivatives of every output of every sample, layers behaving as in :meth:`predict`.

        Parameters
        ----------
        X : array, (samples, *input_shape)
            Inputs.
        of : str
            With respect to what: ``"inputs"``, those of the same sample, or ``"parameters"``.
        lengths : array of int, (samples,), optional
            As for :meth:`predict`; outputs after the end of a sequence have derivatives of 0.
        out : array, optional
            Where the result goes: of its shape and the network's dtype, C-contiguous and apart from X.

        Returns
        -------
        array, (samples, *output_shape, *input_shape) or (samples, *output_shape, parameters)
            The parameters in the order of :meth:`get_vector`, frozen ones too.

        Raises
        ------
        ValueError, TypeError
            An argument is wrong.
        MemoryError
            The result would take more than the machine has.

        Examples
        --------
        >>> net = cbp.mlp([3, 4, 2], hidden="tanh", seed=0)
        >>> X = np.ones((5, 3))
        >>> net.jacobian(X).shape, net.jacobian(X, of="parameters").shape
        ((5, 2, 3), (5, 2, 26))
        """
        model = self._model
        x = arrays.inputs(model.form, X)
        counted = arrays.checked_lengths(model.form, lengths, len(x))
        found = questions.jacobian(model, x, counted, questions.checked_of(of), out, self._read(X=X))
        warn_where_nameless("X", X, self.feature_names)
        finite.warn_of(model, {"the Jacobian": found})
        return found

    def activations(self, X: npt.ArrayLike, *, lengths: npt.ArrayLike | None = None) -> dict[str, Array]:
        """What every layer gives for X (samples, *input_shape), as in :meth:`predict`: by the place of the layer, ``"0"`` and
        so on, an array (samples, *shape of that layer's output). Layers inside of others come before these, as ``"1.0"``,
        ``"1.skip"`` or ``"2.forward"``, as in the names of the parameters. The last one is the output, always with its last
        axis.

        ``lengths`` as for :meth:`predict`. State that goes from call to call is neither used nor changed. Raises ValueError or
        TypeError where X is wrong.

        Examples
        --------
        >>> net = cbp.mlp([3, 4, 2], seed=0)
        >>> {place: values.shape for place, values in net.activations(np.ones((5, 3))).items()}
        {'0': (5, 4), '1': (5, 2)}
        """
        model = self._model
        x = arrays.inputs(model.form, X)
        counted = arrays.checked_lengths(model.form, lengths, len(x))
        warn_where_nameless("X", X, self.feature_names)
        found = questions.activations(model, x, counted)
        finite.warn_of(model, {f"the output of layer {place}": values for place, values in found.items()})
        return found

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
        from cbp.trace import trace  # here, not above: it would double the time that importing cbp takes

        chosen = None if optimizer is None else optimizers.get(optimizer)
        traced = trace(self._present, x, y, optimizer=chosen, sample_weight=sample_weight, lengths=lengths,
                       carried=self._carried.copy)
        if self.feature_names is not None and as_array("x", x).ndim > 1:  # one row alone has no names, as in predict_one
            warn_where_nameless("x", x, self.feature_names)
        return traced

    # --- numbers --------------------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """As configured."""
        return self._layers

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self._plan.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the outputs for one sample."""
        return self._model.output_shape

    @property
    def loss(self) -> Loss:
        """As configured."""
        return cast(Loss, self._model.loss)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of parameters, data and results."""
        return self._model.form.dtype

    @property
    def seed(self) -> int:
        """Of the initial weights, the shuffles and the noise."""
        return self._model.seed

    @property
    def l1(self) -> float:
        """The penalty's factor of ``sum(|w|)``."""
        return self._model.l1

    @property
    def l2(self) -> float:
        """The penalty's factor of ``sum(w²) / 2``."""
        return self._model.l2

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer whose state the network holds; None before any training. Assigning one is :meth:`set_optimizer`."""
        optimizer: Optimizer | None = self._numbers.optimizer
        return optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | Optimizer) -> None:
        self.set_optimizer(optimizer)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns of the table that the network was trained on."""
        return self._model.form.names

    @feature_names.setter
    def feature_names(self, names: Sequence[str] | None) -> None:
        checked_names = names_or_none("feature_names", names, self.input_shape)
        with self._training:
            self._model = self._model.named(checked_names)

    @property
    def step(self) -> int:
        """Updates made by the present optimizer."""
        return self._numbers.step

    @property
    def epoch(self) -> int:
        """Epochs begun in the network's life."""
        return self._numbers.epoch

    @property
    def _model(self) -> Model:
        return cast(Model, self._answers.model)

    @_model.setter
    def _model(self, model: Model) -> None:
        self._answers = model.answers  # at once: another thread may ask
        self._online = self._applied = None

    @property
    def _numbers(self) -> Numbers:
        return cast(Numbers, self._answers.numbers)

    @property
    def parameters(self) -> Named:
        """What is learned, by name: writable views. What is assigned is checked and copied."""
        return Named("parameters", self._model.parameters, self._training)

    @parameters.setter
    def parameters(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        self.parameters.assign(arrays)

    @property
    def statistics(self) -> Named:
        """What the layers measure, by name: writable views. What is assigned is checked and copied."""
        return Named("statistics", self._model.statistics, self._training)

    @statistics.setter
    def statistics(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        self.statistics.assign(arrays)

    @property
    def optimizer_state(self) -> NamedState:
        """The state of the optimizer: name of the array ("mean", ...) -> name of the parameter -> writable view."""
        return self._state_of(self._numbers)

    @optimizer_state.setter
    def optimizer_state(self, state: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
        self.optimizer_state.assign(state)

    def _state_of(self, numbers: Numbers) -> NamedState:
        slots = numbers.optimizer.slots if numbers.optimizer is not None else ()
        return NamedState({
            slot: Named(f"optimizer_state[{slot!r}]", self._plan.views(row), self._training,
                        not_negative=slot in numbers.optimizer.not_negative)
            for slot, row in zip(slots, numbers.state, strict=False)
        }, self._training)

    @property
    def history(self) -> History | None:
        """Of the last :meth:`fit`."""
        return self._history

    @property
    def metadata(self) -> dict[str, Any]:
        """The user's own notes."""
        return self._metadata

    @metadata.setter
    def metadata(self, notes: dict[str, Any]) -> None:
        if not isinstance(notes, dict):
            raise TypeError(f"metadata must be a dict, got {notes!r:.200}")
        self._metadata = notes

    def get_vector(self) -> Array:
        """All parameters as one flat copy, in the order of ``parameters``."""
        return self._plan.compact(self._numbers.parameters)

    def set_vector(self, vector: npt.ArrayLike) -> None:
        """Set all parameters from one flat vector, as :meth:`get_vector` gives it; raises ValueError for a wrong length."""
        named = self._model.vector("vector", vector)
        with self._training:
            self.parameters.write(named)

    def publish(
        self, parameters: npt.ArrayLike | Mapping[str, npt.ArrayLike], statistics: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        """Let the network have other numbers, all at the same moment, while other threads ask it.

        Every call of :meth:`predict` and the like that another thread makes meanwhile answers with all of the old numbers or
        with all of the new ones; after :meth:`set_vector` or an assignment it may meet some of both. The numbers get new
        memory: arrays taken from ``parameters`` and ``statistics`` before go on to show the old ones. Optimizer, state and
        counters stay. ``docs/threads.md`` says what else threads may do.

        Parameters
        ----------
        parameters : array or mapping
            One flat vector, as :meth:`get_vector` gives it, or arrays by name, such as ``other.parameters``.
        statistics : mapping, optional
            Arrays by name; None leaves them as they are.

        Raises
        ------
        ValueError, TypeError
            Names, shapes or numbers are wrong; nothing was changed.
        RuntimeError
            Another thread is training this network.

        Examples
        --------
        >>> served = cbp.mlp([2, 1], seed=0)
        >>> trained = cbp.mlp([2, 1], seed=1)
        >>> history = trained.fit([[0.0, 1.0]], [1.0], epochs=3)
        >>> served.publish(trained.parameters, trained.statistics)
        >>> bool((served.get_vector() == trained.get_vector()).all())
        True
        """
        with _core.Copying(self._training, within=False):  # beside others that copy: the old numbers stay as they are
            self._model = self._model.published(parameters, statistics)

    # --- description ----------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The layers as a table: output shape, activation, number of parameters, multiplications of a sample by weights on its
        way forward; and the memory that parameters, optimizer state and a row of a batch take, with the pads of the core."""
        return summary.text(self._present, self._plan, self._numbers)

    def plot_weights(
        self, name: str | None = None, *, shape: tuple[int, ...] | None = None, most: int = 64, axes: Any = None,
    ) -> Any:
        """Draw weights as pictures, a tile for each unit or filter: red above 0, blue below.

        Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it.

        Parameters
        ----------
        name : str, optional
            Of ``parameters``, such as ``"2.weight"``; by default the first that has several axes.
        shape : tuple of int, optional
            (height, width) or (height, width, channels) of what a unit reads, whose product is the number of its inputs; by
            default that of the images before a :class:`Flatten`, a square where there is one, else all units are one picture.
            Filters have their own.
        most : int
            Tiles that are drawn at most, the first ones.
        axes : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure is made.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ValueError
            There is no such array, or the shape does not fit it.
        """
        from cbp.pictures import weights

        return weights.plot(self, name, shape, check.integer("most", most), axes)

    def _repr_html_(self) -> str:
        return summary.html(type(self).__name__, self._present, self._plan, self._numbers)

    def __repr__(self) -> str:
        inside = ", ".join(map(brief, self.layers))
        inputs = self.input_shape[0] if len(self.input_shape) == 1 else self.input_shape
        return f"Network({inputs}, [{inside}], loss={self.loss.name!r}, dtype={self.dtype.name!r}, seed={self.seed})"

    # --- files ----------------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """A copy of this moment: the description, all arrays, the counters. What ``metadata`` nests is not copied.

        Raises RuntimeError while another thread is training the network; saving, copying and pickling do too. A signal handler
        that interrupts a call on the network may take one: in ``fit`` it gets what Ctrl-C would leave at this moment, in
        ``train_on_batch`` the network before the call.
        """
        with self._copying as interrupted:
            numbers = self._numbers if interrupted is None else interrupted()
            return self._at(numbers).copy()

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Network:
        """A network of its own that trains on exactly as the one of :meth:`snapshot` would have.

        Raises ValueError or TypeError where the snapshot describes no network, or its arrays are not those of its layers.
        """
        network = cls.__new__(cls)  # whose weights nobody draws, as they are replaced: orthogonal ones can take minutes
        network._set_up(snapshot.input_shape, snapshot.layers, loss=snapshot.loss, dtype=snapshot.dtype, seed=snapshot.seed,
                        l1=snapshot.l1, l2=snapshot.l2)
        network.metadata = copy(snapshot.metadata)
        network._extras = dict(snapshot.extras)
        if snapshot.optimizer is not None:
            network.set_optimizer(snapshot.optimizer)
        network.parameters = snapshot.parameters
        network.statistics = snapshot.statistics
        network.optimizer_state = snapshot.optimizer_state
        network._numbers.step = check.integer("step", snapshot.step, minimum=0)
        if snapshot.optimizer is None and snapshot.step:
            raise ValueError(f"step must be 0 where there is no optimizer, got {snapshot.step}")
        network._numbers.epoch = check.integer("epoch", snapshot.epoch, minimum=0)
        network._numbers.averaged = check.integer("averaged", snapshot.averaged, minimum=0)
        network._numbers.since = check.integer("since", snapshot.since, minimum=0)
        network.rate_multipliers = snapshot.rate_multipliers
        if snapshot.frozen:
            network.freeze(snapshot.frozen)
        network._numbers.flat = check.boolean("flat", snapshot.flat)
        network.feature_names = snapshot.feature_names
        if snapshot.flat and network._plan.output_shape[-1] != 1:
            raise ValueError(f"flat must be False for outputs of the shape {network._plan.output_shape}")
        return network

    @property
    def _present(self) -> Snapshot:
        """The network as it is and becomes: a snapshot whose arrays are the network's own."""
        return self._at(self._numbers)

    def _at(self, numbers: Numbers) -> Snapshot:
        """The network with these numbers: a snapshot whose arrays are views of theirs."""
        return Snapshot(
            input_shape=self.input_shape, layers=self.layers, loss=self.loss, l1=self.l1, l2=self.l2, dtype=self.dtype.name,
            seed=self.seed, optimizer=numbers.optimizer, metadata=self.metadata,
            parameters=self._plan.views(numbers.parameters),
            statistics=self._plan.views(numbers.statistics, self._plan.statistics),
            optimizer_state=self._state_of(numbers), step=numbers.step, epoch=numbers.epoch, averaged=numbers.averaged,
            since=numbers.since, frozen=self.frozen, rate_multipliers=dict(self.rate_multipliers), flat=numbers.flat,
            feature_names=self.feature_names, extras=self._extras)

    def save(self, path: str | os.PathLike[str], *, optimizer: bool = True, averaged: bool = False) -> None:
        """Write the network, its optimizer's state and the generator's position to one file; see :func:`cbp.load`.

        ``optimizer=False`` leaves the optimizer and its state out, up to two thirds of a file: for one that only predicts.
        Loaded, it has no optimizer and step 0. ``averaged=True`` does so too, and writes the average that :meth:`predict` takes
        then in the place of the parameters; ValueError where the optimizer takes none.

        Raises RuntimeError while another thread is training the network; copying and pickling do too. A signal handler may save
        in the middle of any call on the network, and waits for nothing: see :meth:`snapshot`, and ``docs/signals.md``.
        """
        optimizer = check.boolean("optimizer", optimizer)
        averaged = check.boolean("averaged", averaged)
        snapshot = self.snapshot().with_average() if averaged else self.snapshot()
        modelfile.save(snapshot, path, optimizer=optimizer and not averaged)

    def __reduce__(self) -> tuple[Any, ...]:
        snapshot, own = self.snapshot(), self.__getstate__()
        data, plain = modelfile.dumps(snapshot), type(self) is Network
        parts: tuple[Any, ...] = (data,) if plain else (data, type(self))
        schedule = None if snapshot.optimizer is None else snapshot.optimizer.schedule
        if schedule is not None and schedule.asks:
            parts = data, type(self), snapshot.optimizer  # a copy has its function, a pickle the name that it is found by
        return (_from_bytes, parts) if plain else (_from_bytes, parts, own)

    def __getstate__(self) -> object:
        """The attributes that a class of one's own gave the network, as ``object.__getstate__`` gives them."""
        state = super().__getstate__()
        attributes, slots = state if isinstance(state, tuple) else (state, {})
        slots = {name: value for name, value in slots.items() if name not in Network.__slots__}
        return (attributes, slots) if slots else attributes

    # No __getattr__ beside it: that would make every attribute that is there take twice as long, and predict_one with them.
    def __setattr__(self, name: str, value: object) -> None:
        try:
            super().__setattr__(name, value)
        except not_by_handler(AttributeError):
            if getattr(getattr(type(self), name, None), "fset", None) is not None:
                raise  # by the setter of a class of one's own
            raise no_attribute(self, name) from None


@understood
def mlp(
    sizes: Sequence[int], *, hidden: str = "relu", output: str = "identity", loss: str | Loss | None = None,
    dtype: npt.DTypeLike = "float32", seed: int | None = None, l1: float = 0.0, l2: float = 0.0,
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
    dtype, seed, l1, l2
        As for :class:`Network`.
    """
    if not isinstance(sizes, (list, tuple)) or len(sizes) < 2:
        raise ValueError(f"sizes must list inputs, hidden layers and outputs, for example [64, 32, 10], got {quoted(sizes)}")
    layers = [Dense(units, hidden) for units in sizes[1:-1]]
    layers.append(Dense(sizes[-1], output))
    chosen = losses.usual(output) if loss is None else loss
    return Network(sizes[0], layers, loss=chosen, dtype=dtype, seed=seed, l1=l1, l2=l2)


def _from_bytes(data: bytes, kind: type[Network] = Network, optimizer: Optimizer | None = None) -> Network:
    """The network that was pickled or copied as these bytes of a model file, and the optimizer where they do not hold all of
    it."""
    snapshot = modelfile.loads(data)
    return modelfile.restored(kind, snapshot if optimizer is None else replace(snapshot, optimizer=optimizer), None)
