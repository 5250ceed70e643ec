"""Evaluation: measures of runs and pools, paired tests, and comparisons that can be published."""

from hybrid.evaluate.evaluation import Evaluation, evaluate
from hybrid.evaluate.judged import ArrayScorer, Judged, judge, measure_scores
from hybrid.evaluate.lists import ListScorer
from hybrid.evaluate.names import parse_measure, parse_measures

__all__ = [
    "ArrayScorer",
    "Evaluation",
    "Judged",
    "ListScorer",
    "evaluate",
    "judge",
    "measure_scores",
    "parse_measure",
    "parse_measures",
]
