"""A method's, measure's or question's file that does not say what it must: one line names it and what it lacks."""

import importlib
import sys

import pytest

from studies import catalogue
from tests.support.documents import blocks
from wfn import methods
from wfn.__main__ import main
from wfn.errors import UserError
from wfn.measures import measures

SHOWN = {path.rpartition("/")[2]: code for path, code in blocks("CONTRIBUTING.md", "python")}
METHOD, MEASURE, QUESTION = SHOWN["ternary.py"], SHOWN["margin.py"], SHOWN["cuts.py"]


def without(code, start, end="\n\n"):
    """The code without what begins with ``start`` and ends before ``end``."""
    assert start in code, start
    before, _, after = code.partition(start)
    return before + after[after.index(end) :]


def replaced(code, old, new):
    assert old in code, old
    return code.replace(old, new)


def refusal(call):
    """The one line by which ``call`` refuses."""
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert "CONTRIBUTING.md" in str(caught.value)
    return str(caught.value)


INCOMPLETE_METHODS = {
    "must hold one class that derives from Method, but holds 0": replaced(METHOD, "(Method)", ""),
    "must hold one class that derives from Method, but holds 2": METHOD + "\n\nclass Second(Method):\n    pass\n",
    "must declare TernaryRounding a @dataclass(frozen=True)": replaced(METHOD, "@dataclass(frozen=True)\n", ""),
    "lacks treatment in TernaryRounding": without(METHOD, "    @property\n    def treatment"),
    "lacks _compress in TernaryRounding": replaced(METHOD, "def _compress", "def squeeze"),
    "lacks name: ClassVar[str]": without(METHOD, "    name: ", end="\n"),
    "has the option cut of type complex": replaced(METHOD, "cut: float = ", "cut: complex = "),
    "has formerly in": replaced(
        METHOD, "cut: float", "formerly: ClassVar[dict[str, object]] = dict(cut=0.5)\n    cut: float"
    ),
    "has the option cut without a plain constant": replaced(METHOD, "float = 0.75", "float = max(0, 1)"),
    "has no help for the option cut": replaced(METHOD, "        cut: what", "        slice: what"),
    "cannot be read": METHOD + "\n)",
}
INCOMPLETE_MEASURES = {
    "derives from WeightMeasure or OutputMeasure, but holds 0": replaced(MEASURE, "(OutputMeasure)", ""),
    "derives from WeightMeasure or OutputMeasure, but holds 2": MEASURE + "\n\nclass Two(OutputMeasure):\n    pass\n",
    "lacks quantities in Margin": without(MEASURE, "    quantities = ", end="\n"),
    "lacks update in Margin": replaced(MEASURE, "def update", "def renewed"),
    "lacks compute in Margin": replaced(MEASURE, "def compute", "def reckon"),
}
INCOMPLETE_QUESTIONS = {
    "lacks a docstring, whose first line asks the question": QUESTION[QUESTION.index("from pathlib") :],
    "lacks STUDY = Study(...)": replaced(QUESTION, "STUDY", "_STUDY"),
    "lacks draw in its STUDY": replaced(QUESTION, "    draw=draw,\n", ""),
    "lacks varied and draw in its STUDY": replaced(
        without(QUESTION, "    varied=", end="\n"), "    draw=draw,\n", "    repeats=1,\n"
    ),
    "cannot be read": QUESTION + "\n)",
}


@pytest.mark.parametrize("lack", INCOMPLETE_METHODS)
def test_a_method(lack, tmp_path):
    (tmp_path / "ternary.py").write_text(INCOMPLETE_METHODS[lack])
    assert refusal(lambda: methods.outlines(tmp_path)).startswith("wfn/methods/ternary.py ")
    assert lack in refusal(lambda: methods.outlines(tmp_path))


def test_two_methods_of_one_name(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(METHOD)
    with pytest.raises(UserError, match=r"two\.py and one\.py both hold a method 'ternary'"):
        methods.outlines(tmp_path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package that measures can be written into: (folder, its name)."""
    name = "measures_of_a_test"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder, name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.mark.parametrize("lack", INCOMPLETE_MEASURES)
def test_a_measure(lack, package):
    folder, _ = package
    (folder / "margin.py").write_text(INCOMPLETE_MEASURES[lack])
    importlib.invalidate_caches()
    assert refusal(lambda: measures(*package)).startswith("wfn/measures/margin.py ")
    assert lack in refusal(lambda: measures(*package))


def test_two_measures_of_one_quantity(package):
    folder, _ = package
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(MEASURE)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"one\.py and wfn/measures/two\.py both give a quantity 'margin'"):
        measures(*package)


@pytest.mark.parametrize("lack", INCOMPLETE_QUESTIONS)
def test_a_question(lack, tmp_path):
    (tmp_path / "cuts.py").write_text(INCOMPLETE_QUESTIONS[lack])
    assert refusal(lambda: catalogue.question("cuts", tmp_path)).startswith("studies/questions/cuts.py ")
    assert lack in refusal(lambda: catalogue.question("cuts", tmp_path))


def test_what_contributing_shows_is_complete(tmp_path, package):
    (tmp_path / "ternary.py").write_text(METHOD)
    assert [option.name for option in methods.outlines(tmp_path)["ternary"].options] == ["cut"]
    (package[0] / "margin.py").write_text(MEASURE)
    importlib.invalidate_caches()
    assert [quantity.name for (kind,) in [measures(*package)] for quantity in kind.quantities] == ["margin"]
    (tmp_path / "cuts.py").write_text(QUESTION)
    assert catalogue.question("cuts", tmp_path) == "How many weights may ternary rounding set to zero?"


def test_iterations_are_told_to_be_the_shares_where_they_are(call_here):
    status, _, error = call_here(main, "--method", "wfn", "--iterations", "3")
    assert status == 2 and "not of wfn: wfn has as many as it has shares" in error and error.count("\n") == 1


def test_an_option_of_another_method_names_its_owner(call_here):
    status, _, error = call_here(main, "--method", "wfn", "--clusters", "16")
    assert status == 2
    assert "clusters is an option of method deep_kmeans and kmeans, not of wfn" in error
    assert len(error.splitlines()) == 1
