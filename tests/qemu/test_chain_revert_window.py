# SPDX-License-Identifier: Apache-2.0
"""While a guest stands for a revert: what others do then, and what goes wrong, leaves it neither
stopped nor running on disks that it does not know."""

import contextlib
import json
import threading
import time

import pytest

from support import qemus
from support.machine import wait_until
from support.relay import Relay


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
