"""Who chooses the hyperparameters: search, and cross-validation for Keras models."""

from dlnotes.tuning.cross_validation import CrossValidation, cross_validate
from dlnotes.tuning.hypermodels import HyperClassifier, HyperCNN, HyperMLP, HyperRNN
from dlnotes.tuning.importance import Importance, importance_of
from dlnotes.tuning.lookup import ask_and_tell, search_curves
from dlnotes.tuning.parallel import join_search, parallel_search
from dlnotes.tuning.search import SearchResult, search, trials_table

__all__ = [
    "CrossValidation",
    "HyperCNN",
    "HyperClassifier",
    "HyperMLP",
    "HyperRNN",
    "Importance",
    "SearchResult",
    "ask_and_tell",
    "cross_validate",
    "importance_of",
    "join_search",
    "parallel_search",
    "search",
    "search_curves",
    "trials_table",
]
