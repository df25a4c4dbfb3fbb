"""Files that are damaged, hostile or foreign: each is refused with ``ModelFileError``, and nothing else happens."""

import copy
import gzip
import io
import json
import math
import pickle
import random
import re
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
from cases import dumps, loads, small_trained_classifier

import cbp
from cbp import modelfile

DATA = dumps(small_trained_classifier())


def parts(data=DATA):
    """A file taken apart: the description, the entries of the header, and the data."""
    size = struct.unpack("<Q", data[:8])[0]
    entries = json.loads(data[8 : 8 + size])
    metadata = entries.pop("__metadata__")
    description = json.loads(metadata.pop("cbp"))
    return SimpleNamespace(description=description, entries=entries, data=bytearray(data[8 + size :]))


def container(text, data=b""):
    text = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


def assembled(parts):
    """The file again, with the checksum that it should have."""
    text = parts.description if isinstance(parts.description, str) else json.dumps(parts.description)
    checksum = zlib.crc32(parts.data, zlib.crc32(text.encode("utf-8", "surrogatepass")))
    metadata = {"crc32": f"{checksum:08x}"} | {"cbp": text}
    return container(json.dumps({"__metadata__": metadata, **parts.entries}), parts.data)


def array(parts, name):
    """One array of the data, to be written to."""
    start, end = parts.entries[name]["data_offsets"]
    return np.frombuffer(parts.data, "<f4")[start // 4 : end // 4]


def refused(data, message=None):
    with pytest.raises(cbp.ModelFileError, match=message) as caught:
        loads(data)
    assert str(caught.value).startswith("model data: ")
    assert len(str(caught.value)) < 500
    return caught.value


def test_the_parts_put_together_again_are_the_file():
    assert dumps(loads(assembled(parts()))) == DATA


# Wrong in one place, right in all others


def put(value, *place):
    """An edit that sets one value."""

    def edit(parts):
        target = vars(parts)
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value

    return edit


def drop(*place):
    def edit(parts):
        target = vars(parts)
        for key in place[:-1]:
            target = target[key]
        del target[place[-1]]

    return edit


def state(name, value):
    def edit(parts):
        array(parts, name)[-1] = value

    return edit


def swapped_names(parts):
    parts.entries["no"] = parts.entries.pop("0.bias")


def overlapping(parts):
    parts.entries["1.bias"]["data_offsets"] = parts.entries["0.bias"]["data_offsets"]


def shifted(parts):
    for entry in parts.entries.values():
        entry["data_offsets"] = [offset + 4 for offset in entry["data_offsets"]]


def doubled_kind(parts):
    parts.entries["0.weight"]["dtype"] = "F64"


def text(change):
    """An edit of the description's text."""

    def edit(parts):
        before = json.dumps(parts.description)
        parts.description = change(before)
        assert parts.description != before

    return edit


def both(*edits):
    def edit(parts):
        for each in edits:
            each(parts)

    return edit


VERSION = re.escape(cbp.__version__)
D, LAYER, OPT = "description", ("description", "layers", 1), ("description", "optimizer")
OPTIONAL = ("description", "optional")
ENTRY = ("entries", "1.weight")
ADDED = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
WRONG = {
    # format
    "newer": (put(4, D, "format"), f"written by a newer cbp {VERSION}: format 4, this cbp reads format 3 and older"),
    "newer, of a wordy writer": (
        both(put(4, D, "format"), put("x" * 300, *OPTIONAL, "cbp")), f"written by a newer cbp {'x' * 100}...: format 4"),
    "newer, of a writer that is a number": (
        both(put(4, D, "format"), put(9, *OPTIONAL, "cbp")), "written by a newer cbp: format 4"),
    "newer, with another optional": (both(put(4, D, "format"), put([9], *OPTIONAL)), "written by a newer cbp: format 4"),
    "newer, of unknown writer": (both(put(4, D, "format"), drop(*OPTIONAL, "cbp")), "written by a newer cbp: format 4"),
    "optional list": (put([], *OPTIONAL), "optional must be a JSON object"),
    "writer null": (put(None, *OPTIONAL, "cbp"), "optional: cbp must be a text"),
    "writer long": (put("9" * 101, *OPTIONAL, "cbp"), "optional: cbp must be a text of at most 100 characters"),
    "layer of a newer": (
        both(put("transformer", *LAYER, "kind"), put("9.1", *OPTIONAL, "cbp")),
        f"'transformer' is unknown; cbp 9.1 wrote it, this is cbp {VERSION}: pip install -U cbp if that is newer",
    ),
    "key of a newer": (both(put(1, D, "must"), put("9.1", *OPTIONAL, "cbp")), "unknown key 'must'; cbp 9.1 wrote it"),
    "much newer": (put("cbp 9", D, "format"), "format must be a version number"),
    "format 0": (put(0, D, "format"), "format must be a version number"),
    "format true": (put(True, D, "format"), "format must be a version number"),
    "no format": (drop(D, "format"), "format must be a version number"),
    # the description
    "no seed": (drop(D, "seed"), "it lacks seed"),
    "unknown key": (put(1, D, "code"), "unknown key 'code'"),
    "list": (put([], D), "it must be a JSON object"),
    "no JSON": (put("import os", D), "not valid JSON"),
    "inputs 0": (put([0], D, "inputs"), "inputs must be a whole number of at least 1"),
    "inputs -1": (put([-1], D, "inputs"), "inputs must be a whole number of at least 1"),
    "inputs 3.0": (put([3.0], D, "inputs"), "inputs must be a whole number of at least 1"),
    "inputs true": (put([True], D, "inputs"), "inputs must be a whole number of at least 1"),
    "inputs 3": (put(3, D, "inputs"), "inputs must be a list"),
    "inputs []": (put([], D, "inputs"), "inputs must be a number of features or the shape of one sample, got"),
    "inputs 4": (put([4], D, "inputs"), "truncated: the arrays take"),
    "inputs 2": (put([2], D, "inputs"), "bytes too long"),
    "inputs 2**60": (put([2**60], D, "inputs"), "inputs must be a whole number below"),
    "no layers": (put([], D, "layers"), "bytes too long"),
    "layers object": (put({}, D, "layers"), "layers must be a list"),
    "layer list": (put([], *LAYER), "layer 1 must be a JSON object"),
    "layer kind": (put("os.system", *LAYER, "kind"), "layer 1: kind: 'os.system' is unknown"),
    "layer kind list": (put([], *LAYER, "kind"), r"layer 1: kind: \[\] is unknown"),
    "layer no kind": (drop(*LAYER, "kind"), "layer 1: kind: None is unknown"),
    "layer no units": (drop(*LAYER, "units"), "layer 1 lacks units"),
    "layer unknown key": (put(1, *LAYER, "x"), "layer 1 has the unknown key 'x'"),
    "units 0": (put(0, *LAYER, "units"), "layer 1: units must be a whole number"),
    "units '4'": (put("4", *LAYER, "units"), "layer 1: units must be a whole number"),
    "units 2**62": (put(2**62, *LAYER, "units"), "layer 1: units must be a whole number below"),
    "units 10**300": (put(10**300, *LAYER, "units"), "layer 1: units must be a whole number below"),
    "units of 401 digits": (put(10**400, *LAYER, "units"), "an integer of more than 400 digits"),
    "activation": (put("exec", *LAYER, "activation"), "layer 1: activation: unknown name 'exec'"),
    "activation null": (put(None, *LAYER, "activation"), "layer 1: activation must be a name"),
    "activation list": (put(["relu"], *LAYER, "activation"), "layer 1: activation must be a name"),
    "activation long": (put("x" * 10**6, *LAYER, "activation"), "layer 1: a name of more than 100 characters"),
    "bias 1": (put(1, *LAYER, "bias"), "layer 1: bias must be True or False"),
    "bias off": (put(False, *LAYER, "bias"), "bytes too long"),
    "init": (put("random", *LAYER, "init"), "layer 1: init: unknown name 'random'"),
    "init list": (put([1], *LAYER, "init"), "layer 1: init must be a name, null or"),
    "init object": (put({"array": 1}, *LAYER, "init"), "layer 1: init lacks constant"),
    "init constant": (put({"constant": "1"}, *LAYER, "init"), "init value must be a finite number"),
    "init constant large": (put({"constant": 10**350}, *LAYER, "init"), "damaged description"),
    "loss": (put("mse", D, "loss", "name"), "loss: name: 'mse' is unknown"),
    "loss name list": (put([], D, "loss", "name"), "loss: "),
    "loss null": (put(None, D, "loss"), "loss must be a JSON object"),
    "loss key": (put(1, D, "loss", "delta"), "loss has the unknown key 'delta'"),
    "loss delta": (put({"name": "huber", "delta": 0}, D, "loss"), "loss: delta must be"),
    "loss without delta": (put({"name": "huber"}, D, "loss"), "loss lacks delta"),
    "loss that needs another output": (
        put("identity", D, "layers", 2, "activation"), "describes no network: loss 'cross_entropy' needs 'softmax'",
    ),
    "l1": (put(-1, D, "l1"), "l1 must be a finite number of at least 0"),
    "l1 large": (put(10**350, D, "l1"), "damaged description"),
    "l2": (put("0", D, "l2"), "l2 must be a finite number"),
    "dtype": (put("float16", D, "dtype"), "dtype: 'float16' is unknown"),
    "dtype other": (put("float64", D, "dtype"), "truncated"),
    "dtype null": (put(None, D, "dtype"), "dtype: None is unknown"),
    "seed": (put(-1, D, "seed"), "seed must be a whole number from 0"),
    "seed 2**63": (put(2**63, D, "seed"), "seed must be a whole number from 0"),
    "seed 1.0": (put(1.0, D, "seed"), "seed must be a whole number from 0"),
    "step": (put(-1, D, "step"), "step must be a whole number from 0"),
    "step 2**60": (put(2**60, D, "step"), "step must be a whole number from 0"),
    "epoch": (put(-1, D, "epoch"), "epoch must be a whole number from 0"),
    "epoch true": (put(True, D, "epoch"), "epoch must be a whole number from 0"),
    "metadata": (put([], D, "metadata"), "metadata must be a JSON object"),
    "metadata surrogate": (text(lambda text: text.replace("ä", "\\ud800").replace("\\u00e4", "\\ud800")), "surrogate"),
    "optimizer": (put("unheard", *OPT, "name"), "optimizer: name: 'unheard' is unknown"),
    "optimizer text": (put("adam", *OPT), "optimizer must be a JSON object"),
    "optimizer rate": (put(-1, *OPT, "rate"), "optimizer: rate must be a finite number above 0"),
    "optimizer rate large": (put(10**350, *OPT, "rate"), "optimizer: "),
    "optimizer beta": (put(1, *OPT, "beta1"), "optimizer: beta1 must be"),
    "optimizer key": (put(1, *OPT, "momentum"), "optimizer has the unknown key 'momentum'"),
    "optimizer of steps": (put(None, *OPT), "step must be 0 where there is no optimizer"),
    "NaN": (text(lambda text: text.replace("0.001", "NaN")), "NaN is no JSON number"),
    "Infinity": (text(lambda text: text.replace("0.001", "-Infinity")), "-Infinity is no JSON number"),
    "1e999": (text(lambda text: text.replace("0.001", "1e999")), "1e999 is out of range"),
    "long float": (text(lambda text: text.replace("0.001", "0.001" + "0" * 1000)), "more than 400 digits"),
    "twice": (text(lambda text: text[:-1] + ', "seed": 1}'), "the key 'seed' occurs twice"),
    "twice in a layer": (text(lambda text: text.replace('"units": 4', '"units": 4, "units": 4')), "occurs twice"),
    "behind": (text(lambda text: text + "{}"), "not valid JSON"),
    "deep": (text(lambda text: text.replace('["\\u00e4"', "[" * 5000 + "]" * 5000 + ', ["a"')), "nested too deeply"),
    "open": (text(lambda text: "[" * 100_000), "nested too deeply"),
    "many": (text(lambda text: "[" + "[]," * 700_000), "more than 1,000,000 items"),
    # the entries of the header
    "missing": (drop("entries", "1.bias"), "the array '1.bias' is missing"),
    "renamed": (swapped_names, "the array '0.bias' is missing"),
    "additional": (put(ADDED, "entries", "../../x"), "has no array '../../x'"),
    "entry list": (put([], *ENTRY), "'1.weight' must have dtype, shape and data_offsets"),
    "entry key": (put(1, *ENTRY, "x"), "'1.weight' must have dtype, shape and data_offsets"),
    "entry lacks": (drop(*ENTRY, "dtype"), "'1.weight' must have dtype, shape and data_offsets"),
    "dtype F64": (put("F64", *ENTRY, "dtype"), "the dtype of '1.weight' must be F32"),
    "dtype I32": (put("I32", *ENTRY, "dtype"), "the dtype of '1.weight' must be F32"),
    "dtype list": (put([], *ENTRY, "dtype"), "the dtype of '1.weight' must be F32"),
    "shape flat": (put([16], *ENTRY, "shape"), r"the shape of '1.weight' must be \[4, 4\]"),
    "shape floats": (put([4.0, 4.0], *ENTRY, "shape"), r"the shape of '1.weight' must be \[4, 4\]"),
    "shape other": (put([2, 8], *ENTRY, "shape"), r"the shape of '1.weight' must be \[4, 4\]"),
    "shape null": (put(None, *ENTRY, "shape"), r"the shape of '1.weight' must be \[4, 4\]"),
    "offsets overlapping": (overlapping, "should begin at"),
    "offsets shifted": (shifted, "'0.weight' should begin at 0, not at 4"),
    "offsets short": (put([64, 124], *ENTRY, "data_offsets"), "needs two data_offsets that are 64 bytes apart"),
    "offsets one": (put([64], *ENTRY, "data_offsets"), "needs two data_offsets"),
    "offsets three": (put([64, 128, 192], *ENTRY, "data_offsets"), "needs two data_offsets"),
    "offsets negative": (put([-64, 0], *ENTRY, "data_offsets"), "should begin at"),
    "offsets floats": (put([64.0, 128.0], *ENTRY, "data_offsets"), "needs two data_offsets"),
    "offsets large": (put([2**64, 2**64 + 64], *ENTRY, "data_offsets"), "should begin at"),
    "offsets null": (put(None, *ENTRY, "data_offsets"), "needs two data_offsets"),
    # the data
    "weight NaN": (state("1.weight", np.nan), "1.weight holds a value that is not finite"),
    "bias inf": (state("1.bias", np.inf), "1.bias holds a value that is not finite"),
    "mean NaN": (state("optimizer.mean.1.bias", np.nan), "optimizer.mean.1.bias holds a value that is not finite"),
    "variance below 0": (state("optimizer.variance.1.bias", -1e-9), "optimizer.variance.1.bias holds a value below 0"),
    "byte too many": (lambda parts: parts.data.append(0), "1 bytes too long"),
    "byte too few": (lambda parts: parts.data.pop(), "truncated"),
}


def test_a_running_variance_below_0_is_refused():
    net = cbp.Network(3, [cbp.Residual([cbp.BatchNorm()]), cbp.BatchNorm()], loss="mean_squared_error")
    for name in ("0.0.variance", "1.variance"):
        edited = parts(dumps(net))
        state(name, -1)(edited)
        refused(assembled(edited), f"{name} holds a value below 0")
    edited = parts(dumps(net))
    state("1.mean", -1)(edited)
    state("1.variance", 0)(edited)
    assert np.isfinite(loads(assembled(edited)).predict(np.ones((1, 3)))).all()


@pytest.mark.parametrize("case", WRONG)
def test_one_wrong_value_is_refused_with_its_reason(case):
    edit, message = WRONG[case]
    edited = parts()
    edit(edited)
    refused(assembled(edited), message)


def test_values_that_another_writer_may_give():
    edited = parts()
    put(0, D, "l1")(edited)
    put(None, *LAYER, "init")(edited)
    assert dumps(loads(assembled(edited))) == DATA
    put({"constant": 1}, *LAYER, "init")(edited)
    assert loads(assembled(edited)).layers[1] == cbp.Dense(4, "tanh", init=1.0)


# Wrong as a container


ENTRIES = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
FOREIGN = "a safetensors file, but without cbp's description"
NOT_MODELS = {
    "empty": (b"", "the file is empty, not a cbp model file"),
    "one byte": (b"x", "not a cbp model file"),
    "a length": (struct.pack("<Q", 2), "not a cbp model file"),
    "nothing in it": (container("{}"), FOREIGN),
    "length 0": (struct.pack("<Q", 0) + b"{}", "not a cbp model file"),
    "length 1": (struct.pack("<Q", 1) + b"{}", "not a cbp model file"),
    "length 2**64 - 1": (b"\xff" * 8 + b"{}", "not a cbp model file: a header of 18,446,744,073,709,551,615 bytes"),
    "length 2**63": (struct.pack("<Q", 2**63) + b"{}", "not a cbp model file: a header of"),
    "length 17 million": (struct.pack("<Q", 17_000_000) + b"{}", "not a cbp model file: a header of 17,000,000 bytes"),
    "length 3": (struct.pack("<Q", 3) + b"{}", "truncated: the header ends at byte 11, the file at byte 10"),
    "length short": (struct.pack("<Q", 2) + DATA[8:], "damaged header: header: not valid JSON"),
    "text": (b'{"a": 1, "b": [2, 3]}', "not a cbp model file"),
    "list": (container("[]"), "not a cbp model file"),
    "space before": (container(' {"__metadata__":{}}'), "not a cbp model file"),
    "BOM": (container('\ufeff{"__metadata__":{}}'), "not a cbp model file"),
    "not UTF-8": (struct.pack("<Q", 6) + b'{"\xff":1', "damaged header"),
    "surrogate": (container('{"\udfff":1}'), "damaged header"),
    "escaped surrogate": (container('{"\\udfff":1}'), "damaged header: header: half a surrogate pair"),
    "open": (container('{"a":'), "damaged header: header: not valid JSON"),
    "more behind": (container("{}{}"), "damaged header: header: not valid JSON"),
    "NUL behind": (container("{}\0"), "damaged header: header: not valid JSON"),
    "twice": (container("{" + ENTRIES + "," + ENTRIES + "}", b"1234"), "the key 'a' occurs twice"),
    "metadata twice": (container('{"__metadata__":{},"__metadata__":{}}'), "the key '__metadata__' occurs twice"),
    "metadata list": (container('{"__metadata__":[]}'), "__metadata__ must map strings to strings"),
    "metadata number": (container('{"__metadata__":{"cbp":1}}'), "__metadata__ must map strings to strings"),
    "metadata nested": (container('{"__metadata__":{"cbp":"{}","x":{}}}'), "__metadata__ must map strings to strings"),
    "no description": (container('{"__metadata__":{"cbp":""}}'), "not valid JSON"),
    "no format": (container('{"__metadata__":{"cbp":"{}"}}'), "format must be a version number"),
    "deep": (container('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "header: nested too deeply"),
    "deep and broken": (container('{"a":' + '{"a":' * 100_000), "header: nested too deeply"),
    "digits": (container('{"a":' + "1" * 100_000 + "}"), "an integer of more than 400 digits"),
    "many": (container('{"a":[' + "0," * 1_000_000 + "0]}"), "more than 1,000,000 items"),
    "zip": (b"PK\x03\x04" + bytes(100), "not a cbp model file, but a zip archive"),
    "pickle": (pickle.dumps(list(range(100))), "not a cbp model file, but a pickle"),
    "pickle 2": (pickle.dumps([1, 2, 3], 2), "not a cbp model file, but a pickle"),
    "gzip": (gzip.compress(DATA), "not a cbp model file, but a gzip archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a cbp model file, but an HDF5 file"),
    "safetensors": (safetensors.numpy.save({"a": np.zeros(3)}), FOREIGN),
    "safetensors with metadata": (safetensors.numpy.save({"a": np.zeros(3)}, {"format": "pt"}), FOREIGN),
}


@pytest.mark.parametrize("case", NOT_MODELS)
def test_what_is_no_model_file_is_refused_with_its_reason(case):
    data, message = NOT_MODELS[case]
    refused(data, re.escape(message))


def test_arrays_of_numpy_are_foreign():
    for save, message in ((np.save, "a NumPy array"), (lambda file, data: np.savez(file, a=data), "a zip archive")):
        file = io.BytesIO()
        save(file, np.zeros(3))
        refused(file.getvalue(), f"not a cbp model file, but {message}")


def test_a_checksum_is_needed_and_must_fit():
    edited = parts()
    entries = {"__metadata__": {"cbp": json.dumps(edited.description)}, **edited.entries}
    refused(container(json.dumps(entries), edited.data), "damaged: the checksum does not fit the content")
    entries["__metadata__"]["crc32"] = "00000000"
    refused(container(json.dumps(entries), edited.data), "damaged: the checksum does not fit the content")


# Memory


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def huge(parts):
    parts.description["inputs"] = [2**20]
    parts.description["layers"] = [{**layer, "units": 2**20} for layer in parts.description["layers"]]
    end = 0
    for name, entry in parts.entries.items():
        entry["shape"] = [2**20, 2**20] if name.endswith("weight") else [2**20]
        start, end = end, end + 4 * math.prod(entry["shape"])
        entry["data_offsets"] = [start, end]


def test_a_small_file_that_describes_a_huge_network_allocates_little():
    edited = parts()
    huge(edited)
    data = assembled(edited)
    assert peak(lambda: refused(data, "truncated: the arrays take 39,.* bytes, the file has")) < 2**20


def described(layers, inputs, arrays=()):
    """A file of a few bytes that claims to hold these layers, described, and arrays of these names and shapes."""
    edited = parts()
    edited.description |= {"inputs": inputs, "layers": layers, "optimizer": None, "step": 0}
    edited.description["loss"]["name"] = "mean_squared_error"
    edited.entries, edited.data, end = {}, bytearray(), 0
    for name, shape in arrays:
        start, end = end, end + 4 * math.prod(shape)
        edited.entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    return assembled(edited)


def layer(made):
    """The description of a layer."""
    return modelfile.description._describe_layer(made)


UNITS = 10**8
CLAIMS = {
    "LSTM": ([layer(cbp.LSTM(UNITS))], [5, 1], [
        ("0.weight", [1, 4, UNITS]), ("0.recurrent", [UNITS, 4, UNITS]), ("0.bias", [4, UNITS])]),
    "flatten": ([layer(cbp.Flatten())], [2**47, 2**47], []),
    "dropout": ([layer(cbp.Dropout(0.1))], [2**47, 2**47], []),
    "pool": ([layer(cbp.GlobalMaxPool())], [2**47, 2**47], []),
    "padding": ([layer(cbp.DepthwiseConv2D(1, bias=False)) | {"padding": 2**31 - 1}], [4, 4, 1], [("0.weight", [1, 1, 1])]),
    "dilation": ([layer(cbp.DepthwiseConv2D(3, padding="same", dilation=2**30, bias=False))], [4, 4, 1],
                 [("0.weight", [3, 3, 1])]),
    "axes": ([layer(cbp.Flatten())], [2**47] * 20_000, []),
    "axes of a layer": ([{"kind": "reshape", "shape": [2**47] * 20_000}], [4], []),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_sizes_that_no_machine_holds_are_refused_before_anything_is_allocated(claim):
    data = described(*CLAIMS[claim])
    assert peak(lambda: refused(data)) < 2**20 + 10 * len(data)


def test_blocks_inside_blocks_cost_no_more_than_their_number():
    """Twice as much for every level would be a day for the thirty that a description may nest."""
    calls = 0

    class Counted(cbp.Dropout):
        def output_shape(self, input_shape):
            nonlocal calls
            calls += 1
            return super().output_shape(input_shape)

    block = Counted(0.1)
    for _ in range(28):
        block = cbp.Residual([block])
    assert block.output_shape((3,)) == (3,)
    assert calls == 1
    block.parameters((3,))
    assert calls < 40
    nested = cbp.Dropout(0.1)
    for _ in range(25):
        nested = cbp.Residual([nested])
    net = cbp.Network(3, [nested, cbp.Dense(2)], loss="mean_squared_error", seed=0)
    assert dumps(loads(dumps(net))) == dumps(net)


def test_a_header_length_beyond_the_file_allocates_little():
    data = struct.pack("<Q", 16_000_000) + b'{"a":1}'
    assert peak(lambda: refused(data, "truncated")) < 2**20


@pytest.mark.parametrize("unit", ["[", "[],", "{},", '"",', "0,", '""', '"a":{},', '\\"', "\U0001f600", " "])
def test_the_largest_headers_take_a_bounded_amount_of_memory(unit):
    size = 300_000
    for opening in ('{"a":[', '{"a":"', "{"):
        text = opening + unit * (size // len(unit.encode()))
        assert peak(lambda text=text: refused(container(text))) < 100 * size


# Changed at random


def survives(data):
    """Whether the bytes are a model file; if they are, the network works and can be saved again."""
    try:
        net = loads(data)
    except cbp.ModelFileError:
        return False
    again = dumps(net)
    assert dumps(loads(again)) == again
    with np.errstate(over="ignore"):
        net.predict(np.zeros((1, *net.input_shape)))
    return True


VALUES = [0, 1, -1, 2, 3, 4, 5, 2**31, 2**63, 2**64, 10**30, 0.5, 1.0, -0.0, 1e308, True, False, None, "", "x"]
VALUES += ["adam", "relu", "softmax", "hinge", "float64", "F64", [], {}, [1], [[]], {"": 0}, [0, 4], {"constant": 1}]


def places(value):
    """Every (container, key) inside a value."""
    found, containers = [], [value]
    for container in containers:
        for key, item in container.items() if isinstance(container, dict) else enumerate(container):
            found.append((container, key))
            if isinstance(item, (dict, list)):
                containers.append(item)
    return found


def test_files_changed_at_random_with_a_right_checksum():
    rng = random.Random(1)
    original = pickle.dumps(parts())
    survived = 0
    for _ in range(3000):
        edited = pickle.loads(original)
        for _ in range(rng.choice([1, 1, 2, 4])):
            known = places({"description": edited.description, "entries": edited.entries})[2:]
            if not known:
                continue
            container, key = rng.choice(known)
            other, other_key = rng.choice(known)
            match rng.randrange(6):
                case 0 | 1 | 2:
                    container[key] = copy.deepcopy(rng.choice(VALUES))
                case 3:
                    container[key] = copy.deepcopy(other[other_key])
                case 4:
                    container.pop(key)
                case 5 if edited.data:
                    edited.data[rng.randrange(len(edited.data))] ^= 1 << rng.randrange(8)
        survived += survives(assembled(edited))
    assert survived > 100  # or the changes were too wild to test much
