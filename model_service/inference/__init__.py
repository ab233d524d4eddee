"""A model ready to classify, shared by predict, judge and serve: OpenVINO on the ONNX file, or torch where there is a GPU."""

from model_service.inference.classifier import Classifier as Classifier
from model_service.inference.gpu import WEIGHTS as WEIGHTS
from model_service.inference.network import Inference as Inference
from model_service.inference.network import Network as Network
from model_service.inference.precision import INT8 as INT8
from model_service.inference.precision import ONNX as ONNX
from model_service.inference.precision import Precision as Precision
from model_service.inference.precision import chosen as chosen
