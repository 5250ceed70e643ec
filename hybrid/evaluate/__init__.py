"""Evaluation: measures of runs and pools, paired tests, and comparisons that can be published."""

from typing import TYPE_CHECKING

from hybrid.machine.doors import door

_MODULES = {
    "comparison": "Comparison compare compare_runs unmet_expectations",
    "evaluation": "Evaluation evaluate",
    "judged": "ArrayScorer Judged judge measure_scores",
    "judging": "Judging",
    "names": "parse_measure parse_measures",
    "options": "EvaluateOptions PoolOptions",
    "significance": "Difference compare_paired",
}
__all__ = [name for names in _MODULES.values() for name in names.split()]
__getattr__ = door(__name__, _MODULES)

if TYPE_CHECKING:
    from hybrid.evaluate.comparison import Comparison as Comparison
    from hybrid.evaluate.comparison import compare as compare
    from hybrid.evaluate.comparison import compare_runs as compare_runs
    from hybrid.evaluate.comparison import unmet_expectations as unmet_expectations
    from hybrid.evaluate.evaluation import Evaluation as Evaluation
    from hybrid.evaluate.evaluation import evaluate as evaluate
    from hybrid.evaluate.judged import ArrayScorer as ArrayScorer
    from hybrid.evaluate.judged import Judged as Judged
    from hybrid.evaluate.judged import judge as judge
    from hybrid.evaluate.judged import measure_scores as measure_scores
    from hybrid.evaluate.judging import Judging as Judging
    from hybrid.evaluate.names import parse_measure as parse_measure
    from hybrid.evaluate.names import parse_measures as parse_measures
    from hybrid.evaluate.options import EvaluateOptions as EvaluateOptions
    from hybrid.evaluate.options import PoolOptions as PoolOptions
    from hybrid.evaluate.significance import Difference as Difference
    from hybrid.evaluate.significance import compare_paired as compare_paired
