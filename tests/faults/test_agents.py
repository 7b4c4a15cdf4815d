# SPDX-License-Identifier: Apache-2.0
"""Guest agents that go wrong in the middle of a freeze: no guest stays frozen, and no point passes for what it is not."""

import time

import pytest

from support import qemus
from support.agent import agents
from support.machine import wait_until
from support.scene import Scene

newest = pytest.mark.parametrize('qemu', qemus()[-1:], ids=str)
OPTIONS = {'snapshot.freeze-timeout': '1s', 'snapshot.thaw-after': '3s'}


@pytest.fixture
def agent(tmp_path):
    with agents(tmp_path / 'qga') as make:
        yield make


@pytest.mark.parametrize('temper', ['half', 'types', 'garbage', 'late', 'windows'])
@pytest.mark.parametrize('policy', ['try', 'require'])
@newest
def test_tempers(qemu, policy, temper, agent, tmp_path):
    fake = agent(temper)
    kind = 'blockdev' if policy == 'try' else 'drive'
    with Scene(tmp_path, qemu, kind=kind, daemon=OPTIONS, attach={'agent': str(tmp_path / 'qga')}) as s:
        before, state = s.vm.acked(), s.state()
        operation = s.daemon.snapshot(s.guest, quiesce=policy)
        if policy == 'try':
            s.judge_point(operation, before, s.vm.acked())
            assert operation['result']['quiesced'] == 'no'
            assert s.daemon.get('/v1/guests/g/snapshots').json['snapshots'][-1]['quiesced'] is False
        elif temper == 'windows':       # the point is there by then
            assert operation['state'] == 'failed', 'a point passes for quiesced that is not'
            assert operation['result']['quiesced'] == 'no'
            s.judge_layers(operation, before, s.vm.acked())
        else:
            assert operation['state'] == 'failed', operation
            assert 'agent' in operation['error']['message']
            assert {**s.state(), 'operations': 0} == {**state, 'operations': 0}
        wait_until(lambda: fake.times('fsfreeze-freeze') and not fake.frozen, 'it is thawed', timeout=10)
        assert s.vm.qmp.execute('query-status')['status'] == 'running'
        fake.temper = 'fine'

        def again():
            before = s.vm.acked()
            later = s.daemon.snapshot(s.guest, quiesce='require')
            if later['state'] != 'succeeded':
                return None
            s.judge_point(later, before, s.vm.acked())
            return later
        # A freeze that is late is waited for, and none is begun meanwhile.
        operation = wait_until(again, 'it can be frozen again', timeout=20, interval=0.5)
        assert operation['result']['quiesced'] == 'yes' and not fake.frozen


@newest
def test_killed_while_it_is_frozen(qemu, agent, tmp_path):
    """The daemon that comes after thaws before anything else."""
    fake = agent('stuck')
    with Scene(tmp_path, qemu, kind='drive', attach={'agent': str(tmp_path / 'qga')}) as s:
        taken = []
        for _ in range(3):
            fake.temper = 'stuck'
            begun = s.begin(quiesce='require')
            wait_until(lambda: fake.frozen, 'it is frozen')
            s.daemon.kill()
            fake.temper = 'fine'
            asked = len(fake.log)
            s.daemon.start()
            ready = time.monotonic()
            wait_until(lambda: not fake.frozen, 'it is thawed', timeout=10)
            taken.append(time.monotonic() - ready)
            assert [name for _, name in fake.log[asked:] if name != 'sync-delimited'][:2] == ['fsfreeze-status', 'fsfreeze-thaw']
            assert s.daemon.finished(begun)['state'] == 'failed'
            s.wait_attached()
        print(f'\nthawed after a restart within {max(taken):.2f} s')
        assert max(taken) < 10
        assert s.backup(quiesce='require')['result']['quiesced'] == 'yes'
