import pytest

from infra.process import supervisor


@pytest.mark.parametrize(
    ("taken", "first"),
    [(set(), 9464), ({9464}, 9468), ({9467, 9468}, 9472), ({9463, 9468}, 9464)],
    ids=["none", "the first", "two runs", "neighbours"],
)
def test_metrics_are_at_the_first_free_run_of_ports(
    monkeypatch: pytest.MonkeyPatch, taken: set[int], first: int
):
    def bind(_host: str, port: int) -> None:
        if port in taken:
            raise OSError

    monkeypatch.setattr(supervisor, "_bind", bind)
    assert supervisor._free_run("127.0.0.1") == first
