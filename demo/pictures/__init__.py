"""The project's own sample pictures: six kinds of animals, drawn by program."""

from demo.pictures.animals import KINDS
from demo.pictures.batch import write_batch
from demo.pictures.drawing import draw

__all__ = ["KINDS", "draw", "write_batch"]
