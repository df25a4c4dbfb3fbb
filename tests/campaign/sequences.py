"""Sequences of public calls of one random network. What raises must have changed nothing and say why; what succeeds must agree
with the oracle and with the same done in another way."""

import copy
import os
import pickle
import tempfile
from dataclasses import replace

import facts
import numpy as np
from cases import dumps, loads

import cbp
from campaign import oracle
from campaign.case import Case, Finding, stranger
from campaign.misuse import MISUSES
from campaign.networks import output_of, random_batch, random_network, random_optimizer, varied
from cbp.layers.base import brief as layer_text
from cbp.layers.base import parts

HUGE = 1e6
"""Parameters above that have diverged: nothing is to be expected of their digits."""

CALLS = {}
"""Name -> (method, how often it comes)."""


def call(often=1):
    def add(method):
        CALLS[method.__name__] = method, often
        return method

    return add


def fingerprint(net):
    """Everything that a refused call must leave, to the bit."""
    now = net.snapshot()
    state = {f"{slot} of {name}": array for slot, arrays in now.optimizer_state.items() for name, array in arrays.items()}
    arrays = {**now.parameters, **now.statistics, **state}
    # The layers without how their weights started: an array that was given for that is not saved.
    layers = [layer_text(layer) for layer in now.layers]
    told = (now.input_shape, layers, now.loss, now.l1, now.l2, now.dtype, now.seed, now.optimizer, now.step, now.epoch,
            now.averaged, now.since, now.frozen, now.rate_multipliers, net.output_shape)
    return {"settings": repr(told), "metadata": repr(now.metadata), **{name: array.tobytes() for name, array in arrays.items()}}


def differing(one, other):
    return [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]


class Sequence(Case):
    """A network, and some calls."""

    def run(self):
        self.net, text = random_network(self.rng)
        self.say(text)
        self.counts["networks"] += 1
        self.told = oracle.known(self.net.layers)
        self.inside = [part for layer in self.net.layers for part in parts(layer)]
        self.stateful = any(getattr(part, "stateful", False) for part in self.inside)
        self.truncated = any(getattr(part, "bptt", None) for part in self.inside)
        self.timed = self.takes_lengths()
        self.carry, self.rows, self.last = {}, None, None
        names = list(CALLS)
        often = np.array([often for _, often in CALLS.values()], float)
        for _ in range(self.rng.integers(3, 12)):
            name = self.rng.choice(names, p=often / often.sum())
            self.counts[f"call {name}"] += 1
            CALLS[name][0](self)

    # --- means ----------------------------------------------------------------------------------------------------------------

    def takes_lengths(self):
        if len(self.net.input_shape) > 2:
            return False
        try:
            self.net.predict(np.zeros((1, *self.net.input_shape)), lengths=[self.net.input_shape[0]])
        except ValueError as refused:
            if "lengths" not in str(refused):
                raise Finding(f"predict(zeros): {refused}") from refused
            return False
        self.net.reset_state()
        return True

    def batch(self, plain=False):
        """Samples; the ones of the last call, often. A network that carries a state gets as many as before, or forgets it."""
        if self.last is None or self.chance(0.6):
            rows = self.rows if self.rows and self.chance(0.7) else None
            self.last = random_batch(self.rng, self.net, rows, self.timed)
            self.say(f"# {self.last.text}; lengths {self.last.lengths}; weights {self.last.weights}".replace("\n", " "))
        if self.rows not in (None, len(self.last)) and not plain:
            self.reset()
        return self.last

    def reset(self):
        self.say("net.reset_state()")
        self.net.reset_state()
        self.carry, self.rows = {}, None

    def carry_on(self, batch, run):
        """The state that the oracle's run ends with goes on; where the oracle does not follow, it is forgotten."""
        if self.calm and batch.tame:
            self.carry, self.rows = run.carry, len(batch)
        else:
            self.reset()

    def asked(self, text, function, refused=False):
        """The result of a call, or the exception. A refusal is a finding unless one is wanted (True) or allowed (None), and so
        is what a refusal changed."""
        self.say(text)
        before = fingerprint(self.net)
        try:
            result = function()
        except Exception as problem:
            wrong = stranger(problem)
            if wrong:
                raise Finding(f"{text}: {wrong}") from problem
            diverged = isinstance(problem, cbp.DivergedError)
            if refused is False and not diverged:
                raise Finding(f"{text}: a call that is right was refused: {type(problem).__name__}: {problem}") from problem
            self.counts["diverged" if diverged else "refusals"] += 1
            changed = differing(before, fingerprint(self.net))
            if changed and not (diverged and text.startswith("net.fit")):
                raise Finding(f"{text}: {type(problem).__name__} ({problem}), and changed {', '.join(changed)}") from None
            return problem
        if refused is True:
            raise Finding(f"{text}: was not refused")
        return result

    def unchanged(self, text, function):
        """The result of a call that only looks."""
        before = fingerprint(self.net)
        result = self.asked(text, function)
        if changed := differing(before, fingerprint(self.net)):
            raise Finding(f"{text}: changed {', '.join(changed)}")
        return result

    @property
    def calm(self):
        """Whether the numbers are of a size that the oracle follows."""
        return self.told and all(np.abs(values).max(initial=0) < HUGE for values in self.net.parameters.values())

    def near(self, what, actual, compute, batch, scale=0.0):
        """What came must be what the oracle computes, as far as rounding lets it."""
        if not (self.calm and batch.tame):
            self.counts["without an oracle"] += 1
            return
        actual = np.asarray(actual, float)
        tiny = 1e-35 if self.net.dtype == np.float32 else 1e-290
        if any(getattr(part, "activation", "") == "gelu" for part in self.inside):
            tiny = 1e-27  # below z = -11 it has no right digits
        for blurs in (4, 24):
            with np.errstate(all="ignore"):
                expected, allowed = oracle.tolerance(compute, self.net.dtype, blurs)
            allowed += tiny + 64 * float(np.finfo(self.net.dtype).eps) * scale
            if actual.shape != expected.shape:
                raise Finding(f"{what}: the shape {actual.shape}, the oracle has {expected.shape}")
            if not (np.isfinite(expected).all() and np.isfinite(allowed)) or np.abs(expected).max(initial=0) > 1e30:
                self.counts["without an oracle"] += 1
                return
            error = np.abs(actual - expected).max(initial=0)
            if error <= allowed:
                self.counts["agreements"] += 1
                return
        raise Finding(f"{what}: {error:.3g} off, {allowed:.3g} is allowed; got {brief(actual)}, expected {brief(expected)}")

    def passes(self, batch, training=False, subject=None, carried=False, **more):
        """blur -> the oracle's loss, metric and pass."""
        subject = self.net.snapshot() if subject is None else subject
        return lambda blur: oracle.loss_and_metric(
            subject, batch.x, batch.y, batch.weights, batch.lengths, training=training, blur=blur,
            carry=dict(self.carry) if carried else {}, **more)

    # --- asking ---------------------------------------------------------------------------------------------------------------

    def outputs(self, x, lengths, blur, carry=None):
        subject = self.net.snapshot()
        run = oracle.Pass(subject, oracle.exact(subject.parameters), lengths=lengths, blur=blur, carry=carry or {})
        found = run.outputs(x)
        return found.reshape(len(x), *self.net.output_shape), run

    def counted(self, batch, out):
        """1 for outputs that count, 0 for those of steps behind the length of a sample."""
        alive = np.ones(out.shape)
        if batch.lengths is not None and self.net._plan.timed:
            alive[np.arange(out.shape[1]) >= batch.lengths[:, None]] = 0
        return alive

    @call(4)
    def predict(self):
        batch = self.batch()
        carry, lengths = dict(self.carry), batch.given["lengths"]
        given = {} if lengths is None else {"lengths": lengths}
        out = self.unchanged(f"net.predict(X{', lengths=lengths' if given else ''})",
                             lambda: self.net.predict(batch.given["X"], **given))
        counted = self.counted(batch, out)
        self.near("predict", np.where(counted, out, 0),
                  lambda blur: self.outputs(batch.x, batch.lengths, blur, dict(carry))[0] * counted, batch)
        if not self.stateful:
            same = self.net.predict(np.array(batch.x), **given)
            if out.tobytes() != same.tobytes() or out.dtype != self.net.dtype:
                raise Finding("predict: the same numbers in another container give other bits")
        else:
            self.carry_on(batch, self.outputs(batch.x, batch.lengths, None, carry)[1])

    @call(2)
    def predict_one(self):
        batch = self.batch(plain=True)
        if self.stateful:
            self.reset()
        row = self.rng.integers(len(batch))
        x = batch.given["X"][row]
        out = self.unchanged(f"net.predict_one(X[{row}])", lambda: self.net.predict_one(x))
        self.near("predict_one", out, lambda blur: self.outputs(batch.x[[row]], None, blur)[0][0], batch)
        if self.stateful:
            self.reset()

    @call(2)
    def predict_step(self):
        """Steps of a sequence, the last outputs of which are those of the whole."""
        batch = self.batch(plain=True)
        sequence = batch.x[0]
        self.reset()
        found = [self.asked(f"net.predict_step(X[0][{t}])", lambda t=t: self.net.predict_step(sequence[t]), refused=None)
                 for t in range(len(sequence))]
        if any(isinstance(out, Exception) for out in found):
            if not all(isinstance(out, Exception) for out in found):
                raise Finding("predict_step: some steps were refused, and others not")
            return
        whole = self.net.predict(sequence[None])[0]
        self.reset()
        found = np.stack(found) if len(output_of(self.net)) > 1 else found[-1]
        if self.calm and batch.tame:
            self.near("predict_step", found, lambda blur: self.outputs(sequence[None], None, blur)[0][0], batch)
        if found.reshape(-1).tobytes() != whole.reshape(-1).tobytes():
            raise Finding(f"predict_step: other bits than predict: {brief(found)} and {brief(whole)}")

    @call(2)
    def evaluate(self):
        batch = self.batch(plain=True)
        found = self.unchanged("net.evaluate(X, y, ...)", lambda: self.net.evaluate(**batch.given))
        compute = self.passes(batch)
        self.near("evaluate: loss", found["loss"], lambda blur: compute(blur)[0], batch)
        name = facts.LOSSES[self.net.loss.name].metric
        if set(found) != {"loss", name}:
            raise Finding(f"evaluate: {sorted(found)}")
        if name != "accuracy":
            self.near(f"evaluate: {name}", found[name], lambda blur: compute(blur)[1], batch)
        elif batch.mild and self.calm:
            near = [compute(blur)[1] for blur in (None, *range(8))]
            if np.ptp(near) == 0 and abs(found[name] - near[0]) > 1e-5:
                raise Finding(f"evaluate: accuracy {found[name]}, expected {near[0]}")

    @call(2)
    def metrics(self):
        """Any metrics, of which some do not suit the network; those that do lie where they must."""
        batch = self.batch(plain=True)
        names = [str(name) for name in self.rng.choice(list(cbp.metrics.METRICS), self.rng.integers(1, 4), replace=False)]
        text = f"net.evaluate(X, y, ..., metrics={names})"
        found = self.asked(text, lambda: self.net.evaluate(**batch.given, metrics=names), refused=None)
        if isinstance(found, Exception):
            if not str(found).startswith("metrics: "):
                raise Finding(f"{text}: {found}")
            return
        if set(found) != {"loss", facts.LOSSES[self.net.loss.name].metric, *names}:
            raise Finding(f"{text}: {sorted(found)}")
        for name in names:
            kind, value = cbp.metrics.METRICS[name], found[name]
            most = 1 if kind.higher_is_better else np.inf
            least = 0 if kind.needs != "numbers" or not kind.higher_is_better else -np.inf
            if not (np.isnan(value) or least - 1e-12 <= value <= most + 1e-12):
                raise Finding(f"{text}: {name} is {value}")

    @call(3)
    def gradient(self):
        batch, training = self.batch(plain=True), bool(self.chance(0.5))
        loss, gradient = self.unchanged(f"net.gradient(X, y, ..., training={training})",
                                        lambda: self.net.gradient(**batch.given, training=training))
        compute = self.passes(batch, training)
        self.near("gradient: loss", loss, lambda blur: compute(blur)[0], batch)
        if self.truncated or gradient.size == 0:
            return

        def moved(parameters, blur):
            return self.passes(batch, training, parameters=parameters)(blur)[0]

        self.slopes("gradient", gradient, moved, batch)

    def slopes(self, what, gradient, moved, batch):
        """Some entries and directions of a gradient against differences of the oracle's ``moved(parameters, blur)``."""
        if not (self.calm and batch.mild):
            return
        at = oracle.exact(self.net.snapshot().parameters)
        if not all(values.any() for values in at.values() if values.ndim > 1):
            # Behind a matrix of zeros activations stand on their kinks, and kinks in a row can look smooth from both sides.
            self.counts["without a slope"] += 1
            return
        for number in range(3):
            direction = np.zeros(gradient.size)
            if number < 2:
                direction[self.rng.integers(gradient.size)] = 1
            else:
                direction[:] = self.rng.normal(size=gradient.size)
            ways = split(direction, at)
            found = float(gradient.astype(float) @ direction)
            self.near_slope(f"{what} along {'a direction' if number == 2 else f'entry {int(direction.argmax())}'}", found,
                            lambda h, blur, ways=ways: moved({name: at[name] + h * ways[name] for name in at}, blur),
                            np.abs(gradient * direction).sum())

    def near_slope(self, what, found, compute, scale):
        """A slope against differences; ``scale`` is the sum of the sizes of its terms."""
        unit = float(np.finfo(self.net.dtype).eps)
        for blurs, reach in (4, 1e-4), (24, 2e-6):  # once more, where fewer kinks are within reach
            with np.errstate(all="ignore"):
                exact = oracle.slope(lambda h: compute(h, None), reach)
                others = [oracle.slope(lambda h, seed=seed: compute(h, seed), reach) for seed in range(blurs)]
            if exact is None or None in others or not np.isfinite(exact[0]):
                self.counts["without a slope"] += 1
                return
            spread = max(abs(other - exact[0]) for other, _ in others)
            # Where an activation is saturated, its slope is known to a unit, not to so many digits.
            saturated = 4 * unit * abs(compute(0.0, None))
            allowed = 512 * spread * unit / oracle.BLUR + 64 * unit * scale + exact[1] + saturated + 1e-12
            if abs(found - exact[0]) <= allowed:
                self.counts["slopes"] += 1
                return
        raise Finding(f"{what}: {found:.9g}, differences of the oracle give {exact[0]:.9g}; {allowed:.3g} is allowed")

    @call(2)
    def backward(self):
        batch, training = self.batch(plain=True), bool(self.chance(0.5))
        shape = self.pick([output_of(self.net), self.net.output_shape])
        d = self.rng.normal(size=(len(batch), *shape)).astype(self.net.dtype)
        lengths = batch.given["lengths"]
        d_input, gradient = self.unchanged(
            f"net.backward(X, d, lengths=..., training={training})",
            lambda: self.net.backward(batch.given["X"], d, lengths=lengths, training=training))
        if d_input.shape != batch.x.shape:
            raise Finding(f"backward: d_input has the shape {d_input.shape}")
        if self.truncated or not (self.calm and batch.mild):
            return
        subject, d = self.net.snapshot(), d.astype(float) * self.counted(batch, d)
        at, way = oracle.exact(subject.parameters), self.rng.normal(size=batch.x.shape)

        def weighted(x, parameters, blur):
            run = oracle.Pass(subject, parameters, training=training, lengths=batch.lengths, blur=blur)
            return float((run.outputs(x).reshape(d.shape) * d).sum())

        if gradient.size:
            self.slopes("backward: gradient", gradient, lambda parameters, blur: weighted(batch.x, parameters, blur), batch)
        if not any(isinstance(part, cbp.Embedding) for part in self.inside):
            way *= np.abs(batch.x).max() or 1.0
            self.near_slope("backward: d_input", float((d_input * way).sum()),
                            lambda h, blur: weighted(batch.x + h * way, at, blur), np.abs(d_input * way).sum())

    @call()
    def trace(self):
        """A step in plain Python, whose numbers are those of the step."""
        rows = random_batch(self.rng, self.net, int(self.rng.integers(1, 3)), self.timed)
        if self.rows not in (None, len(rows)):
            self.reset()
        optimizer = self.optimizer()
        given = {**rows.extra, "optimizer": optimizer}
        if optimizer is not None and self.net.optimizer is not None and optimizer != self.net.optimizer:
            given["optimizer"] = None
        self.say(f"# {rows.text}; lengths {rows.lengths}; weights {rows.weights}")
        found = self.asked(f"net.trace(X, y, optimizer={given['optimizer']}, ...)",
                           lambda: self.net.trace(rows.given["X"], rows.given["y"], **given), refused=None)
        if isinstance(found, ValueError) and "a trace keeps every number" in str(found):
            return
        if isinstance(found, Exception):
            if isinstance(found, cbp.DivergedError) and not (self.calm and rows.tame):
                return
            raise Finding(f"net.trace: {found}")
        compute = self.passes(rows, training=True, subject=self.becoming(given["optimizer"]), carried=True)
        if rows.tame and self.calm:
            self.near("trace: loss_before", found.loss_before, lambda blur: compute(blur)[0], rows)
        if not str(found) or not found.to_html() or not found.to_dict():
            raise Finding("trace: shows nothing")

    @call()
    def look(self):
        self.say("repr(net), net.summary()")
        if not repr(self.net).startswith("Network(") or "parameters" not in self.net.summary():
            raise Finding("repr or summary say nothing")

    # --- training -------------------------------------------------------------------------------------------------------------

    def optimizer(self):
        """None, another optimizer, or the present one with other numbers."""
        if self.chance(0.4):
            return None
        if self.net.optimizer is not None and self.chance(0.4):
            return varied(self.rng, self.net.optimizer, 0.5)
        return random_optimizer(self.rng)

    def becoming(self, optimizer):
        """The network as the next step finds it: another class begins, the same with other numbers goes on."""
        now = self.net.snapshot()
        chosen = (now.optimizer or cbp.Adam(1e-3)) if optimizer is None else cbp.optimizers.get(optimizer)
        goes_on = type(chosen) is type(now.optimizer)
        state = {slot: {name: now.optimizer_state[slot][name] if goes_on and slot in now.optimizer_state
                        else values if slot == "average" else np.zeros_like(values)
                        for name, values in now.parameters.items()} for slot in chosen.slots}
        averaged = now.averaged if goes_on and "average" in now.optimizer_state else 0
        step, since = (now.step, now.since) if goes_on else (0, now.epoch)
        return replace(now, optimizer=chosen, optimizer_state=state, step=step, since=since, averaged=averaged)

    @call(4)
    def train_on_batch(self):
        batch, optimizer = self.batch(), self.optimizer()
        for _ in range(self.rng.integers(1, 4)):
            self.step(batch, optimizer)

    def step(self, batch, optimizer):
        """One update, predicted from the gradient before it."""
        subject, before = self.becoming(optimizer), fingerprint(self.net)
        twin = cbp.Network.from_snapshot(subject)
        given = {**batch.given, "optimizer": optimizer}
        loss = self.asked(f"net.train_on_batch(X, y, optimizer={optimizer}, ...)", lambda: self.net.train_on_batch(**given))
        if isinstance(loss, Exception):
            if differing(before, fingerprint(self.net)):
                raise Finding("train_on_batch: a divergence left something")
            return
        if not np.isfinite(loss):
            raise Finding(f"train_on_batch: the loss is {loss}")
        self.answers_like(batch)
        compute = self.passes(batch, training=True, subject=subject, carried=True)
        self.near("train_on_batch: loss", loss, lambda blur: compute(blur)[0], batch)
        now = self.net.snapshot()
        if now.step != subject.step + 1 or now.epoch != subject.epoch or now.optimizer != subject.optimizer:
            raise Finding(f"train_on_batch: step {now.step} after {subject.step}, epoch {now.epoch}, optimizer {now.optimizer}")
        if not self.carry:
            _, gradient = twin.gradient(**batch.given, training=True)
            self.updated(subject, now, gradient, self.untouched(batch))
        if self.calm and batch.tame:
            self.remembered(subject, now, compute, batch)
        if self.stateful:
            self.carry_on(batch, compute(None)[2])

    def answers_like(self, batch):
        """After a training outputs have the axes of its targets, where those leave out the axis of a single output."""
        *places, units = output_of(self.net)
        flat = units == 1 and batch.y.shape[1:] == tuple(places)
        if self.net.output_shape != (tuple(places) if flat else (*places, units)):
            raise Finding(f"output_shape is {self.net.output_shape} after targets of the shape {batch.y.shape}")

    def updated(self, subject, now, gradient, still):
        """Parameters and state after a step must be those that the optimizer's formula gives; rows that are ``still`` stay."""
        unit, least = float(np.finfo(self.net.dtype).eps), float(np.finfo(self.net.dtype).tiny)
        # What is smaller counts as 0, before it is divided by epsilon.
        tiny = 16 * least * max(1, 1 / getattr(subject.optimizer, "epsilon", 1))
        slopes, decays = split(gradient.astype(float), subject.parameters), set(oracle.penalised(subject))
        if not np.isfinite(gradient).all():
            return
        with np.errstate(all="ignore"):
            exact = oracle.bounded(subject, slopes)
            shaken = [oracle.bounded(subject, {name: g * (1 + 4 * unit * self.rng.normal(size=g.shape))
                                               for name, g in slopes.items()}) for _ in range(8)]
        for name in subject.parameters:
            found = [now.parameters[name], *(now.optimizer_state[slot][name] for slot in subject.optimizer.slots)]
            with np.errstate(all="ignore"):
                expected = updated_array(subject, name, exact[name], name in decays, still.get(name))
                near = [updated_array(self.disturbed(subject), name, each[name], name in decays, still.get(name))
                        for each in shaken]
            before = [subject.parameters[name], *(subject.optimizer_state[slot][name] for slot in subject.optimizer.slots)]
            for index, (got, wanted, old) in enumerate(zip(found, expected, before, strict=True)):
                spread = np.max([np.abs(each[index] - wanted) for each in near], axis=0)
                allowed = 512 * spread + 32 * unit * (np.abs(wanted) + np.abs(old) + np.abs(wanted - old)) + tiny
                if not (np.abs(got - wanted) <= allowed)[np.isfinite(wanted)].all():
                    what = ["parameter", *subject.optimizer.slots][index]
                    worst = np.unravel_index(np.nanargmax(np.abs(got - wanted) / allowed), got.shape)
                    place = tuple(map(int, worst))
                    raise Finding(f"step {now.step} of {subject.optimizer}: {what} of {name} at {place} became "
                                  f"{got[worst]:.9g}, which is {got[worst] - wanted[worst]:.3g} off, from {old[worst]:.9g} by "
                                  f"the gradient {exact[name][worst]:.9g}; {allowed[worst]:.3g} is allowed")
        self.counts["updates"] += 1

    def disturbed(self, subject):
        """The same with an optimizer whose numbers are a unit of float64 away, which counts in 1 - beta."""
        optimizer = subject.optimizer
        numbers = {name: getattr(optimizer, name) for name in optimizer.numbers.values()}
        changed = {name: value * (1 + 4e-16 * self.rng.choice([-1, 1])) for name, value in numbers.items() if value < 0.9999}
        return replace(subject, optimizer=replace(optimizer, **changed))

    def untouched(self, batch):
        """Of sparse tables the rows that a batch does not touch: name -> array of bools."""
        first, place = self.net.layers[0], "0"
        while isinstance(first, cbp.Residual):
            first, place = first.layers[0], f"{place}.0"
        if not (isinstance(first, cbp.Embedding) and first.sparse):
            return {}
        seen = batch.x.astype(int)
        if batch.lengths is not None:
            seen = seen[np.arange(seen.shape[1]) < batch.lengths[:, None]]
        rows = np.ones((first.vocabulary, 1), bool)
        rows[np.unique(seen)] = False
        return {f"{place}.weight": rows}

    def remembered(self, subject, now, compute, batch):
        """Running statistics after a step."""
        momenta = {}

        def collect(layers, prefix):
            for index, layer in enumerate(layers):
                place = f"{prefix}{index}"
                if isinstance(layer, cbp.BatchNorm):
                    momenta[place] = layer.momentum
                elif isinstance(layer, cbp.Residual):
                    collect(layer.layers, f"{place}.")

        collect(subject.layers, "")
        for place, momentum in momenta.items():
            old = [np.asarray(subject.statistics[f"{place}.{name}"], float) for name in ("mean", "variance")]

            def moved(blur, place=place, momentum=momentum, old=old):
                seen = compute(blur)[2].moments.get(place, old)
                return np.stack([o + momentum * (s - o) for o, s in zip(old, seen, strict=True)])

            found = np.stack([now.statistics[f"{place}.{name}"] for name in ("mean", "variance")])
            for index, name in enumerate(("mean", "variance")):
                self.near(f"running {name} of {place}", found[index], lambda blur, index=index: moved(blur)[index], batch,
                          scale=float(np.abs(old[index]).max()))

    @call(5)
    def fit(self):
        batch, optimizer = self.batch(plain=True), self.optimizer()
        epochs, size = int(self.pick([0, 1, 1, 2, 3])), self.pick([None, 1, 2, 3, 5, 32])
        shuffle = bool(self.chance(0.6)) and not (self.stateful and size is not None and size < len(batch))
        given = {**batch.given, "batch_size": size, "shuffle": shuffle, "optimizer": optimizer, "progress": False}
        if self.chance(0.3):
            other = random_batch(self.rng, self.net, None, self.timed)
            given["validation_data"] = (other.given["X"], other.given["y"], other.weights, other.lengths)
        threads = self.pick([1, 1, 1, 2, 3, 4, "auto"])
        told = f"batch_size={size}, shuffle={shuffle}, optimizer={optimizer}, validation={'validation_data' in given}"
        way = self.pick(["threads", "plain", "split", "resumed", "none", "none"])
        twin = None if way == "none" else loads(dumps(self.net))
        text = f"net.fit(X, y, epochs={epochs}, threads={threads!r}, {told})"
        history = self.asked(text, lambda: self.net.fit(**given, epochs=epochs, threads=threads))
        self.carry, self.rows = {}, None
        if not all(np.isfinite(values).all() for values in self.net.parameters.values()):
            raise Finding(f"{text}: left weights that are not finite")
        if isinstance(history, Exception):
            if way in ("split", "resumed"):
                twin = None  # a divergence goes back to before the call, and two calls have another before
            history = self.net.history
        elif history is not self.net.history or history.epochs != epochs:
            raise Finding(f"{text}: {history!r}")
        elif epochs and "validation_data" in given:
            x, y, weights, lengths = given["validation_data"]
            value = self.net.evaluate(x, y, weights, lengths=lengths)["loss"]
            if value != history.val_loss[-1] and not np.isnan(value):
                raise Finding(f"{text}: val_loss is {history.val_loss[-1]}, evaluate says {value}")
        if not np.isfinite(history.loss).all():
            raise Finding(f"{text}: losses {history.loss}")
        if epochs and history.epochs == epochs:
            self.answers_like(batch)
        if twin is not None:
            self.again(text, twin, way, given, epochs, batch)

    def again(self, text, twin, way, given, epochs, batch):
        """The same training in another way, which must give the same bits."""
        how = {"threads": f"threads={1 + (epochs + len(batch)) % 4}", "plain": "plain arrays", "split": "two calls",
               "resumed": "two calls, with a file between them"}[way]
        first, second = (epochs, 0) if way in ("threads", "plain") else (epochs // 2, epochs - epochs // 2)
        if way == "threads":
            given = {**given, "threads": 1 + (epochs + len(batch)) % 4}
        elif way == "plain":
            given = {**given, "X": np.array(batch.x), "y": np.array(batch.y)}
        try:
            twin.fit(**given, epochs=first)
            if way == "resumed":
                twin = loads(dumps(twin))
            if second:
                twin.fit(**given, epochs=second)
        except cbp.DivergedError:
            pass
        found = differing(fingerprint(self.net), fingerprint(twin))
        if found:
            raise Finding(f"{text}: other bits with {how}: {', '.join(found)}")
        self.counts["same bits"] += 1

    @call()
    def set_optimizer(self):
        optimizer = random_optimizer(self.rng)
        if self.chance(0.5):
            self.asked(f"net.set_optimizer({optimizer})", lambda: self.net.set_optimizer(optimizer))
        else:
            self.asked(f"net.optimizer = {optimizer}", lambda: setattr(self.net, "optimizer", optimizer))
        state = [array for slot, arrays in self.net.optimizer_state.items() for array in arrays.values() if slot != "average"]
        if self.net.step or self.net.optimizer != optimizer or any(array.any() for array in state):
            raise Finding("set_optimizer: the state is not fresh")

    @call(2)
    def freeze(self):
        """Arrays that stay, or none; not those of layers that take other statistics then."""
        usual = [name for name in self.net.parameters if not name.endswith((".scale", ".shift"))]
        names = [name for name in usual if self.chance(0.4)]
        if self.chance(0.4):
            self.asked("net.unfreeze()", lambda: self.net.unfreeze())
            names = []
        else:
            names = [*dict.fromkeys([*self.net.frozen, *names])]
            self.asked(f"net.freeze({names})", lambda: self.net.freeze(names))
        if set(self.net.frozen) != set(names):
            raise Finding(f"freeze: frozen are {self.net.frozen}")

    @call()
    def multiply_rates(self):
        given = {name: float(self.pick([0.1, 0.5, 2.0])) for name in self.net.parameters if self.chance(0.3)}
        self.asked(f"net.rate_multipliers = {given}", lambda: setattr(self.net, "rate_multipliers", given))
        if dict(self.net.rate_multipliers) != given:
            raise Finding(f"rate_multipliers are {dict(self.net.rate_multipliers)}")

    @call(3)
    def apply_gradient(self):
        """An update by a gradient that is given, which the optimizer's formula tells."""
        optimizer = self.optimizer()
        for _ in range(self.rng.integers(1, 4)):
            subject = self.becoming(optimizer)
            gradient = self.rng.normal(scale=float(self.pick([0.01, 1.0])), size=self.net.get_vector().shape)
            gradient = gradient.astype(self.net.dtype)
            done = self.asked(f"net.apply_gradient(g, {optimizer})",
                              lambda gradient=gradient: self.net.apply_gradient(gradient, optimizer))
            if isinstance(done, Exception):
                return
            now = self.net.snapshot()
            if (now.step, now.epoch, now.optimizer) != (subject.step + 1, subject.epoch, subject.optimizer):
                raise Finding(f"apply_gradient: step {now.step} after {subject.step}, epoch {now.epoch}, {now.optimizer}")
            self.updated(subject, now, gradient, {})

    # --- numbers --------------------------------------------------------------------------------------------------------------

    @call()
    def set_vector(self):
        vector = self.net.get_vector() * self.rng.choice([1, 0.5, -1], size=self.net.get_vector().shape).astype(self.net.dtype)
        given = self.pick([vector, vector.tolist(), vector.astype(np.float64), vector[::-1].copy()[::-1]])
        self.asked("net.set_vector(v)", lambda: self.net.set_vector(given))
        if self.net.get_vector().tobytes() != vector.tobytes():
            raise Finding("set_vector: get_vector gives something else")

    @call()
    def publish(self):
        """New numbers all at once; arrays that were taken before go on to show the old ones."""
        vector, before = self.net.get_vector() * -0.5, dict(self.net.parameters)
        kept = {name: np.array(values) for name, values in before.items()}
        given = self.pick([vector, split(vector, kept)])
        self.asked("net.publish(v)", lambda: self.net.publish(given))
        if self.net.get_vector().tobytes() != vector.tobytes():
            raise Finding("publish: get_vector gives something else")
        if any(before[name].tobytes() != values.tobytes() for name, values in kept.items()):
            raise Finding("publish: views from before show other numbers")

    @call()
    def assign_all(self):
        """All arrays, or one, of what is learned or measured or of the optimizer's state: values are copied."""
        name = self.pick(["parameters", "statistics", "optimizer_state"])
        whole = getattr(self.net, name)
        if name == "optimizer_state":
            given = {slot: {key: np.array(values) for key, values in arrays.items()} for slot, arrays in whole.items()}
        else:
            given = {key: np.array(values) for key, values in whole.items()}
        before = fingerprint(self.net)
        self.asked(f"net.{name} = copies of its arrays", lambda: setattr(self.net, name, given))
        if given and name != "optimizer_state":
            key = self.pick(list(given))
            self.asked(f"net.{name}[{key!r}] = a copy of it", lambda: whole.__setitem__(key, given[key]))
        for arrays in given.values():
            for values in arrays.values() if isinstance(arrays, dict) else [arrays]:
                values[...] = 7
        if differing(before, fingerprint(self.net)):
            raise Finding(f"net.{name} = its own numbers changed the network")

    @call()
    def assign(self):
        """One entry of what is learned or measured or of the optimizer's state."""
        state = {f"optimizer_state[{slot!r}][{name!r}]": array for slot, arrays in self.net.optimizer_state.items()
                 for name, array in arrays.items()}
        arrays = {**{f"parameters[{name!r}]": array for name, array in self.net.parameters.items()},
                  **{f"statistics[{name!r}]": array for name, array in self.net.statistics.items()}, **state}
        if not arrays:
            return
        name = self.pick(list(arrays))
        place = tuple(self.rng.integers(size) for size in arrays[name].shape)
        value = abs(self.rng.normal())
        self.say(f"net.{name}[{tuple(map(int, place))}] = {value}")
        arrays[name][place] = value

    @call(2)
    def copies(self):
        """A copy is the network, and goes on as it does."""
        how = self.pick(["deepcopy", "copy", "pickle", "snapshot", "save"])
        self.net.metadata["note"] = self.pick([None, 1, "ä", [1, {"b": 2.5}]])
        self.say(f"other = {how} of net")
        other = self.copied(how)
        if found := differing(fingerprint(self.net), fingerprint(other)):
            raise Finding(f"{how}: another {', '.join(found)}")
        batch = self.batch(plain=True)
        self.reset()
        results = []
        for net in (self.net, other):
            try:
                results.append(net.train_on_batch(**batch.given))
            except cbp.DivergedError:
                results.append("diverged")
        if results[0] != results[1] or (found := differing(fingerprint(self.net), fingerprint(other))):
            raise Finding(f"{how}: the copy trains differently: {results}")
        self.reset()
        if self.chance(0.5):
            self.net = other
            self.say("net = other")
        self.reset()

    def copied(self, how):
        match how:
            case "deepcopy" | "copy":
                return getattr(copy, how)(self.net)
            case "pickle":
                return pickle.loads(pickle.dumps(self.net))
            case "snapshot":
                return cbp.Network.from_snapshot(self.net.snapshot())
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "net.cbp")
            self.net.save(path)
            if os.listdir(folder) != ["net.cbp"]:
                raise Finding(f"save left {os.listdir(folder)}")
            return cbp.load(path)

    # --- what is refused ------------------------------------------------------------------------------------------------------

    @call(4)
    def misuse(self):
        batch = self.batch(plain=True)
        for _ in range(3):
            text, function = self.pick(MISUSES)
            self.asked(text, lambda function=function: function(self.net, batch), refused=True)

    @call()
    def spoiled(self):
        """A weight that is not finite: training is refused, asking works, and the weight can be set again."""
        arrays = [values for values in self.net.parameters.values() if values.size]
        if not arrays:
            return
        values, batch = self.pick(arrays), self.batch(plain=True)
        self.reset()
        place = tuple(self.rng.integers(size) for size in values.shape)
        kept, values[place] = values[place], self.pick([np.nan, np.inf, -np.inf])
        self.say(f"net.parameters[...][{tuple(map(int, place))}] = {values[place]}")
        self.asked("net.fit(X, y)", lambda: self.net.fit(**batch.given, epochs=1, batch_size=None), refused=True)
        self.asked("net.train_on_batch(X, y)", lambda: self.net.train_on_batch(**batch.given), refused=True)
        self.asked("pickle.dumps(net)", lambda: pickle.dumps(self.net), refused=True)
        self.unchanged("net.predict(X)", lambda: self.net.predict(batch.given["X"]))
        self.unchanged("net.evaluate(X, y)", lambda: self.net.evaluate(**batch.given))
        self.unchanged("net.gradient(X, y)", lambda: self.net.gradient(**batch.given))
        values[place] = kept
        self.reset()


def brief(values):
    flat = np.asarray(values).reshape(-1)
    return f"{np.array2string(flat[:6], precision=6)}{' ...' if flat.size > 6 else ''}"


def split(vector, arrays):
    """A flat vector as arrays of these names and shapes."""
    found, start = {}, 0
    for name, array in arrays.items():
        found[name] = vector[start : start + array.size].reshape(array.shape)
        start += array.size
    return found


def updated_array(subject, name, slopes, decays, still):
    """A parameter and its state after a step, in float64."""
    optimizer = subject.optimizer.at(subject.step, subject.epoch - subject.since).times(subject.rate_multipliers.get(name, 1.0))
    state = {slot: np.asarray(arrays[name], float) for slot, arrays in subject.optimizer_state.items()}
    average = state.pop("average", None)
    old = [np.asarray(subject.parameters[name], float), *state.values()]
    moved, *after = facts.OPTIMIZERS[optimizer.name].step(optimizer, subject.step + 1, slopes, *old[1:])
    new = [old[0] - moved - (optimizer.rate * optimizer.weight_decay * old[0] if decays else 0), *after]
    if still is not None:
        new = [np.where(still, before, after) for before, after in zip(old, new, strict=True)]
    if name in subject.frozen:
        new = old
    return new if average is None else [*new, oracle.average(subject, average, new[0])]
