"""Makes the vectors of this folder: what TensorFlow Lite's int8 kernels compute.

    python make.py            # writes *.safetensors and manifest.json beside this file

Each case is a small Keras graph, quantized after training by TensorFlow Lite's converter: int8
activations, int8 weights with a scale per output channel, int32 biases. The graph runs with the
reference kernels, with the optimized ones, and with XNNPACK; what they give is written down.

The script also computes every operation on its own, from the operation's stored inputs: exactly, with
integer sums and one rounding of real numbers, and asserts that the reference kernels are within the
operation's tolerance of that; and, for the operations with weights, with TensorFlow Lite's own fixed-point
arithmetic, and asserts that these are the same integers.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import contextlib
import io
import json
import math
import pathlib
import warnings
import zlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from safetensors.numpy import save_file
from tensorflow.lite.python import schema_py_generated as schema

warnings.filterwarnings("ignore")
FOLDER = pathlib.Path(__file__).parent
RESOLVER = tf.lite.experimental.OpResolverType
ACTIVATIONS = {0: None, 1: "relu", 3: "relu6"}
WEIGHTED = ("Dense", "Conv2D", "DepthwiseConv2D")
EXACT = ("MaxPool2D", "AveragePooling2D", "GlobalMaxPooling2D")

# ---------------------------------------------------------------------------------------------- cases


class Case:
    """A graph: a function from Keras tensors to a Keras tensor, and what calibrates it.

    `ranges` has one (low, high) per input; `calibrate` draws the samples that the converter sees.
    `inputs` says which int8 inputs to run: see `draw_inputs`.
    """

    def __init__(self, id, graph, shapes, ranges=((-1, 2),), calibrate=None, inputs=None, note=None):
        self.id, self.graph, self.shapes, self.ranges = id, graph, shapes, ranges
        self.calibrate, self.note = calibrate or mostly_smaller, note
        self.inputs = inputs or ("many" if math.prod(shapes[0]) <= 20 else "few")


def normal(scale=None):
    """An initializer: normal, of deviation 1 / sqrt(inputs) or `scale` (which may be one per channel)."""

    def init(shape, dtype=None):
        deviation = 1 / math.sqrt(np.prod(shape[:-1])) if scale is None else scale
        return (RNG.normal(size=shape) * deviation).astype("f")

    return init


def zero_channel(shape, dtype=None):
    """An initializer: normal, but for a channel of zeros."""
    kernel = normal()(shape)
    kernel[..., 2] = 0
    return kernel


def dense(units, kernel=None, bias=0.3, **rest):
    bias = {"bias_initializer": normal(bias)} if bias is not None else {"use_bias": False}
    return layers.Dense(units, kernel_initializer=kernel or normal(), **bias, **rest)


def conv(filters, size=3, padding="same", **rest):
    return layers.Conv2D(
        filters, size, padding=padding, kernel_initializer=normal(), bias_initializer=normal(0.3), **rest
    )


def depthwise(multiplier=1, size=3, padding="same", **rest):
    return layers.DepthwiseConv2D(
        size, depth_multiplier=multiplier, padding=padding,
        depthwise_initializer=normal(0.3), bias_initializer=normal(0.3), **rest,
    )


def separable(filters, **rest):
    return layers.SeparableConv2D(
        filters, 3, depthwise_initializer=normal(0.3), pointwise_initializer=normal(),
        bias_initializer=normal(0.3), **rest,
    )


def mostly_smaller(case, rng):
    """Mostly at most 0.6 of the range, some at its ends: later, random int8 inputs saturate outputs."""
    draw = lambda shape, low, high: np.where(
        rng.random((1, *shape)) < 0.05, rng.choice([low, high], (1, *shape)), 0.6 * rng.uniform(low, high, (1, *shape))
    )
    return [draw(shape, *span) for shape, span in zip(case.shapes, case.ranges)]


def first_two_equal(case, rng):
    """Three features; a kernel of 1, -1 and little takes the two equal ones from each other."""
    both, third = rng.uniform(-1, 1, 2)
    return [np.array([[both, both, third]])]


def constant_images(case, rng):
    """Images of one value: their means span what the images span."""
    return [np.full((1, *shape), rng.choice(span)) for shape, span in zip(case.shapes, case.ranges)]


def small_network(x):
    x = conv(4, activation="relu")(x)
    x = layers.MaxPool2D(2)(x)
    x = conv(6, padding="valid", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Softmax()(dense(5, normal(1.5))(x))


def residual_network(x):
    x = conv(4, activation="relu")(x)
    branch = conv(4)(conv(4, activation="relu")(x))
    x = layers.ReLU()(layers.Add()([x, branch]))
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    return dense(3)(x)


def cases():
    image, odd, table = (6, 5, 3), (7, 5, 3), (256,)
    yield Case("dense", dense(7), [(20,)])
    yield Case("dense_relu", dense(7, activation="relu"), [(20,)], [(0, 1)])
    yield Case("dense_relu6", dense(7, normal(1.5), activation="relu6"), [(20,)])
    yield Case("dense_no_bias", dense(7, bias=None), [(20,)], [(-1, 1)])
    yield Case("dense_1_input", dense(3), [(1,)])
    yield Case("dense_1_output", dense(1), [(20,)])
    yield Case("dense_zero_channel", dense(7, zero_channel), [(20,)])
    yield Case("dense_zero_channel_no_bias", dense(7, zero_channel, bias=None), [(20,)])
    fine = lambda shape, dtype=None: np.array([[1], [-1], [0.005]], "f")
    yield Case(
        "dense_fine_output", dense(1, fine, bias=None), [(3,)], [(-1, 1)], first_two_equal,
        note="the real multiplier is above 1",
    )
    yield Case("dense_tiny", dense(4, normal(1e-6), bias=None), [(20,)], note="weights around 1e-6")
    yield Case(
        "dense_below_tiny", dense(4, normal(1e-8), bias=None), [(20,)],
        note="weights around 1e-8: the converter takes no channel of weights to span less than 1e-6",
    )
    yield Case("dense_huge", dense(4, normal(1e6), bias=1e6), [(20,)], note="weights and biases around 1e6")
    yield Case(
        "dense_decades", dense(4, normal(np.array([1e-6, 1e-6, 1e6, 1e6])), bias=None), [(20,)],
        note="channels around 1e-6 beside channels around 1e6: the multipliers of the former round to 0",
    )
    yield Case(
        "dense_tiny_bias_1", dense(4, normal(1e-6), bias=1), [(20,)],
        note="weights around 1e-6, biases around 1: the converter widens the weights' scales until "
        "biases are at most 2^30, which leaves the weights few of int8's values",
    )

    for channels, filters in [(1, 1), (3, 3), (4, 8), (8, 5)]:
        yield Case(f"conv2d_3x3_same_c{channels}_f{filters}", conv(filters), [(4, 5, channels)])
    yield Case("conv2d_3x3_valid_s2_odd", conv(4, padding="valid", strides=2), [odd])
    yield Case("conv2d_3x3_same_s2_odd", conv(4, strides=2), [odd])
    yield Case("conv2d_3x3_same_s2_even", conv(4, strides=2), [(6, 8, 3)])
    yield Case("conv2d_1x1", conv(5, 1), [(4, 5, 4)])
    yield Case("conv2d_1x1_s2", conv(5, 1, strides=2), [(5, 4, 3)])
    yield Case("conv2d_5x5_small_image", conv(3, 5), [(3, 4, 2)])
    yield Case("conv2d_3x3_same_d2", conv(3, dilation_rate=2), [image])
    yield Case("conv2d_3x3_valid_d2", conv(3, padding="valid", dilation_rate=2), [odd])
    yield Case("conv2d_1x3", conv(3, (1, 3)), [image])
    yield Case("conv2d_3x2_s12", conv(3, (3, 2), strides=(1, 2)), [image])
    yield Case("conv2d_relu", conv(4, activation="relu"), [image], [(0, 1)])
    yield Case("conv2d_relu6", conv(4, activation="relu6"), [image], [(-5, 10)])

    yield Case("depthwise_3x3", depthwise(), [image])
    yield Case("depthwise_3x3_m2", depthwise(2), [image])
    yield Case("depthwise_3x3_s2", depthwise(strides=2), [odd])
    yield Case("depthwise_3x3_m2_s2_valid", depthwise(2, padding="valid", strides=2), [(7, 7, 2)])
    yield Case("depthwise_3x3_m3_c1", depthwise(3), [(5, 5, 1)])
    yield Case("depthwise_3x3_d2", depthwise(dilation_rate=2), [image])
    yield Case("depthwise_5x5_relu6", depthwise(size=5, activation="relu6"), [(5, 5, 2)], [(-5, 10)])
    yield Case("separable", separable(5), [(5, 6, 3)])
    yield Case("separable_m2_relu", separable(4, depth_multiplier=2, padding="same", activation="relu"), [(5, 4, 3)])

    yield Case("max_pool_2x2", layers.MaxPool2D(2), [image])
    yield Case("max_pool_3x3_s2_same_odd", layers.MaxPool2D(3, 2, padding="same"), [(7, 5, 3)])
    yield Case("avg_pool_2x2", layers.AveragePooling2D(2), [image])
    yield Case("avg_pool_3x3_s2_same_odd", layers.AveragePooling2D(3, 2, padding="same"), [(7, 5, 3)])
    yield Case("global_avg_pool", layers.GlobalAveragePooling2D(), [(5, 6, 4)], inputs="many")
    yield Case(
        "global_avg_pool_same_scale", layers.GlobalAveragePooling2D(), [(5, 6, 4)], [(-1, 2)], constant_images,
        inputs="many",
        note="calibrated with images of one value, so that input and output have one scale",
    )
    yield Case("global_max_pool", layers.GlobalMaxPooling2D(), [(5, 6, 4)], inputs="many")

    two = [(3, 3, 2)] * 2
    yield Case("add", lambda a, b: layers.Add()([a, b]), two, [(-1, 1), (-5, 3)])
    yield Case("add_wide", lambda a, b: layers.Add()([a, b]), two, [(-1, 1), (-40, 20)])
    yield Case("add_relu", lambda a, b: layers.ReLU()(layers.Add()([a, b])), two, [(-1, 2), (-4, 4)])
    for classes, width, name in [(5, 1, "narrow"), (5, 20, "wide"), (10, 5, "middle"), (10, 200, "huge")]:
        yield Case(f"softmax_{classes}_{name}", layers.Softmax(), [(classes,)], [(-width, width)])
    yield Case("relu", layers.ReLU(), [table], [(-1.234, 2)], inputs="table")
    yield Case(
        "relu_ties", layers.ReLU(), [table], [(-1, 2)], inputs="table",
        note="the kernels divide the scales in float32, which gives 1.5; in float64 the ratio is just below: every "
        "other value is a tie for them, and just below one for `exact`",
    )
    yield Case("relu_same_scale", layers.ReLU(), [table], [(0, 1)], inputs="table")
    yield Case("relu6", layers.ReLU(6.0), [table], [(-3, 9)], inputs="table")
    yield Case("leaky_relu", layers.LeakyReLU(negative_slope=0.1), [table], inputs="table")
    yield Case("leaky_relu_03", layers.LeakyReLU(negative_slope=0.3), [table], [(-4, 1)], inputs="table")
    yield Case("sigmoid", layers.Activation("sigmoid"), [table], [(-3, 4)], inputs="table")
    yield Case("sigmoid_wide", layers.Activation("sigmoid"), [table], [(-20, 15)], inputs="table")
    yield Case("tanh", layers.Activation("tanh"), [table], [(-2, 3)], inputs="table")
    yield Case("tanh_wide", layers.Activation("tanh"), [table], [(-20, 15)], inputs="table")

    yield Case("net_small", small_network, [(8, 8, 1)], [(0, 1)], inputs="many")
    yield Case("net_residual", residual_network, [(6, 6, 2)])


def draw_inputs(case, rng):
    """int8 inputs, one array [n, ...] per input of the graph: all values in one sample; or a few samples,
    or many; among both, samples of one value. Of two inputs, the last sample has -128 in the first, 127
    in the second."""
    if case.inputs == "table":
        return [np.arange(-128, 128, dtype=np.int8)[None]]
    drawn = []
    for i, shape in enumerate(case.shapes):
        random = lambda n, low, high: list(rng.integers(low, high, (n, *shape), endpoint=True))
        every = lambda value: np.full(shape, value)
        if case.inputs == "many":
            samples = random(4, -128, 127) + random(3, -30, 30) + random(2, 90, 127)
            samples += [every(value) for value in rng.integers(-128, 127, 3, endpoint=True)]
        else:
            samples = random(2, -128, 127) + random(1, -40, 40)
        samples += [every(-128), every(127)]
        if len(case.shapes) > 1:
            samples.append(every((-128, 127)[i]))
        drawn.append(np.array(samples, np.int8))
    return drawn


# ------------------------------------------------------------------------------- TensorFlow Lite's side


def convert(case, rng):
    """The quantized model, as the bytes of a .tflite file."""
    inputs = [keras.Input(shape, batch_size=1) for shape in case.shapes]
    model = keras.Model(inputs, case.graph(*inputs))

    def samples():
        for _ in range(100):
            yield [part.astype("f") for part in case.calibrate(case, rng)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = False
    with contextlib.redirect_stdout(io.StringIO()):
        return converter.convert()


def run(model, resolver, inputs, keep=()):
    """The output, and the tensors of the indices in `keep`; one sample at a time."""
    interpreter = tf.lite.Interpreter(
        model_content=model, experimental_op_resolver_type=resolver, experimental_preserve_all_tensors=bool(keep)
    )
    interpreter.allocate_tensors()
    wanted = [interpreter.get_output_details()[0]["index"], *keep]
    rows = []
    for sample in zip(*inputs):
        for detail, part in zip(interpreter.get_input_details(), sample):
            interpreter.set_tensor(detail["index"], part[None])
        interpreter.invoke()
        rows.append([interpreter.get_tensor(index).copy() for index in wanted])
    return [np.concatenate(column) for column in zip(*rows)]


class Graph:
    """The operations of a .tflite file in Keras's terms, and its tensors with their quantization."""

    def __init__(self, model):
        file = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
        assert len(file.subgraphs) == 1
        self.file, self.graph = file, file.subgraphs[0]
        self.inputs, (self.output,) = list(self.graph.inputs), self.graph.outputs
        codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.skipped = {}  # output of a reshape: its input
        self.ops = []
        for operator in self.graph.operators:
            name = codes[file.operatorCodes[operator.opcodeIndex].builtinCode]
            if name == "RESHAPE":
                self.skipped[operator.outputs[0]] = operator.inputs[0]
            else:
                self.ops.append(self.read(name, operator))

    def constant(self, index):
        """The elements of a constant tensor."""
        tensor = self.graph.tensors[index]
        dtype = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}[tensor.type]
        return np.frombuffer(bytes(self.file.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)

    def activation(self, index):
        """Scale and zero point of an activation: int8, one of each."""
        tensor = self.graph.tensors[index]
        assert tensor.type == schema.TensorType.INT8
        (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zeroPoint
        return float(np.float32(scale)), int(zero_point)

    def read(self, name, operator):
        options, hyper, layer = operator.builtinOptions, {}, None
        op = {"inputs": [int(operator.inputs[0])], "output": int(operator.outputs[0])}
        if name in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
            axis = 3 if name == "DEPTHWISE_CONV_2D" else 0
            kernel, quantization = self.constant(operator.inputs[1]), self.graph.tensors[operator.inputs[1]].quantization
            assert kernel.dtype == np.int8 and not np.any(quantization.zeroPoint)
            assert len(quantization.scale) == kernel.shape[axis] and (quantization.quantizedDimension or 0) == axis
            op["scale"] = np.asarray(quantization.scale, np.float32)
            if operator.inputs[2] >= 0:
                op["bias"] = self.constant(operator.inputs[2])
                bias_scale = self.graph.tensors[operator.inputs[2]].quantization.scale
                expected = self.activation(op["inputs"][0])[0] * op["scale"]
                assert op["bias"].dtype == np.int32 and np.allclose(bias_scale, expected, rtol=1e-6, atol=0)
        if name == "FULLY_CONNECTED":
            layer, op["kernel"] = "Dense", kernel.T
            hyper["units"] = kernel.shape[0]
        elif name == "CONV_2D":
            layer, op["kernel"] = "Conv2D", kernel.transpose(1, 2, 3, 0)
            hyper.update(filters=kernel.shape[0], kernel_size=list(kernel.shape[1:3]))
        elif name == "DEPTHWISE_CONV_2D":
            layer, multiplier = "DepthwiseConv2D", options.depthMultiplier
            op["kernel"] = kernel.reshape(*kernel.shape[1:3], -1, multiplier)
            hyper.update(depth_multiplier=multiplier, kernel_size=list(kernel.shape[1:3]))
        elif name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
            layer = {"MAX_POOL_2D": "MaxPool2D", "AVERAGE_POOL_2D": "AveragePooling2D"}[name]
            hyper["pool_size"] = [options.filterHeight, options.filterWidth]
        elif name in ("MEAN", "REDUCE_MAX"):
            layer = {"MEAN": "GlobalAveragePooling2D", "REDUCE_MAX": "GlobalMaxPooling2D"}[name]
            assert list(self.constant(operator.inputs[1])) == [1, 2]
        elif name == "ADD":
            layer = "Add"
            op["inputs"].append(int(operator.inputs[1]))
        elif name == "LEAKY_RELU":
            layer, hyper["negative_slope"] = "LeakyReLU", options.alpha
        elif name == "SOFTMAX":
            layer = "Softmax"
            assert options.beta == 1
        else:
            layer = {"RELU": "ReLU", "RELU6": "ReLU6", "LOGISTIC": "Sigmoid", "TANH": "Tanh"}[name]
        if hasattr(options, "strideH"):
            hyper["strides"] = [options.strideH, options.strideW]
            hyper["padding"] = {schema.Padding.SAME: "same", schema.Padding.VALID: "valid"}[options.padding]
        if hasattr(options, "dilationHFactor"):
            hyper["dilation_rate"] = [options.dilationHFactor, options.dilationWFactor]
        if hasattr(options, "fusedActivationFunction"):
            hyper["activation"] = ACTIVATIONS[options.fusedActivationFunction]
        return {"layer": layer, "hyper": hyper} | op


# ------------------------------------------------------------------------------- recomputing operations


def round_away(value):
    """To the nearest integer, ties away from zero."""
    return np.sign(value) * np.floor(np.abs(value) + 0.5)


def windows(x, size, hyper, outside):
    """For each place (row, column) of a window: what lies under it, for all output pixels."""
    pads, counts = [], []
    dilation = hyper.get("dilation_rate", [1, 1])
    for n, k, stride, d in zip(x.shape[1:3], size, hyper["strides"], dilation):
        reach = (k - 1) * d + 1
        count = -(-n // stride) if hyper["padding"] == "same" else (n - reach) // stride + 1
        total = max((count - 1) * stride + reach - n, 0) if hyper["padding"] == "same" else 0
        pads.append((total // 2, total - total // 2))
        counts.append(count)
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=outside)
    for place in np.ndindex(*size):
        rows, columns = (
            slice(p * d, p * d + (count - 1) * stride + 1, stride)
            for p, d, count, stride in zip(place, dilation, counts, hyper["strides"])
        )
        yield place, x[:, rows, columns]


def sums(op, x, zero_point):
    """The accumulators of an operation with weights, in integers."""
    x, kernel = x.astype(np.int64) - zero_point, op["kernel"].astype(np.int64)
    if op["layer"] == "Dense":
        total = x.reshape(len(x), -1) @ kernel
    else:
        depthwise = op["layer"] == "DepthwiseConv2D"
        term = lambda part, k: (part[..., None] * k).reshape(*part.shape[:3], -1) if depthwise else part @ k
        total = sum(term(part, kernel[place]) for place, part in windows(x, kernel.shape[:2], op["hyper"], 0))
    total = total + op.get("bias", 0)
    assert np.abs(total).max() < 2**31
    return total


def clamp(op, value, scale, zero_point):
    """To what int8 and a fused activation leave."""
    low, high = -128, 127
    activation = op["hyper"].get("activation")
    if activation:
        low = max(low, zero_point)
    if activation == "relu6":
        high = min(high, zero_point + int(round_away(6 / scale)))
    return np.clip(value, low, high).astype(np.int8)


def exact(op, parts, quantizations, scale, zero_point):
    """The operation on its int8 inputs: in real numbers (float64), rounded once, ties away from zero."""
    (x, (s, z)), hyper, layer = (parts[0], quantizations[0]), op["hyper"], op["layer"]
    real = (x.astype(np.float64) - z) * s
    if layer in WEIGHTED:
        value = sums(op, x, z) * (s * op["scale"].astype(np.float64) / scale)
    elif layer == "MaxPool2D":
        return np.max([part for _, part in windows(x, hyper["pool_size"], hyper, -128)], axis=0)
    elif layer == "GlobalMaxPooling2D":
        return x.max(axis=(1, 2))
    elif layer == "AveragePooling2D":
        # The mean of the int8 values themselves, of those inside the image: ties go away from int8's
        # zero, not from the zero point.
        inside = np.ones_like(x, np.int64)
        total, count = (
            sum(part for _, part in windows(values, hyper["pool_size"], hyper, 0))
            for values in (x.astype(np.int64), inside)
        )
        return round_away(total / count).astype(np.int8)
    elif layer == "GlobalAveragePooling2D":
        value = (x.astype(np.int64) - z).sum(axis=(1, 2)) * (s / (scale * x.shape[1] * x.shape[2]))
    elif layer == "Add":
        s2, z2 = quantizations[1]
        value = (real + (parts[1].astype(np.float64) - z2) * s2) / scale
    elif layer == "Softmax":
        power = np.exp(real - real.max(axis=-1, keepdims=True))
        value = power / power.sum(axis=-1, keepdims=True) / scale
    else:
        function = {
            "ReLU": lambda v: np.maximum(v, 0),
            "ReLU6": lambda v: np.clip(v, 0, 6),
            "LeakyReLU": lambda v: np.where(v < 0, v * np.float64(hyper.get("negative_slope", 0)), v),
            "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
            "Tanh": np.tanh,
        }[layer]
        value = function(real) / scale
    return clamp(op, round_away(value) + zero_point, scale, zero_point)


def fixed_point(op, x, quantization, scale, zero_point):
    """An operation with weights in the reference kernels' own arithmetic: the real multiplier as 31 bits
    and a shift. Dense rounds the product once. Convolutions round twice: the high half of the doubled
    product, then what a shift right takes from it; both to the nearest, the latter's ties away from zero."""
    s, z = quantization
    total = sums(op, x, z)
    out = np.empty_like(total)
    for channel, weight_scale in enumerate(op["scale"]):
        fraction, shift = math.frexp(s * float(weight_scale) / scale)
        factor = int(round_away(fraction * 2**31))
        if factor == 2**31:
            factor, shift = factor // 2, shift + 1
        if shift < -31:
            factor, shift = 0, 0
        if op["layer"] == "Dense":
            out[..., channel] = (total[..., channel] * factor + (1 << (30 - shift))) >> (31 - shift)
        else:
            product = (total[..., channel] << max(shift, 0)) * factor
            high = (product + 2**30) >> 31
            right = max(-shift, 0)
            mask = (1 << right) - 1
            out[..., channel] = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))
    return clamp(op, out + zero_point, scale, zero_point)


# --------------------------------------------------------------------------------------------- writing


def difference(a, b):
    """How many elements differ, and the largest difference."""
    assert a.shape == b.shape and a.dtype == b.dtype == np.int8
    apart = np.abs(a.astype(int) - b.astype(int))
    return {"count": int((apart > 0).sum()), "largest": int(apart.max())}


def make(case):
    """Runs a case, checks it, writes its file. Returns its entry of the manifest."""
    global RNG
    RNG = np.random.default_rng(zlib.crc32(case.id.encode()))
    graph = Graph(model := convert(case, RNG))
    inputs = draw_inputs(case, RNG)

    # Names: x (or x0, x1), then t0, t1, ... in the order of the operations, and y at last.
    names = {index: "x" if len(inputs) == 1 else f"x{i}" for i, index in enumerate(graph.inputs)}
    for i, op in enumerate(graph.ops):
        names[op["output"]] = "y" if op["output"] == graph.output else f"t{i}"
    between = [op["output"] for op in graph.ops[:-1]]
    y, *kept = run(model, RESOLVER.BUILTIN_REF, inputs, between)
    (optimized,) = run(model, RESOLVER.BUILTIN_WITHOUT_DEFAULT_DELEGATES, inputs)
    (xnnpack,) = run(model, RESOLVER.AUTO, inputs)
    values = dict(zip(graph.inputs, inputs)) | dict(zip(between, kept)) | {graph.output: y}

    tensors, listed, ops = {}, {}, []
    for index, name in names.items():
        tensors[name] = values[index]
        scale, zero_point = graph.activation(index)
        listed[name] = {"scale": scale, "zero_point": zero_point}
    tensors["y.optimized"] = optimized
    chained = dict(zip(graph.inputs, inputs))
    for i, op in enumerate(graph.ops):
        sources = [graph.skipped.get(index, index) for index in op["inputs"]]
        quantizations, quantization = [graph.activation(index) for index in sources], graph.activation(op["output"])
        found = exact(op, [values[index] for index in sources], quantizations, *quantization)
        chained[op["output"]] = exact(op, [chained[index] for index in sources], quantizations, *quantization)
        apart = difference(found, values[op["output"]])
        tolerance = 0 if op["layer"] in EXACT else 1
        assert apart["largest"] <= tolerance, (case.id, i, apart)
        entry = {"layer": op["layer"], "hyper": op["hyper"]}
        if op["layer"] in WEIGHTED:
            same = fixed_point(op, values[sources[0]], quantizations[0], *quantization)
            assert difference(same, values[op["output"]])["count"] == 0, (case.id, i)
            for part in ("kernel", "scale", "bias"):
                if part in op:
                    tensors[f"op{i}.{part}"] = np.ascontiguousarray(op[part])
                    entry[part] = f"op{i}.{part}"
        entry |= {"inputs": [names[index] for index in sources], "output": names[op["output"]]}
        ops.append(entry | {"tolerance": tolerance, "exact": apart})

    for name, tensor in tensors.items():
        dtype = {"int8": "I8", "int32": "I32", "float32": "F32"}[tensor.dtype.name]
        listed[name] = {"shape": list(tensor.shape), "dtype": dtype} | listed.get(name, {})
    save_file(tensors, FOLDER / f"{case.id}.safetensors")
    entry = {"id": case.id, "file": f"{case.id}.safetensors", "ops": ops, "tensors": listed}
    entry["y"] = {
        "elements": y.size,
        "at_a_bound": int(((y == -128) | (y == 127)).sum()),
        "exact": difference(chained[graph.output], y),
        "optimized": difference(optimized, y),
        "xnnpack": difference(xnnpack, y),
    }
    return entry | ({"note": case.note} if case.note else {})


CONVENTIONS = {
    "tensors": "little-endian, row-major; the first axis counts samples; activations NHWC or NC",
    "value": "real = scale * (int8 - zero_point); weights: scale per output channel, zero point 0",
    "kernel": "Keras's: Conv2D [h, w, in, out], Dense [in, out], DepthwiseConv2D [h, w, in, multiplier], output channel = in * multiplier + m",
    "op.scale": "the kernel's scale per output channel, float32",
    "op.bias": "int32; its scale is the input's times the channel's, its zero point 0; absent where the layer has none",
    "scale": "a float32, written with all digits of its value as a double",
    "same padding": "out = ceil(in / stride); total = max((out - 1) * stride + (k - 1) * dilation + 1 - in, 0); before = total // 2; the padding is the real number 0",
    "activation": "fused: a clamp of the output, 'relu' at zero_point, 'relu6' also at zero_point + round(6 / scale)",
    "flatten": "between a tensor [n, h, w, c] and Dense lies a Flatten, which has no entry",
    "names": "x or x0, x1: inputs; t0, t1, ...: outputs of the operations before the last; y: output; all with the reference kernels",
    "y.optimized": "the output with the optimized kernels (the graph run as a whole)",
    "exact": "the operation recomputed from its stored inputs in real numbers and rounded once, ties away from zero: how many elements differ from the reference kernels' (count), and by how much at most (largest)",
    "y": "the output of the whole graph; `exact`, `optimized`, `xnnpack`: as they compute it from x on, against the reference kernels; at_a_bound: elements at -128 or 127",
    "tolerance": "the largest difference allowed per operation, computed from the operation's stored inputs",
}


def main():
    for old in FOLDER.glob("*.safetensors"):
        old.unlink()
    print(f"{'case':30}{'elements':>9}{'bound':>7}{'exact':>9}{'optimized':>11}{'xnnpack':>9}   (differing/largest)")
    entries = []
    for case in cases():
        entries.append(entry := make(case))
        y = entry["y"]
        shown = ["{count}/{largest}".format(**y[which]) for which in ("exact", "optimized", "xnnpack")]
        ops = [f"{op['layer']} {op['exact']['count']}/{op['exact']['largest']}" for op in entry["ops"]]
        print(
            f"{case.id:30}{y['elements']:9}{y['at_a_bound']:7}{shown[0]:>9}{shown[1]:>11}{shown[2]:>9}",
            "  " + ", ".join(ops) if len(ops) > 1 else "",
        )
    made_with = f"TensorFlow Lite in TensorFlow {tf.__version__}, Keras {keras.__version__}"
    head = json.dumps({"made_with": made_with, "conventions": CONVENTIONS}, indent=1)[:-2]
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (FOLDER / "manifest.json").write_text(f'{head},\n "cases": [\n{lines}\n]}}\n')
    size = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) + (FOLDER / "manifest.json").stat().st_size
    print(f"{len(entries)} cases, {size} bytes")


if __name__ == "__main__":
    main()
