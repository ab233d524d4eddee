"""Predictions at rest: a Parquet file a shard, a row a picture. Their schema and names, and how they are read.

docs/predictions.md says what each column means.
"""

from model_service.predictions.reading import File as File
from model_service.predictions.reading import embeddings as embeddings
from model_service.predictions.reading import names as names
from model_service.predictions.reading import opened as opened
from model_service.predictions.reading import tables as tables
from model_service.predictions.schema import OF_A_SHARD as OF_A_SHARD
from model_service.predictions.schema import REMEDY as REMEDY
from model_service.predictions.schema import BadPredictions as BadPredictions
from model_service.predictions.schema import Origin as Origin
from model_service.predictions.schema import origin as origin
from model_service.predictions.writing import Writer as Writer
