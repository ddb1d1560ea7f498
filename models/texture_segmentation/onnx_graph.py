"""The trained model as one ONNX graph: image in, class probabilities out.

Says the same as ``features`` followed by scikit-learn's pipeline; a test holds the two together.
"""

from typing import Any

import numpy as np

from models.texture_segmentation.classifier import TrainedModel
from models.texture_segmentation.features import CHANNELS, VARIANCE_FLOOR

OPSET = 17
IR_VERSION = 9
INPUT = "image"
OUTPUT = "probabilities"


def build(model: TrainedModel) -> bytes:
    """A graph from ``image`` float32 [-1, 3, H, W] (values 0 to 255) to ``probabilities`` [-1, 2, H, W].

    Batch, height and width are free. Channel 0 is background, 1 building; they add up to 1. A window is two
    depth-wise convolutions, one down and one across, divided by how much of it lies inside the image.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    graph.add("Mul", [INPUT, graph.constant("one_255th", 1 / 255)], "unit")
    graph.add("Sub", ["unit", graph.constant("half", 0.5)], "colour")
    graph.add("Mul", ["colour", "colour"], "squares")
    graph.add("Concat", ["colour", "squares"], "both", axis=1)
    _add_ones(graph)
    layers = ["colour"]
    for window in model.windows:
        layers += _add_window(graph, int(window))
    graph.add("Concat", layers, "features", axis=1)
    _add_classifier(graph, model.texture)
    shape = ("batch", "height", "width")
    definition = helper.make_graph(
        graph.nodes,
        "texture_segmentation",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [shape[0], CHANNELS, *shape[1:]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [shape[0], 2, *shape[1:]])],
        graph.initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    proto = helper.make_model(definition, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fair-dagster")
    helper.set_model_props(proto, {"classes": "background,building", "input_range": "0..255", "channels": "RGB"})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


class _Graph:
    """Nodes and constants collected while the graph is spelled out."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def add(self, kind: str, inputs: list[str], output: str | list[str], **attributes: Any) -> None:
        from onnx import helper

        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name


def _add_ones(graph: _Graph) -> None:
    """``ones`` [1, 1, H, W]: what a window sums to is how much of it lies inside."""
    from onnx import helper, numpy_helper

    graph.add("Shape", [INPUT], "extent", start=2, end=4)
    graph.add("Concat", [graph.constant("single", [1, 1], np.int64), "extent"], "ones_shape", axis=0)
    value = numpy_helper.from_array(np.ones(1, dtype=np.float32))
    graph.nodes.append(helper.make_node("ConstantOfShape", ["ones_shape"], ["ones"], name="ones", value=value))


def _add_window(graph: _Graph, window: int) -> list[str]:
    """Names of the mean and of the deviation in a square window, each [-1, 3, H, W]."""
    name = str(window)
    inside = _add_box_sum(graph, "ones", window, 1)
    total = _add_box_sum(graph, "both", window, 2 * CHANNELS)
    graph.add("Div", [total, inside], f"means_{name}")
    graph.add("Split", [f"means_{name}"], [f"mean_{name}", f"mean_of_squares_{name}"], axis=1)
    graph.add("Mul", [f"mean_{name}", f"mean_{name}"], f"square_of_mean_{name}")
    graph.add("Sub", [f"mean_of_squares_{name}", f"square_of_mean_{name}"], f"raw_variance_{name}")
    graph.add("Relu", [f"raw_variance_{name}"], f"variance_{name}")
    graph.add("Add", [f"variance_{name}", graph.constant(f"floor_{name}", VARIANCE_FLOOR)], f"lifted_{name}")
    graph.add("Sqrt", [f"lifted_{name}"], f"deviation_{name}")
    return [f"mean_{name}", f"deviation_{name}"]


def _add_box_sum(graph: _Graph, source: str, window: int, channels: int) -> str:
    """Weighted sums over a window, the weights adding up to 1 where the window lies inside."""
    reach, name = window // 2, f"{source}_{window}"
    weights = np.full((channels, 1, window, 1), 1 / window)
    down = graph.constant(f"down_{name}", weights)
    across = graph.constant(f"across_{name}", weights.transpose(0, 1, 3, 2))
    graph.add("Conv", [source, down], f"sum_down_{name}", group=channels, pads=[reach, 0, reach, 0])
    graph.add("Conv", [f"sum_down_{name}", across], f"sum_{name}", group=channels, pads=[0, reach, 0, reach])
    return f"sum_{name}"


def _add_classifier(graph: _Graph, pipeline: Any) -> None:
    """Standardisation and logistic regression as one 1 x 1 convolution, then both class probabilities."""
    scaler, classifier = pipeline[0], pipeline[-1]
    weights = classifier.coef_[0] / scaler.scale_
    bias = classifier.intercept_[0] - float(weights @ scaler.mean_)
    kernel = graph.constant("weights", weights.reshape(1, -1, 1, 1))
    graph.add("Conv", ["features", kernel, graph.constant("bias", [bias])], "score")
    graph.add("Sigmoid", ["score"], "building")
    graph.add("Sub", [graph.constant("one", 1.0), "building"], "background")
    graph.add("Concat", ["background", "building"], OUTPUT, axis=1)
