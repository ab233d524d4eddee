"""The data registry: a git repository in which DVC keeps track of batches and models. A tag names a dataset or a model."""

from __future__ import annotations

from model_service.versioning.reading import Model, dataset, latest, model, tagged_models

__all__ = ["Model", "dataset", "latest", "model", "tagged_models"]
