"""Calls that every network must refuse, whatever it is: (what is written, what is done with a network and a batch)."""

import numpy as np

import cbp


def changed(batch, **other):
    return {**batch.given, **other}


def spoiled(values, value):
    """The numbers as float64, one of them another."""
    values = np.array(values, float)
    values.reshape(-1)[-1] = value
    return values


def with_axis(values):
    return np.asarray(values)[..., None, None]


METHODS = {
    "fit": lambda net, given: net.fit(**given, epochs=1, batch_size=None),
    "train_on_batch": lambda net, given: net.train_on_batch(**given),
    "evaluate": lambda net, given: net.evaluate(**given),
    "gradient": lambda net, given: net.gradient(**given),
}
"""All of them check what they get."""

WRONG_DATA = {
    "X=X with two more axes": lambda b: changed(b, X=with_axis(b.x)),
    "X=X[:0], y=y[:0]": lambda b: changed(b, X=b.x[:0], y=b.y[:0], sample_weight=None, lengths=None),
    "X with NaN": lambda b: changed(b, X=spoiled(b.x, np.nan)),
    "X with inf": lambda b: changed(b, X=spoiled(b.x, np.inf)),
    "X=None": lambda b: changed(b, X=None),
    "X='text'": lambda b: changed(b, X="text"),
    "X of text": lambda b: changed(b, X=b.x.astype(str)),
    "X complex": lambda b: changed(b, X=b.x.astype(complex)),
    "X of dates": lambda b: changed(b, X=np.zeros(b.x.shape, "datetime64[s]")),
    "X of objects": lambda b: changed(b, X=np.full(b.x.shape, object())),
    "X ragged": lambda b: changed(b, X=[[1.0], [1.0, 2.0]]),
    "y one shorter": lambda b: changed(b, y=b.y[:-1]),
    "y with three more axes": lambda b: changed(b, y=with_axis(b.y)[..., None]),
    "y with NaN": lambda b: changed(b, y=spoiled(b.y, np.nan)),
    "y=1": lambda b: changed(b, y=1),
    "y of text": lambda b: changed(b, y=b.y.astype(str)),
    "sample_weight one longer": lambda b: changed(b, sample_weight=np.ones(len(b) + 1)),
    "sample_weight below 0": lambda b: changed(b, sample_weight=spoiled(np.ones(len(b)), -1)),
    "sample_weight of zeros": lambda b: changed(b, sample_weight=np.zeros(len(b))),
    "sample_weight with NaN": lambda b: changed(b, sample_weight=spoiled(np.ones(len(b)), np.nan)),
    "lengths=0": lambda b: changed(b, lengths=np.zeros(len(b), int)),
    "lengths beyond the time": lambda b: changed(b, lengths=np.full(len(b), 10**6)),
    "lengths of floats": lambda b: changed(b, lengths=np.ones(len(b))),
    "lengths one longer": lambda b: changed(b, lengths=np.ones(len(b) + 1, int)),
}

WRONG_OPTIONS = {
    "epochs": [-1, 1.5, "2", True, 2**63],
    "until_epoch": [-1, 1.5, "2", True],
    "accumulate": [0, 1.5, "2", None],
    "clip_norm": [0, -1.0, np.nan, "1"],
    "clip_value": [0, np.inf, True],
    "validation_split": [0, 1, -0.5, "0.1"],
    "validation_groups": [np.zeros(3)],
    "callbacks": ["early", 1, [1], cbp.EarlyStopping, cbp.EarlyStopping("val_loss")],
    "class_weight": ["even", 3, {0: -1.0}, {-1: 1.0}],
    "metrics": ["nope", 3, "f1"],
    "batch_size": [0, -1, 2.5, "all", True],
    "threads": [0, -1, "many", 1.5, None, True],
    "shuffle": [1, "yes", None],
    "progress": ["no", 2],
    "optimizer": ["nope", 1, cbp.Adam, object()],
    "validation_data": [1, (), ([[1.0]],), "xy", (None, None)],
}


MISUSES = [
    (f"net.{method}({text})", lambda net, batch, run=run, make=make: run(net, make(batch)))
    for method, run in METHODS.items() for text, make in WRONG_DATA.items()
] + [
    (f"net.fit(X, y, {name}={value!r})",
     lambda net, batch, name=name, value=value: net.fit(**{**batch.given, "batch_size": None, name: value}))
    for name, values in WRONG_OPTIONS.items() for value in values
] + [
    ("net.predict(one row)", lambda net, batch: net.predict(batch.x[0])),
    ("net.predict(None)", lambda net, batch: net.predict(None)),
    ("net.predict(X with NaN)", lambda net, batch: net.predict(spoiled(batch.x, np.nan))),
    ("net.predict(X[:0])", lambda net, batch: net.predict(batch.x[:0])),
    ("net.predict_one(X)", lambda net, batch: net.predict_one(batch.x)),
    ("net.predict_one(x with inf)", lambda net, batch: net.predict_one(spoiled(batch.x[0], -np.inf))),
    ("net.predict_step(X)", lambda net, batch: net.predict_step(batch.x)),
    ("net.backward(X, d of another shape)", lambda net, batch: net.backward(batch.x, np.zeros((len(batch), 1, 1, 1, 1, 2)))),
    ("net.backward(X, d of one row more)",
     lambda net, batch: net.backward(batch.x, np.zeros((len(batch) + 1, *net.output_shape)))),
    ("net.gradient(X, y, training=2)", lambda net, batch: net.gradient(**batch.given, training=2)),
    ("net.set_vector(v of another length)", lambda net, batch: net.set_vector(np.zeros(len(net.get_vector()) + 1))),
    ("net.set_vector(v of two axes)", lambda net, batch: net.set_vector(np.zeros((1, len(net.get_vector()), 1)))),
    ("net.set_vector('text')", lambda net, batch: net.set_vector("text")),
    ("net.set_optimizer(None)", lambda net, batch: net.set_optimizer(None)),
    ("net.set_optimizer('no such')", lambda net, batch: net.set_optimizer("no such")),
    ("net.optimizer = cbp.SGD", lambda net, batch: setattr(net, "optimizer", cbp.SGD)),
    ("net.trace(X of text, y)", lambda net, batch: net.trace(batch.x.astype(str), batch.y)),
    ("net.trace(X, y with three more axes)", lambda net, batch: net.trace(batch.x, with_axis(batch.y)[..., None])),
    ("net.save('/no/such/folder/x.cbp')", lambda net, batch: net.save("/no/such/folder/x.cbp")),
    ("net.save('/')", lambda net, batch: net.save("/")),
    ("net.save(1.5)", lambda net, batch: net.save(1.5)),
    ("cbp.load('/no/such/file')", lambda net, batch: cbp.load("/no/such/file")),
    ("cbp.Network.from_snapshot(None layers)", lambda net, batch: cbp.Network(net.input_shape, None, loss=net.loss)),
    ("net.learning_rate = 0.1", lambda net, batch: setattr(net, "learning_rate", 0.1)),
    ("net.parameter", lambda net, batch: net.parameter),
    ("net.parameters = {'no such': 1}", lambda net, batch: setattr(net, "parameters", {"no such": 1})),
    ("net.optimizer_state = 1", lambda net, batch: setattr(net, "optimizer_state", 1)),
    ("net.publish(v of another length)", lambda net, batch: net.publish(np.zeros(len(net.get_vector()) + 1))),
    ("net.publish(v with NaN, statistics)", lambda net, batch: net.publish(np.append(net.get_vector(), np.nan)[1:], {"x": 1})),
    *((f"del net.{name}", lambda net, batch, name=name: delattr(net, name)) for name in ("parameters", "loss", "metadata")),
    *((f"net.{name} = 1", lambda net, batch, name=name: setattr(net, name, 1))
      for name in ("layers", "input_shape", "output_shape", "loss", "dtype", "seed", "l1", "l2", "step", "epoch",
                   "history", "metadata", "parameters", "statistics")),
]
