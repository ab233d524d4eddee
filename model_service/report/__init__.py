"""The evaluation of a run as a page for people: `render(document, pictures)`."""

from model_service.report.page import render as render
from model_service.report.thumbnails import UNSURE as UNSURE
from model_service.report.thumbnails import WRONG as WRONG
