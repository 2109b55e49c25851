import os
from concurrent.futures import ThreadPoolExecutor

from infra.log.keys import DRAWN, _Nonces
from infra.log.wrapping import NONCE_BYTES


def test_no_nonce_is_given_out_twice_whatever_threads_ask():
    nonces = _Nonces()
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda _: nonces.next(), range(40 * DRAWN)))
    assert len(set(given)) == len(given)
    assert {len(each) for each in given} == {NONCE_BYTES}


def test_a_forked_process_gives_out_none_of_its_parents_nonces():
    nonces = _Nonces()
    nonces.next()  # so that there are some to inherit
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(nonces.next() for _ in range(DRAWN)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, NONCE_BYTES * DRAWN)
    os.close(reading)
    os.close(writing)
    ours = [nonces.next() for _ in range(DRAWN - 1)]
    assert not any(each in theirs for each in ours)
