"""Evaluation: measures of runs and pools, paired tests, and comparisons that can be published."""

from hybrid.evaluate.comparison import Comparison, compare, compare_runs, unmet_expectations
from hybrid.evaluate.evaluation import Evaluation, evaluate
from hybrid.evaluate.judged import ArrayScorer, Judged, judge, measure_scores
from hybrid.evaluate.judging import Judging
from hybrid.evaluate.names import parse_measure, parse_measures
from hybrid.evaluate.options import EvaluateOptions, PoolOptions
from hybrid.evaluate.significance import Difference, compare_paired

__all__ = [
    "ArrayScorer",
    "Comparison",
    "Difference",
    "EvaluateOptions",
    "Evaluation",
    "Judged",
    "Judging",
    "PoolOptions",
    "compare",
    "compare_paired",
    "compare_runs",
    "evaluate",
    "judge",
    "measure_scores",
    "parse_measure",
    "parse_measures",
    "unmet_expectations",
]
