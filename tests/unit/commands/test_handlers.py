import gc

from commands import HANDLERS, Command


def test_every_command_has_a_handler():
    gc.collect()
    assert set(Command.__subclasses__()) == set(HANDLERS)
