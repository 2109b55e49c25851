import ast
import inspect
import sys
from datetime import UTC, datetime

import pytest

from domain.catalogue import CATALOGUE
from projections import PROJECTIONS, accounts, gallery
from projections.model import definitions, reached, seconds


def test_read_models_have_names_of_their_own():
    names = [projection.name for projection in PROJECTIONS]
    assert len(names) == len(set(names)) > 1


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_generations_have_tables_of_their_own_behind_one_view(projection):
    assert projection.view == f"atelier_{projection.name}"
    assert projection.table_of(2) == f"atelier_{projection.name}_g2"


def test_a_fingerprint_is_that_of_the_code():
    assert accounts.PROJECTION.fingerprint() == accounts.PROJECTION.fingerprint()
    assert accounts.PROJECTION.fingerprint() != gallery.PROJECTION.fingerprint()


def test_a_moment_belongs_to_the_second_that_has_begun():
    assert seconds(datetime(2025, 2, 16, 4, 2, 37, 999_999, UTC)) == 1739678557


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.stored_name)
def test_a_read_model_is_told_of_every_event_that_it_folds(projection, kind):
    named = {base.__name__ for base in kind.__mro__} - {"Event", "Struct", "object"}
    assert bool(named & names_in(projection)) == (kind.stored_name in projection.types)


def names_in(projection):
    """Every name that the fold and the functions which it calls use."""
    module = sys.modules[projection.fold.__module__]
    parts = definitions(ast.parse(inspect.getsource(module)))
    nodes = (
        node
        for name in reached(parts, {projection.fold.__name__})
        for node in ast.walk(parts[name])
    )
    return {node.id for node in nodes if isinstance(node, ast.Name)}


SOURCE = """
LIMIT = 3
def fold(rows, recorded):
    'How.'
    return helper(LIMIT)  # a comment
def helper(n): return n
def query(): return 1
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("'How.'", "'How else.'", True),
        ("# a comment", "# another", True),
        ("return 1", "return 2", True),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("helper(n): return n", "helper(n): return -n", False),
    ],
    ids=["docstring", "comment", "query", "constant", "helper"],
)
def test_the_code_that_makes_rows_is_what_the_fold_reaches(old, new, same):
    def code(source):
        parts = definitions(ast.parse(source))
        return [ast.dump(parts[name]) for name in sorted(reached(parts, {"fold"}))]

    assert (code(SOURCE) == code(SOURCE.replace(old, new))) == same
