from domain import errors
from domain.errors import AtelierError

REFUSALS = [
    member
    for member in vars(errors).values()
    if isinstance(member, type) and issubclass(member, AtelierError)
]


def test_every_refusal_has_a_code_of_its_own():
    codes = [refusal.code for refusal in REFUSALS]
    assert len(codes) == len(set(codes)) > 1


def test_only_what_passes_by_itself_is_retriable():
    retriable = {refusal.__name__ for refusal in REFUSALS if refusal.retriable}
    assert retriable == {"Overloaded", "Unavailable", "VersionConflict"}
