from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, cc, rrf, single
from hybrid.fusion.signatures import NORM_NAMES, accepted_arguments

BRANCHES = ("bm25", "sparse", "dense")
weights = st.floats(0, 10, allow_nan=False)


@st.composite
def fusions(draw: st.DrawFn) -> Fusion:
    method = draw(st.sampled_from([*METHODS, "single"]))
    names = tuple(draw(st.permutations(BRANCHES))[: draw(st.integers(1, 3))])
    if method == "single":
        return single(names[0])
    accepted = accepted_arguments(method)
    bounds = METHODS[method].parameters
    parameters = tuple((n, draw(st.floats(low, high))) for n, (_, low, high) in bounds.items())
    how = draw(st.sampled_from(["none", "alpha", "weights"])) if "alpha" in accepted else "none"
    alpha = draw(st.floats(0, 1)) if how == "alpha" else None
    table = None
    if how == "weights":
        table = tuple((name, 0.1 + draw(weights)) for name in names)
    norm = draw(st.sampled_from([*NORMS, ""])) if "norm" in accepted else ""
    return Fusion(method, parameters, alpha, table, norm, draw(st.sampled_from([None, names])))


@given(fusions())
def test_every_printed_form_parses_back(fusion: Fusion) -> None:
    assert Fusion.parse(str(fusion)) == fusion


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rrf(k=60)", rrf(60)),
        ("rrf", rrf(60)),
        ("rrf()", rrf(60)),
        (" cc( alpha = 0.42 , norm=tmm ) ", cc(0.42)),
        ("cc(alpha=0.42)", cc(0.42, norm="tmm")),
        (
            "cc(weights=(bm25:0.2, sparse:0.3, dense:0.5), norm=minmax)",
            cc(weights={"bm25": 0.2, "sparse": 0.3, "dense": 0.5}, norm="minmax"),
        ),
        ("cc(alpha=1, branches=(sparse, dense))", cc(1, branches=("sparse", "dense"))),
        ("dense", single("dense")),
        ("rrf(k=10, norm=minmax)", Fusion("rrf", (("k", 10.0),), norm="minmax")),
    ],
)
def test_parse(text: str, expected: Fusion) -> None:
    assert Fusion.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no fusion; give a branch name, or one of cc, rrf"),
        ("rff(k=60)", "'rff' of .* is unknown; give a branch name, or one of cc, rrf"),
        ("rrf(k=60", "is no fusion"),
        ("rrf(kk=60)", "rrf takes no 'kk'; it takes k, alpha, weights, norm, branches"),
        ("rrf(60)", "rrf takes k, alpha, weights, norm, branches, depth, each as name=value"),
        ("rrf(k=-1)", "k of rrf is -1.0; give 0 to"),
        ("rrf(k=nan)", "k of rrf is nan"),
        ("rrf(k=many)", "k in .* is 'many'; give a number"),
        ("rrf(k=1, k=2)", "'k' occurs twice"),
        ("cc(alpha=1.5)", "alpha is 1.5; give a number from 0 to 1"),
        ("cc(norm=best)", "normalisation 'best' is unknown; give one of minmax, tmm"),
        ("cc(alpha=.5, weights=(a:1, b:1))", "exclude each other"),
        ("cc(weights=(a:0, b:0))", "one positive"),
        ("cc(weights=(a:-1, b:1))", "give numbers of 0 or more"),
        ("cc(weights=(a, b))", "expected \\(name:weight"),
        ("cc(weights=0.5)", "expected \\(name, name"),
        ("cc(branches=(a, a))", "occurs twice"),
        ("cc(branches=(rrf, a))", "branch name 'rrf' cannot be used"),
        ("cc(weights=(a:1, b:1), branches=(a, c))", "leave branches out"),
        ("combsum(alpha=0.5)", "combsum takes no 'alpha'; it takes norm, branches"),
        ("borda(norm=tmm)", "borda takes no 'norm'"),
    ],
)
def test_what_is_refused_says_what_is_accepted(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Fusion.parse(text)


def test_a_fusion_that_does_not_fit_the_branches() -> None:
    with pytest.raises(UsageError, match=r"names 'colbert'; branches here: bm25, sparse, dense"):
        single("colbert").branch_names(BRANCHES)
    with pytest.raises(UsageError, match="alpha weighs two branches and there are 3"):
        cc(0.5).branch_names(BRANCHES)
    with pytest.raises(UsageError, match="names 'x'"):
        cc(weights={"x": 1, "dense": 1}).branch_names(BRANCHES)
    assert cc(0.5, branches=("dense", "bm25")).branch_names(BRANCHES) == ("dense", "bm25")


def test_names_of_norms_are_those_computed() -> None:
    assert set(NORM_NAMES) == set(NORMS)


def test_depth_prints_and_parses() -> None:
    deep = "rrf(k=60, depth=100)"
    assert str(Fusion.parse(deep)) == deep


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rrf(depth=0)", "depth is 0"),
        ("rrf(depth=1.5)", "depth in .* is '1.5'; give a whole number"),
        ("learned(alpha=0.5)", "fusion method 'learned' of .* is unknown"),
    ],
)
def test_a_bad_depth_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Fusion.parse(text)
