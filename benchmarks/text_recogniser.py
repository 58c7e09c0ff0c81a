"""A really pretrained text recogniser as image encoder: the features of the characters that it reads in an image.

PP-OCRv6 small (PyPI `rapidocr`, Apache-2.0) finds lines of text and reads each as a row of frames, whose features a
linear layer turns into scores of characters (CTC). The frame in which a character is likeliest is its feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGES = (
    "rapidocr==3.10.0",
    "onnxruntime==1.32.0",
    "onnx==1.23.2",
    "opencv-python-headless==5.0.0.93",
    "pyclipper==1.4.0",
    "shapely==2.2.0",
    "omegaconf==2.4.0",
    "colorlog==6.12.0",
    "flatbuffers==25.12.19",
    "ml_dtypes==0.6.0",
    "six==1.17.0",
)
WIDTH = 120
"""Numbers of a character's feature."""
LINE_HEIGHT = 48
"""Pixels to which the recogniser scales a line."""
BLANK = 0
"""CTC's class of no character, the first."""
LEAST_SCORE = 0.7
"""Mean probability of its characters from which a line is taken as read. Chosen, not fitted."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of text that was read."""

    text: str
    features: NDArray[np.float32]
    """Features of its characters: float32[len(text), 120]."""


def read_lines(image: NDArray[np.uint8]) -> list[Line]:
    """Return the lines of text in an image, from top to bottom.

    Args:
        image: uint8[H, W, 3], RGB.
    """
    reader = _reader()
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    boxes = reader.detector(bgr, use_cls=False, use_rec=False).boxes
    if boxes is None:
        return []
    crop = import_module("rapidocr.utils.process_img").get_rotate_crop_image
    lines = (reader.read(crop(bgr, box)) for box in boxes)
    return [line for line in lines if line is not None]


@dataclass(frozen=True, kw_only=True)
class _Reader:
    detector: Any
    session: Any
    characters: list[str]
    """Characters by class: CTC's blank, those of the model's dictionary, and the space."""

    def read(self, image: NDArray[np.uint8]) -> Line | None:
        """Read an image of one line; None where nothing in it is read for sure."""
        cv2 = import_module("cv2")
        width = max(round(image.shape[1] * LINE_HEIGHT / image.shape[0]), LINE_HEIGHT)
        resized = cv2.resize(image, (width, LINE_HEIGHT)).astype(np.float32) / 127.5 - 1
        scores, features = self.session.run(None, {self.session.get_inputs()[0].name: resized.transpose(2, 0, 1)[None]})
        classes, likelihoods = scores[0].argmax(axis=1), scores[0].max(axis=1)
        runs = (list(run) for label, run in groupby(range(len(classes)), key=lambda at: classes[at]) if label != BLANK)
        frames = [max(run, key=lambda at: likelihoods[at]) for run in runs]
        if not frames or likelihoods[frames].mean() < LEAST_SCORE:
            return None
        return Line(text="".join(self.characters[classes[at]] for at in frames), features=features[0][frames])


@cache
def _reader() -> _Reader:
    onnx, runtime, rapidocr = (import_module(name) for name in ("onnx", "onnxruntime", "rapidocr"))
    options = {"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
    engine = rapidocr.RapidOCR(params=options)
    model = onnx.load(Path(rapidocr.__path__[0]) / "models" / "PP-OCRv6_rec_small.onnx")
    last = [node for node in model.graph.node if node.op_type == "MatMul"][-1]
    model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    threads = runtime.SessionOptions()
    threads.intra_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), threads, providers=["CPUExecutionProvider"])
    (characters,) = [each.value for each in model.metadata_props if each.key == "character"]
    return _Reader(detector=engine, session=session, characters=["", *characters.splitlines(), " "])
