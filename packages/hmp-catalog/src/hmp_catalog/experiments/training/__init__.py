"""Pipelines trained on datasets, and kept so that each can be replayed."""

from hmp_catalog.experiments.training.datasets import Dataset
from hmp_catalog.experiments.training.result import Result
from hmp_catalog.experiments.training.running import run

__all__ = ["Dataset", "Result", "run"]
