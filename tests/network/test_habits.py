"""Words of other libraries: what is called with them answers with cbp's own word, or says how it is done here."""

import inspect
import pickle
import traceback

import numpy as np
import pytest

import cbp
from cbp import habits
from cbp.callbacks import CALLBACKS
from cbp.layers import LAYERS
from cbp.losses import LOSSES
from cbp.metrics import METRICS
from cbp.optimizers import OPTIMIZERS

X, Y = np.zeros((4, 2)), np.zeros((4, 1))
NET = cbp.mlp([2, 3, 1], seed=0)
SWIFT = {"predict_one", "predict_step"}
"""Python's own message has to do for these: looking at a call would take a tenth of their time."""

FUNCTIONS = {name: getattr(cbp, name) for name in cbp.__all__ if inspect.isfunction(getattr(cbp, name))}
METHODS = {name: getattr(NET, name) for name, method in vars(cbp.Network).items()
           if inspect.isfunction(method) and not name.startswith("_") and name not in SWIFT}
SPECIFIED = [cbp.Network, cbp.initializers.Initializer, *LAYERS.values(), *OPTIMIZERS.values(), *LOSSES.values(),
             *METRICS.values(), *CALLBACKS.values(), *cbp.schedules.SCHEDULES.values()]
DATASETS = {name: thing for name, thing in vars(cbp.datasets).items() if inspect.isfunction(thing) and name != "understood"}
CALLS = {**FUNCTIONS, **METHODS, **DATASETS, **{kind.__name__: kind for kind in SPECIFIED}}


def names_of(call):
    return [name for name in inspect.signature(call).parameters if name != "options"]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: cbp.Adam(lr=0.1), "^Adam takes rate, not lr; it takes rate, weight_decay, clip_value, .*, beta1, beta2, epsilon"),
    (lambda: cbp.SGD(learning_rate=0.1), "^SGD takes rate, not learning_rate"),
    (lambda: cbp.Adam(momentum=0.9), "^Adam takes beta1, not momentum"),
    (lambda: cbp.Adam(betas=(0.9, 0.99)), "beta1=0.9, beta2=0.999"),
    (lambda: cbp.RMSprop(alpha=0.9), "RMSprop takes rho"),
    (lambda: cbp.RMSprop(momentum=0.9), r"cbp\.SGD\(0\.01, momentum=0\.9\)"),
    (lambda: cbp.Dense(out_features=3), "^Dense takes units, not out_features"),
    (lambda: cbp.Dense(3, actvation="relu"), "^Dense takes no actvation, did you mean activation?"),
    (lambda: cbp.Dense(3, input_shape=(2,)), r"cbp\.Network\(inputs, layers\)"),
    (lambda: cbp.Dense(3, "relu", False), "^Dense got 3 values by place.* units and activation, the others by name, bias="),
    (lambda: cbp.Dense(), "^Dense needs units too"),
    (lambda: cbp.Dense(3, units=3), "^Dense got units twice"),
    (lambda: cbp.Conv2D(3, 3, strides=2), "takes stride, not strides"),
    (lambda: cbp.Embedding(num_embeddings=3, embedding_dim=2), "takes vocabulary, not num_embeddings"),
    (lambda: cbp.Dropout(p=0.5), "Dropout takes rate, not p; it takes rate$"),
    (lambda: cbp.Flatten(1), "Flatten got 1 values by place, where it takes none; it takes no arguments"),
    (lambda: cbp.losses.Huber(beta=1.0), "Huber takes delta, not beta"),
    (lambda: cbp.mlp([2, 1], activation="tanh"), "mlp takes hidden, not activation"),
    (lambda: cbp.mlp(hidden_layer_sizes=[2, 1]), "mlp takes sizes"),
    (lambda: cbp.mlp([2, 1], random_state=1), "mlp takes seed, not random_state"),
    (lambda: cbp.mlp([2, 1], LR=1), "mlp takes no LR: an optimizer has the rate"),
    (lambda: cbp.Network(2, [cbp.Dense(1)]), "^Network needs loss too"),
    (lambda: cbp.Network(2, [cbp.Dense(1)], "huber"), "^Network got 3 values by place"),
    (lambda: cbp.Network(2, [cbp.Dense(1)], loss="huber", optimizer="adam"), "fit and train_on_batch take the optimizer"),
    (lambda: NET.fit(X, Y, verbose=0), "^fit takes progress, not verbose: progress=False shows none"),
    (lambda: NET.fit(X, Y, early_stopping=True), r"fit takes no early_stopping: .*callbacks=\[cbp\.EarlyStopping"),
    (lambda: NET.fit(X, Y, lr_scheduler="cosine"), r"cbp\.schedules\.Cosine"),
    (lambda: NET.fit(X, Y, class_weights={0: 1}), "fit takes class_weight, not class_weights"),
    (lambda: NET.fit(X, Y, val_split=0.1), "fit takes validation_split, not val_split"),
    (lambda: NET.fit(X, Y, max_grad_norm=1.0), "fit takes clip_norm, not max_grad_norm"),
    (lambda: NET.train_on_batch(X, Y, class_weight={0: 1}), "train_on_batch takes no class_weight: fit takes class_weight"),
    (lambda: cbp.EarlyStopping(restore_best_weights=True), "stops early, with the best weights"),
    (lambda: cbp.ReduceOnPlateau(min_lr=1e-5), "ReduceOnPlateau takes minimum, not min_lr"),
    (lambda: cbp.Checkpoint("a.cbp", save_best_only=True), "Checkpoint takes best_only, not save_best_only"),
    (lambda: NET.fit(X, Y, learning_rate=0.1), r"optimizer=cbp\.Adam"),
    (lambda: NET.fit(X, Y, n_epochs=3), "fit takes epochs, not n_epochs"),
    (lambda: NET.fit(X, Y, max_iter=3), "fit takes epochs, not max_iter"),
    (lambda: NET.fit(X, Y, random_state=3), "cbp.Network and cbp.mlp take seed"),
    (lambda: NET.fit(X, Y, weights=Y), "fit takes sample_weight, not weights"),
    (lambda: NET.fit(X, Y, batch_szie=3), "did you mean batch_size?"),
    (lambda: NET.fit(X, Y, 10), "^fit got 3 values by place, where it takes X and y, the others by name, epochs="),
    (lambda: NET.fit(X), "^fit needs y too"),
    (lambda: NET.train_on_batch(X, Y, lr=0.1), "train_on_batch takes no lr"),
    (lambda: NET.train_on_batch(X, Y, None), "train_on_batch got 3 values by place"),
    (lambda: NET.predict(X, verbose=0), "predict takes no verbose: only fit shows progress"),
    (lambda: NET.predict(X, 32), "predict got 2 values by place"),
    (lambda: NET.evaluate(X, Y, batch_size=3), "evaluate takes no batch_size: fit takes batch_size"),
    (lambda: NET.evaluate(X, Y, scoring="r2"), "evaluate takes metrics, not scoring"),
    (lambda: NET.fit(X, Y, metric="r2"), "fit takes metrics, not metric"),
    (lambda: NET.confusion(X, Y, class_names=["a"]), "confusion takes labels, not class_names"),
    (lambda: cbp.metrics.F1(avg="macro"), "F1 takes average, not avg"),
    (lambda: NET.save(filepath="net.cbp"), "save takes path, not filepath"),
    (lambda: cbp.load("net.cbp", compile=False), "load takes no compile"),
    (lambda: NET.trace(X=X, y=Y), "trace takes x, not X"),
    (lambda: cbp.from_torch([]), "^from_torch needs input_shape too"),
    (lambda: cbp.losses.huber(beta=1.0), "huber takes delta, not beta"),
    (lambda: cbp.check_gradients(NET, X, Y, weights=Y), "check_gradients takes sample_weight"),
])
def test_the_answer_to_a_habit(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"from_torch"}))  # which hands what it does not know on to Network
def test_what_is_unknown_is_answered_with_what_is_known(name):
    call = CALLS[name]
    with pytest.raises(TypeError) as caught:
        call(**dict.fromkeys(names_of(call)), nonsense=1)
    assert str(caught.value).startswith(f"{name} takes no nonsense")
    assert all(argument in str(caught.value) for argument in names_of(call))


@pytest.mark.parametrize("name", CALLS)
def test_too_many_values_by_place_are_counted(name):
    call = CALLS[name]
    with pytest.raises(TypeError, match=f"^{name} got 20 values by place, where it takes "):
        call(*range(20))


def test_a_mistake_inside_a_call_keeps_its_own_message_and_place():
    with pytest.raises(TypeError, match="epochs must be a whole number") as caught:
        NET.fit(X, Y, epochs="3")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "integer"


def test_signatures_are_those_that_are_written():
    assert str(inspect.signature(cbp.Dropout)) == "(rate: 'float') -> None"
    assert names_of(cbp.Network.predict) == ["self", "X", "lengths", "averaged", "training", "seed", "out"]
    assert names_of(NET.train_on_batch) == ["X", "y", "optimizer", "sample_weight", "lengths"]
    assert names_of(NET.fit)[:3] == ["X", "y", "epochs"]
    assert cbp.Network.fit.__doc__.startswith("Train with backpropagation")
    assert cbp.Network.fit.__qualname__ == "Network.fit"


def test_what_is_called_every_microsecond_is_not_wrapped():
    for name in (*SWIFT, "predict", "train_on_batch"):
        assert not hasattr(getattr(cbp.Network, name), "__wrapped__")
        assert getattr(cbp.Network, name).__code__.co_name == name


def test_specifications_are_still_pickled_and_compared():
    for kind in OPTIMIZERS.values():
        assert pickle.loads(pickle.dumps(kind(0.1))) == kind(0.1)


def test_the_words_of_cbp_are_arguments_that_exist():
    known = {argument for call in CALLS.values() for argument in names_of(call)}
    assert {*habits._SAME, *habits._ELSEWHERE} <= known


def test_no_word_is_answered_twice():
    """A word leads to one piece of advice, and to several arguments only where no two belong to the same call."""
    for table in (habits._DONE, habits._ATTRIBUTES):
        words = [word for entry in table.values() for word in entry.split()]
        assert len(set(words)) == len(words)
    for word, owns in habits._by_word(habits._SAME).items():
        for name, call in CALLS.items():
            if word not in names_of(call):
                assert len({*owns} & {*names_of(call)}) <= 1 or (name, word) in {("RMSprop", "alpha")}, (name, word, owns)


def test_attributes_of_other_libraries():
    known = [name for name in dir(NET) if not name.startswith("_")]
    assert habits.attribute_hint("learning_rate", known).startswith("optimizer is")
    assert habits.attribute_hint("paramters", known) == "did you mean 'parameters'?"
    assert habits.attribute_hint("xyzzy", known) == ""
    for entry in habits._ATTRIBUTES:
        for word in habits._ATTRIBUTES[entry].split():
            assert not hasattr(cbp.Network, word), word
