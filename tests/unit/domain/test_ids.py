import os
from uuid import UUID

from domain.ids import new_id


def test_an_id_is_a_random_uuid_of_its_own():
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in ids} == {(4, "specified in RFC 4122")}


def test_a_forked_process_has_ids_of_its_own():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    assert UUID(bytes=os.read(reading, 16)) != new_id()
    os.close(reading)
    os.close(writing)
