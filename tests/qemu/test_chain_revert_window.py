# SPDX-License-Identifier: Apache-2.0
"""While a guest stands for a revert: what others do then, and what goes wrong, leaves it neither
stopped nor running on disks that it does not know."""

import contextlib
import json
import os
import threading
import time

import pytest

from support import qemus
from support.full import small_filesystem
from support.machine import wait_until
from support.relay import Relay
from support.scene import pairs

from test_chain_kills import MOMENTS
import test_space


class Doubter(Relay):
    """One look at the block graph fails, once the relay has seen `after`."""

    def __init__(self, *places, after):
        super().__init__(*places)
        self.after, self.seen = after, []

    def _pass(self, here, there):
        for line in here.makefile('rb'):
            request = json.loads(line)
            self.seen.append(request['execute'])
            if self.after in self.seen and request['execute'] == 'query-named-block-nodes':
                self.after = None
                request = {'execute': 'no-such-command', 'id': request['id']}
            there.sendall(json.dumps(request).encode() + b'\n')


@pytest.mark.parametrize('qemu', qemus(), ids=str)
def test_a_look_that_fails(qemu, chains, tmp_path):
    """The devices are moved, and nobody could see it: the guest waits, and is reset before it goes on."""
    with chains(qemu, kind='blockdev') as s, contextlib.ExitStack() as stack:
        first, = s.deepen(2)
        relay = stack.enter_context(Doubter(tmp_path / 'relay', s.vm.qmp_path, after='job-finalize'))
        s.daemon.delete(s.path())
        s.guest = s.daemon.attach(relay.path, id='g')
        mark = s.vm.mark()
        operation = s.work('snapshots', first.id, 'revert')
        assert relay.after is None, 'no look has failed'
        reset = relay.seen.index('system_reset')
        assert 'cont' not in relay.seen[:reset]
        s.keep_new()
        s.at(first, mark)
        assert s.status() == 'running' and operation['result']['disks']
        s.daemon.delete(s.path())
        s.guest = s.daemon.attach(s.vm.qmp_path, id='g')


@pytest.mark.parametrize('qemu', qemus(), ids=str)
def test_two_at_once(qemu, chains):
    """The one finds the guest stopped by the other, which is not its owner's wish."""
    with chains(qemu, kind='blockdev') as s:
        first, = s.deepen(2)
        for pause in range(6):
            operations = []

            def begin(name, delay):
                time.sleep(delay)
                operations.append(s.begin_to('snapshots', first.id, 'revert', disks=[name], discard=True))
            threads = [threading.Thread(target=begin, args=each)
                       for each in (('disk0', 0), ('disk1', pause / 100))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for operation in operations:
                assert s.daemon.finished(operation)['state'] == 'succeeded'
            assert s.status() == 'running', f'after {pause / 100} s'
        mark = s.vm.mark()
        s.work('snapshots', first.id, 'revert', discard=True)   # both are of one moment again
        s.at(first, mark)
        wait_until(lambda: s.status() == 'running', 'the guest runs')


@pairs('kind, ends', ('drive', False), ('blockdev', True), quick=[0])
def test_started_from_mixed_names(qemu, kind, ends, chains):
    """One of two names has moved when all die, and the guest is started before the daemon knows."""
    with chains(qemu, kind=kind) as s:
        trap = s.trapped()
        first, = s.deepen(2)
        (moved, _), (stays, _) = s.paths
        trap.arm(MOMENTS['pending'], [s.daemon.pid, s.vm.pid], skip=1)
        operation = s.begin_to('snapshots', first.id, 'revert')
        assert trap.snapped()
        s.daemon.wait()
        s.vm.kill()
        trap.stop()
        os.link(moved + '.2', moved + '.new')
        os.rename(moved + '.new', moved)
        left = os.stat(stays).st_ino

        def told(operation):
            return s.daemon.get('/v1/operations/' + operation['id']).json['error']['message']
        s.vm.start()
        s.wait_writing()
        s.daemon.start()
        # It waits for the guest, or for whoever else may have the file.
        wait_until(lambda: 'has it open' in told(operation), 'it is tried')
        assert stays in told(operation) and 'finish' in told(operation)
        assert os.stat(stays).st_ino == left, 'the name of what the guest writes to has moved'
        if ends:
            s.vm.kill()
        else:
            trap.start()
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed' and 'anew' in operation['error']['message'], operation
        assert os.stat(stays).st_ino == left and not os.path.exists(stays + '.2')
        if ends:
            s.vm.start()
            trap.start()
        s.wait_attached()
        s.wait_writing()
        s.aside |= {moved + '.1'}
        mark = s.vm.mark()
        operation = s.work('snapshots', first.id, 'revert', discard=True)    # once more
        s.at(first, mark)
        s.restart()
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_guest_at_an_error(qemu, kind, chains, tmp_path):
    """Nobody has paused it: it goes on from what it is taken back to."""
    with small_filesystem(tmp_path / 'a', '64m') as folder, \
            chains(qemu, test_space.small_disk(folder, qemu), kind=kind) as s:
        with test_space.standing(s, folder):
            *_, kept = s.points.values()
            os.truncate(folder / 'filler', 0)
            mark = s.vm.mark()
            s.work('snapshots', kept.id, 'revert', discard=True)
        s.still = False
        s.at(kept, mark)
        assert s.status() == 'running' and not test_space.told(s)['alarms']
        s.judge()
