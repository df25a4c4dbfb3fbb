"""Habits: what other libraries call an argument or an attribute, and the errors that answer with cbp's word or way.

Python's own ``TypeError`` for a call that does not fit says which name is unknown, not which is right. Public functions,
methods and classes are decorated with :func:`understood`, which answers in its place. It looks only at calls that Python
refused; signatures, ``help()`` and type checkers see what is decorated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Never, TypeVar, cast

if TYPE_CHECKING:
    from inspect import Signature

__all__ = ["attribute_hint", "no_attribute", "own_word", "refusal", "understood", "understood_behind", "understood_inside",
           "understood_methods"]

Call = TypeVar("Call", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=type)

_SAME = {
    "X": "x inputs input data features", "x": "X inputs input data features", "y": "Y target targets label labels y_true",
    "epochs": "n_epochs num_epochs nb_epoch max_epochs max_iter n_iter iterations",
    "batch_size": "batch batchsize minibatch_size mini_batch_size", "optimizer": "optimiser optim solver",
    "sample_weight": "weights weight sample_weights", "lengths": "length seq_lengths sequence_length seq_len",
    "validation_data": "validation val_data valid_data eval_set", "threads": "n_jobs workers num_workers num_threads n_threads",
    "progress": "verbose verbosity show_progress disp", "path": "filepath filename file file_path fname f",
    "vector": "weights params theta values x0", "d_output": "grad grad_output gradient dy cotangent",
    "sizes": "layer_sizes hidden_layer_sizes hidden_sizes hidden_units layers",
    "hidden": "activation hidden_activation activation_function act",
    "output": "output_activation out_activation last_activation final_activation",
    "inputs": "input_shape in_features input_dim input_size in_channels n_inputs n_features n_in",
    "loss": "criterion objective loss_fn loss_function cost", "seed": "random_state random_seed rng generator",
    "l1": "l1_reg l1_penalty", "l2": "alpha l2_reg l2_penalty", "test": "test_size",
    "rho": "alpha decay smoothing", "tau": "q alpha", "delta": "beta threshold", "epsilon": "eps",
    "rate": "lr learning_rate learning_rate_init eta eta0 step_size alpha p prob dropout",
    "beta1": "beta_1 b1 momentum mu", "beta2": "beta_2 b2", "momentum": "mu mom beta", "weight_decay": "wd lambd",
    "vocabulary": "num_embeddings input_dim vocab_size vocabulary_size num_tokens",
    "filters": "out_channels channels n_filters num_filters", "kernel_size": "kernel filter_size window size",
    "units": "out_features n_units num_units neurons hidden_size hidden_dim output_dim output_size embedding_dim size n_out",
    "size": "pool_size kernel_size window", "stride": "strides subsample", "dilation": "dilation_rate",
    "groups": "num_groups n_groups", "multiplier": "depth_multiplier channel_multiplier", "bias": "use_bias fit_intercept",
    "init": "kernel_initializer initializer weight_init init_weights embeddings_initializer alpha_initializer",
    "recurrent_init": "recurrent_initializer", "activation": "nonlinearity activation_function act act_fn",
    "start": "initial_learning_rate initial_lr base_lr lr learning_rate learning_rate_init eta0",
    "end": "eta_min min_lr end_learning_rate final_lr", "factor": "gamma decay_rate decay_factor",
    "every": "step_size decay_steps save_freq period",
    "steps": "T_max T_0 total_steps total_iters max_decay_steps first_decay_steps decay_steps num_training_steps warmup_steps "
             "num_warmup_steps",
    "power": "power_t", "peak": "max_lr peak_lr", "at": "milestones boundaries", "rising": "pct_start", "first": "div_factor",
    "last": "final_div_factor", "restarts": "T_mult t_mul", "schedules": "schedulers", "function": "lr_lambda schedule",
    "reverse": "go_backwards", "deviation": "stddev std sigma", "shape": "target_shape", "layers": "modules",
    "metrics": "metric scoring scorers", "callbacks": "callback",
    "class_weight": "class_weights pos_weight scale_pos_weight",
    "validation_split": "validation_fraction val_split validation_size", "patience": "n_iter_no_change",
    "clip_norm": "clipnorm global_clipnorm clip grad_clip gradient_clip max_norm max_grad_norm", "clip_value": "clipvalue",
    "accumulate": "gradient_accumulation_steps accumulate_grad_batches accumulation_steps", "monitor": "metric quantity",
    "minimum": "min_lr min_rate", "best_only": "save_best_only",
    "labels": "class_names target_names display_labels",
    "average": "avg averaging multioutput",
}
"""cbp's word for an argument: what others call it."""

_VALUES = {"progress": ": progress=False shows none, progress=True shows it"}
"""What is to be said of the values of an argument, where they are others in other libraries."""

_ELSEWHERE = {
    "rate": "an optimizer has the rate: fit(X, y, optimizer=cbp.Adam(0.01))",
    "momentum": "cbp.SGD(0.01, momentum=0.9) has momentum", "weight_decay": "an optimizer has it: cbp.AdamW(weight_decay=0.01)",
    "optimizer": "fit and train_on_batch take the optimizer: fit(X, y, optimizer=cbp.Adam(0.01))",
    "epochs": "fit takes epochs", "shuffle": "fit takes shuffle", "threads": "fit takes threads",
    "progress": "only fit shows progress", "validation_data": "fit takes validation_data",
    "batch_size": "fit takes batch_size; all else goes through large data in pieces by itself",
    "sample_weight": "fit, train_on_batch, evaluate and gradient take sample_weight",
    "seed": "cbp.Network and cbp.mlp take seed", "dtype": "cbp.Network and cbp.mlp take dtype",
    "l1": "cbp.Network and cbp.mlp take l1", "l2": "cbp.Network and cbp.mlp take l2",
    "loss": "cbp.Network and cbp.mlp take loss", "activation": "layers have activations: cbp.Dense(8, 'relu')",
    "inputs": "cbp.Network(inputs, layers) and what stands before a layer say what goes into it",
    "lengths": "fit, predict and evaluate take lengths", "metrics": "fit and evaluate take metrics",
    "callbacks": "fit takes callbacks", "class_weight": "fit takes class_weight",
    "validation_split": "fit takes validation_split",
    "clip_norm": "an optimizer has it: cbp.Adam(clip_norm=1.0)", "clip_value": "an optimizer has it: cbp.Adam(clip_value=1.0)",
    "accumulate": "fit takes accumulate",
}
"""Where an argument of cbp belongs that was given to something else."""

_DONE = {
    "fit(X, y, validation_split=0.1, callbacks=[cbp.EarlyStopping(patience=10)]) stops early, with the best weights":
        "early_stopping patience n_iter_no_change tol restore_best_weights",
    "the rate of an optimizer is a number or a schedule: optimizer=cbp.Adam(cbp.schedules.Cosine(1e-3, steps=5000))":
        "scheduler lr_scheduler lr_schedule learning_rate_schedule schedule learning_rate_decay lr_decay decay_steps gamma "
        "step_size power_t t_max warmup_steps warmup warmup_ratio",
    "fit(X, y, until_epoch=20) goes on to that epoch of the network's life": "initial_epoch",
    "an average of the parameters is the optimizer's: cbp.Adam(average=cbp.averages.ExponentialMovingAverage(0.999))":
        "use_ema ema_momentum ema_decay ema swa",
    "give the last layer its activation, 'sigmoid' or 'softmax', and the loss sees it": "from_logits logits",
    "write beta1=0.9, beta2=0.999": "betas",
    "cbp.Network and cbp.mlp take l1 and l2": "kernel_regularizer regularizer bias_regularizer penalty regularization",
    "every fit goes on with the weights as they are; a new network starts afresh": "warm_start",
    "biases start at 0; net.parameters['0.bias'][...] = 0.1 sets them": "bias_initializer bias_init",
    "layers have no names; net.parameters calls their arrays by their place, '0.weight'": "name names",
    "cbp computes on the CPU": "device cuda gpu", "put cbp.Dropout(rate) between the layers": "dropout recurrent_dropout drop",
    "put several layers one after the other": "num_layers n_layers", "write cbp.Bidirectional(layer)": "bidirectional",
    "sequences are (samples, time, features), images (samples, height, width, channels)": "batch_first data_format",
    "lengths= of fit and predict says how many steps of every sequence count": "mask mask_zero padding_idx attention_mask",
    "nothing in a model file is executed; the path is enough": "compile custom_objects safe_mode weights_only map_location",
    "the loss is the weighted mean over the samples": "reduction size_average",
    "every epoch goes through all data; fewer samples are a slice of X and y": "steps_per_epoch steps validation_steps",
}
"""How cbp does what others have an argument for: the words for it."""

_ATTRIBUTES = {
    "fit(X, y) trains, and predict is never in training mode": "training train_mode",
    "predict(X).argmax(axis=-1) gives the classes": "classes_",
    "parameters has the arrays by name, get_vector() all numbers as one vector":
        "weights weight trainable_weights variables trainable_variables params coef_ coefs_ w intercepts_ intercept_ biases "
        "bias kernel state_dict",
    "backward(X, d_output) and gradient(X, y) give gradients": "grad grads gradients",
    "layers is a tuple that is given to cbp.Network(inputs, layers, loss=...)": "modules children",
    "optimizer is the optimizer, for example cbp.Adam(rate)": "optim optimiser solver lr learning_rate rate",
    "history.loss has the loss of every epoch": "loss_curve_ losses history_ best_loss_ loss_",
    "epoch counts the epochs, step the updates": "n_iter_ iterations epochs n_epochs",
    "cbp computes on the CPU, with the dtype that cbp.Network(dtype=...) was given": "device",
    "input_shape is the shape of a sample, output_shape that of its outputs": "in_features out_features n_features_in_ inputs",
}
"""How cbp does what others have an attribute of a network for: the words for it. They are answered where they are assigned;
Python itself answers where they are read."""


def _by_word(table: Mapping[str, str]) -> dict[str, list[str]]:
    """The other way round: word -> entries of the table."""
    found: dict[str, list[str]] = {}
    for entry, words in table.items():
        for word in words.split():
            found.setdefault(word, []).append(entry)
    return found


def attribute_hint(name: str, known: Iterable[str]) -> str:
    """What to do instead, for an attribute that a network does not have and the names of those that it has; "" where nothing
    comes near.

    Examples
    --------
    >>> from cbp.habits import attribute_hint
    >>> attribute_hint("optimiser", [])
    'optimizer is the optimizer, for example cbp.Adam(rate)'
    >>> attribute_hint("metadat", ["metadata", "metre"])
    "did you mean 'metadata'?"
    """
    done = _by_word(_ATTRIBUTES).get(name)
    if done:
        return done[0]
    nearest = _nearest(name, known)
    return f"did you mean {nearest!r}?" if nearest else ""


def no_attribute(owner: object, name: str) -> AttributeError:
    """The error for an attribute that an object does not have, or that cannot be set."""
    kind = type(owner)
    if hasattr(kind, name):
        return AttributeError(f"{name!r} of a {kind.__name__} is read-only: it is fixed when the object is made, or changes "
                              f"with what it does", name=name, obj=owner)
    hint = "" if name.startswith("_") else attribute_hint(name, [known for known in dir(kind) if not known.startswith("_")])
    return AttributeError(f"a {kind.__name__} has no attribute {name!r}{'; ' if hint else ''}{hint}", name=name, obj=owner)


def understood(call: Call) -> Call:
    """Let a function, or a class when it is called, answer a call that does not fit with cbp's word for the argument.

    Examples
    --------
    >>> cbp.Adam(lr=0.01)
    Traceback (most recent call last):
        ...
    TypeError: Adam takes rate, not lr; it takes rate, weight_decay, beta1, beta2, epsilon
    """
    if isinstance(call, type):
        if "__init__" in vars(call):
            call.__init__ = understood(call.__init__)  # type: ignore[misc]
        if is_dataclass(call) and "__setattr__" in vars(call):  # one that is frozen
            call.__setattr__ = call.__delattr__ = _refuse_to_change  # type: ignore[method-assign]
        return call

    @wraps(call)
    def asked(*args: Any, **given: Any) -> Any:
        try:
            return call(*args, **given)
        except TypeError as problem:
            # Where Python refused the call itself no frame lies below this one.
            inside = problem.__traceback__ is not None and problem.__traceback__.tb_next is not None
            if inside:
                raise
            raise refusal(call, args, given) from None

    return cast(Call, asked)


def _refuse_to_change(specification: Any, name: str, value: object = None) -> Never:
    """For a frozen optimizer, loss, layer or initializer: say how one with another value comes to be used."""
    kind = type(specification).__name__
    known = [field.name for field in fields(specification)]
    if name not in known:
        raise FrozenInstanceError(f"{kind} has no field {name!r} to set; it has {', '.join(known) or 'none'}")
    used = getattr(specification, "_used", "a network is built with it")
    raise FrozenInstanceError(f"{name!r} of {kind} is fixed when it is made; dataclasses.replace(it, {name}=...) makes "
                              f"another, and {used}")


def understood_methods(*, but: Collection[str]) -> Callable[[Kind], Kind]:
    """Let a class and its public methods be understood; not those in ``but``, for which a tenth of a microsecond is long, and
    not those that are understood inside."""

    def decorated(kind: Kind) -> Kind:
        for name, method in vars(kind).copy().items():
            ordinary = callable(method) and not isinstance(method, type) and not hasattr(method, "__signature__")
            if ordinary and not name.startswith("_") and name not in but:
                setattr(kind, name, understood(method))
        return understood(kind)

    return decorated


def understood_inside(call: Call) -> Call:
    """For a function that has itself ``*more`` and ``**unknown`` behind its parameters, and raises :func:`refusal` if they are
    not empty: a fiftieth of a microsecond. Its signature is shown without them."""
    call.__signature__ = _signature(call)  # type: ignore[attr-defined]
    return call


def understood_behind(ordinary: Callable[..., Any]) -> Callable[[Call], Call]:
    """For a function that takes any arguments, answers the usual ones itself and hands all others on to the ``ordinary`` one,
    which is understood: an argument by name in a signature costs as much as all of them. It is shown with that signature."""

    def decorated(call: Call) -> Call:
        call.__signature__ = _signature(ordinary)  # type: ignore[attr-defined]
        return call

    return decorated


def own_word(word: str, takes: Collection[str]) -> str | None:
    """cbp's word for what others call an argument by this word, if it is one of those that ``takes`` holds.

    Examples
    --------
    >>> from cbp.habits import own_word
    >>> own_word("learning_rate", ["rate", "epsilon"])
    'rate'
    """
    return next((own for own in _others(word) if own in takes), None)


def _others(word: str) -> list[str]:
    """cbp's words for an argument that others call by this one."""
    return _by_word(_SAME).get(word) or _by_word(_SAME).get(word.lower(), [])


def refusal(call: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> TypeError:
    """The error for arguments that ``call`` does not take, or still needs. ``args`` has the owner of a method first."""
    parameters = _signature(call).parameters.values()
    owner = [parameter.name for parameter in parameters][:1] == ["self"]
    called = type(args[0]).__name__ if owner and args and call.__name__ == "__init__" else call.__name__.removeprefix("_")
    takes = [parameter.name for parameter in parameters][owner:]
    placed = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD][owner:]
    values = args[owner:]
    missing = [parameter.name for parameter in parameters if parameter.default is parameter.empty][owner:]
    missing = [name for name in missing if name not in given and name not in placed[: len(values)]]
    unknown = next((name for name in given if name not in takes), None)
    twice = next((name for name in placed[: len(values)] if name in given), None)
    listed = f"it takes {', '.join(takes)}" if takes else "it takes no arguments"
    if unknown is not None:
        return TypeError(f"{called} {_advice(unknown, takes, given)}; {listed}")
    if len(values) > len(placed):
        others = f", the others by name, {takes[len(placed)]}=..." if len(takes) > len(placed) else ""
        first = " and ".join(placed) or "none"
        return TypeError(f"{called} got {len(values)} values by place, where it takes {first}{others}; {listed}")
    if twice is not None:
        return TypeError(f"{called} got {twice} twice, by place and by name; {listed}")
    return TypeError(f"{called} needs {' and '.join(missing)} too; {listed}")


def _advice(word: str, takes: list[str], given: Iterable[str]) -> str:
    """What to write instead of an argument that is not among those that something ``takes``."""
    right = own_word(word, takes)
    if right is not None:
        return f"takes {right}, not {word}{_VALUES.get(right, '')}"
    spelt = word if word in takes or word in _SAME else word.lower()
    done = _by_word(_DONE).get(spelt) or [_ELSEWHERE[own] for own in [spelt, *_others(word)] if own in _ELSEWHERE]
    if done:
        return f"takes no {word}: {done[0]}"
    nearest = _nearest(spelt, [name for name in takes if name not in given])
    return f"takes no {word}{f', did you mean {nearest}?' if nearest else ''}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    import difflib  # only here: it costs a millisecond of every import of cbp

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def _signature(call: Callable[..., Any]) -> Signature:
    """Without what takes any argument."""
    import inspect

    whole = inspect.signature(call)
    named = [one for one in whole.parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return whole.replace(parameters=named)
