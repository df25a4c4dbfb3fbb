"""ONNX Runtime: the net as a graph of Gemm nodes, in a session with one thread and all of its optimizations."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.workloads import Array, Workload

OPSET, IR = 17, 8  # onnx writes newer ones by itself than ONNX Runtime reads
HIDDEN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def model(workload: Workload, weights: list[Array]) -> bytes:
    nodes, constants, value, last = [], [], "x", len(weights) - 1
    for index, weight in enumerate(weights):
        bias = np.zeros(weight.shape[1], weight.dtype)
        constants += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"z{index}"]))
        value = f"z{index}"
        if index < last:
            nodes.append(helper.make_node(HIDDEN[workload.hidden], [value], [f"a{index}"]))
            value = f"a{index}"
        elif workload.classifies:
            nodes.append(helper.make_node("Softmax", [value], ["p"], axis=1))
            value = "p"
    kind = TYPES[workload.dtype]
    inputs = [helper.make_tensor_value_info("x", kind, ["rows", workload.sizes[0]])]
    outputs = [helper.make_tensor_value_info(value, kind, ["rows", workload.sizes[-1]])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return made.SerializeToString()


class Predictor:
    def __init__(self, workload: Workload, weights: list[Array]):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.run = onnxruntime.InferenceSession(model(workload, weights), options, ["CPUExecutionProvider"]).run
        self.dtype = workload.dtype

    def many(self, X: Array) -> Array:
        return self.run(None, {"x": X})[0]

    def one(self, x: Array) -> Array:
        return self.run(None, {"x": x[np.newaxis]})[0][0]

    def one_of_floats(self, x: list[float]) -> Array:
        return self.run(None, {"x": np.array([x], self.dtype)})[0][0]
