import ast
import inspect
from datetime import UTC, datetime

import pytest

from domain.catalogue import CATALOGUE
from projections import PROJECTIONS, accounts, gallery
from projections.model import seconds


def test_read_models_have_names_of_their_own():
    names = [projection.name for projection in PROJECTIONS]
    assert len(names) == len(set(names)) > 1


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_generations_have_tables_of_their_own_behind_one_view(projection):
    assert projection.view == f"atelier_{projection.name}"
    assert projection.table(2) == f"atelier_{projection.name}_g2"


def test_a_fingerprint_is_that_of_the_code():
    assert accounts.PROJECTION.fingerprint() == accounts.PROJECTION.fingerprint()
    assert accounts.PROJECTION.fingerprint() != gallery.PROJECTION.fingerprint()


def test_a_moment_belongs_to_the_second_that_has_begun():
    assert seconds(datetime(2025, 2, 16, 4, 2, 37, 999_999, UTC)) == 1739678557


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.stored_name)
def test_a_read_model_is_told_of_every_event_that_it_applies(projection, kind):
    nodes = (node for pattern in patterns_of(projection) for node in ast.walk(pattern))
    matched = {node.id for node in nodes if isinstance(node, ast.Name)}
    named = {base.__name__ for base in kind.__mro__}
    assert bool(named & matched) == (kind.stored_name in projection.types)


def patterns_of(projection):
    """What `apply` matches, as syntax trees."""
    (function,) = ast.parse(inspect.getsource(projection.apply)).body
    patterns = [
        case.pattern
        for node in ast.walk(function)
        if isinstance(node, ast.Match)
        for case in node.cases
    ]
    return patterns
