"""Trains and runs the three networks with PyTorch, and runs them with onnxruntime, as the Rust program asks.

Usage: peers.py torch|torch-channels_last|torch-compiled|onnxruntime THREADS

The first line on the standard output is "ready VERSION". Then every line on the standard input is a task, and every line on the
standard output its answer, "ok VALUE" or "error MESSAGE":

    parameters NET    how many parameters there are, with the moving statistics of batch normalization
    train NET STEPS   seconds for so many steps of Adam on batches of 64 images
    loss NET          the loss of the last of these steps
    infer NET IMAGES  seconds for so many images, one at a time
"""

import os
import sys
import time

FRAMEWORK, THREADS = sys.argv[1], int(sys.argv[2])
# Before any import: the OpenMP runtime reads it once.
os.environ["OMP_NUM_THREADS"] = str(THREADS)

# Nothing but answers may go to the standard output; the compiler of PyTorch and exporters like to talk.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import numpy
import torch
from torch import nn

torch.set_num_threads(THREADS)
torch.manual_seed(1)

BATCH = 64
# More images than fit the second-level cache, another batch each step.
POOL = 16 * BATCH
CLASSES = 10
FILTERS = [8, 16, 32]
RANK = 3
HEAD_RANK = 8


class LightConv2d(nn.Sequential):
    def __init__(self, channels, filters):
        super().__init__(
            nn.Conv2d(channels, RANK, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(RANK, filters, 3, padding=1),
        )


class LightDense(nn.Module):
    def __init__(self, features, units, rank):
        super().__init__()
        self.first = nn.Linear(features, rank, bias=False)
        self.second = nn.Linear(rank, units)
        self.scale = 2 / units

    def forward(self, x):
        return self.second(self.first(x) * self.scale)


def paper(convolution, head):
    layers, channels = [], 1
    for filters in FILTERS:
        for _ in range(2):
            layers += [convolution(channels, filters), nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(channels, CLASSES))


def network(name):
    if name == "light":
        return paper(LightConv2d, lambda features, units: LightDense(features, units, HEAD_RANK))
    if name == "conv":
        return paper(lambda channels, filters: nn.Conv2d(channels, filters, 3, padding=1), nn.Linear)
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, CLASSES))
    raise ValueError(f"unknown network {name}: expected light, conv or mlp")


def count(net):
    values = list(net.parameters()) + [b for name, b in net.named_buffers() if not name.endswith("num_batches_tracked")]
    return sum(value.numel() for value in values)


class Torch:
    def __init__(self, name):
        self.net = network(name)
        self.parameters = count(self.net)
        # Noise, brighter from class to class, so that there is something to learn.
        self.labels = torch.arange(POOL) % CLASSES
        self.images = torch.rand(POOL, 1, 28, 28) * ((self.labels + 1) / CLASSES).reshape(-1, 1, 1, 1)
        if FRAMEWORK == "torch-channels_last":
            self.net = self.net.to(memory_format=torch.channels_last)
            self.images = self.images.to(memory_format=torch.channels_last)
        compiled = FRAMEWORK == "torch-compiled"
        self.run = torch.compile(self.net) if compiled else self.net
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, eps=1e-7)
        self.batches = list(zip(self.images.split(BATCH), self.labels.split(BATCH)))
        self.singles = self.images.split(1)
        self.done = 0

    def train(self, steps):
        self.net.train()
        start = time.perf_counter()
        for _ in range(steps):
            images, labels = self.batches[self.done % len(self.batches)]
            self.done += 1
            self.optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(self.run(images), labels)
            loss.backward()
            self.optimizer.step()
        self.loss = loss.item()
        seconds = time.perf_counter() - start
        if not self.loss < 100:
            raise ArithmeticError(f"the loss is {self.loss}")
        return seconds

    def infer(self, images):
        self.net.eval()
        with torch.inference_mode():
            start = time.perf_counter()
            for i in range(images):
                self.run(self.singles[i % POOL])
            return time.perf_counter() - start


class OnnxRuntime:
    def __init__(self, name):
        import onnxruntime

        net = network(name).eval()
        self.parameters = count(net)
        program = torch.onnx.export(net, (torch.rand(1, 1, 28, 28),), dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(
            program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        input_name = self.session.get_inputs()[0].name
        noise = numpy.random.default_rng(1).random((POOL, 1, 1, 28, 28), dtype=numpy.float32)
        self.inputs = [{input_name: image} for image in noise]

    def infer(self, images):
        start = time.perf_counter()
        for i in range(images):
            self.session.run(None, self.inputs[i % POOL])
        return time.perf_counter() - start


def answer(networks, task, name, *counts):
    if name not in networks:
        networks[name] = OnnxRuntime(name) if FRAMEWORK == "onnxruntime" else Torch(name)
    net = networks[name]
    if task in ("parameters", "loss"):
        return getattr(net, task)
    if task in ("train", "infer") and hasattr(net, task):
        return getattr(net, task)(*map(int, counts))
    raise ValueError(f"{FRAMEWORK} has no task {task}")


def main():
    version = torch.__version__
    if FRAMEWORK == "onnxruntime":
        import onnxruntime

        version = onnxruntime.__version__
    print("ready", version, file=answers)
    networks = {}
    for line in sys.stdin:
        try:
            print("ok", answer(networks, *line.split()), file=answers)
        except Exception as error:
            print("error", " ".join(f"{type(error).__name__}: {error}".split()), file=answers)


main()
