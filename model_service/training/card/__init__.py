"""A model's card, for people: what it is, what it was made of, how good it is, what it cannot do, how to make it again."""

from model_service.training.card.page import HTML as HTML
from model_service.training.card.page import MARKDOWN as MARKDOWN
from model_service.training.card.page import Page as Page
from model_service.training.card.samples import samples as samples
