# SPDX-License-Identifier: Apache-2.0
"""The same of guests that are shut off: by the same names, with the same results."""

import pytest

from support import Machine, programs, qemus
from support.chains import one_disk
from support.oracles import compare
from support.scene import pairs

from test_chain_commit import commit
from test_chain_stream import stream


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_commits(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(5)
        s.shut_off()
        s.still = True
        # Then it is written to whenever it is opened to be committed.
        programs.img('bitmap', '--add', s.paths[0][0], 'backup', qemu=qemu)
        commit(s, kept, 2, 1)
        commit(s, kept, 3, 1)
        commit(s, kept, 1, 0)
        assert len(s.layers()) == 1
        s.still = False
        s.restart()
        s.point()
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_streams(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(5)
        s.shut_off()
        stream(s, 3, 1)
        stream(s, 3, 0)
        stream(s, 1, None)
        s.restart()
        s.point()
        s.judge()


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('top, base', [(top, base) for top in range(1, 5) for base in range(top)])
def test_every_pair(qemu, top, base, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind='drive') as s:
        kept = s.deepen(5)
        s.shut_off()
        commit(s, kept, top, base)
        s.restart()
        s.point()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_points_are_deleted(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, second, third, fourth = s.deepen(5)
        s.shut_off()
        for kept in second, first, fourth:
            s.delete(kept)
        s.restart()
        s.delete(third)
        s.grow()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_back_to_a_point(qemu, kind, chains):
    with chains(qemu, kind=kind) as s:
        first, second, third = s.deepen(4)
        s.shut_off()
        _, branch = s.revert(first)
        for index, copy in first.copies.items():
            compare(s.paths[index], (copy, 'raw'), qemu)
        s.revert(branch)
        s.revert(second)
        mark = s.vm.mark()
        s.vm.start()
        s.wait_record(second.number + 1, mark)
        s.restarted = True
        s.renamed.clear()
        s.wait_attached()
        s.grow()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_back_to_what_shares_nothing(qemu, kind, chains, tmp_path):
    """The guest is worked on as before, though nothing of its chain was there when it ran."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        first = s.point()
        s.grow()
        s.stream()
        s.shut_off()
        _, branch = s.revert(first)
        _, other = s.revert(branch)
        s.revert(first)
        s.delete(other)
        s.daemon.kill()
        s.daemon.start()
        assert s.ask_for('tree', method='GET').status == 200
        s.restart()
        s.point()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_images_that_somebody_has_open(qemu, kind, chains, tmp_path):
    """The guest of the record is off, but its disk is in use: by whom does not matter."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(3)
        s.shut_off()
        with Machine(qemu, disks=[s.paths[0][0]], folder=tmp_path / 'q') as other:
            before = s.layers(), s.listed()
            answer = s.ask_for('disks', 'disk0', 'stream')
            assert answer.status in (409, 503), answer.body
            assert (s.layers(), s.listed()) == before
            other.wait_for_writes(10)
            assert not other.errors()
            other.quit()
        s.vm.start()
        s.wait_writing()
        s.restarted = True
        s.renamed.clear()
        s.wait_attached()
        s.judge()


def test_a_guest_that_was_never_seen(chains, tmp_path):
    with chains(disks=one_disk(tmp_path)) as s:
        answer = s.daemon.post('/v1/guests/nobody/disks/disk0/commit', {})
        assert answer.status == 404, answer.body
