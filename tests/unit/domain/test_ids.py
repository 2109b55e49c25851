import os

from domain.ids import PIECE_BYTES, new_id, random_bytes


def test_an_id_is_a_random_uuid_of_its_own():
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in ids} == {(4, "specified in RFC 4122")}


def test_no_byte_is_given_out_twice():
    pieces = [random_bytes(12) for _ in range(PIECE_BYTES)]
    assert len(set(pieces)) == len(pieces)
    assert {len(piece) for piece in pieces} == {12}


def test_a_forked_process_draws_its_own():
    random_bytes(12)  # so that there is a piece to inherit
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes(32))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32) != random_bytes(32)
    os.close(reading)
    os.close(writing)
