# SPDX-License-Identifier: Apache-2.0
"""Filesystems that are frozen around the point, and guest agents of every temper."""

import datetime
import os

import pytest

from support import qemus
from support.agent import agents
from support.machine import wait_until
from support.scene import pairs

newest = pytest.mark.parametrize('qemu', qemus()[-1:], ids=str)


@pytest.fixture
def agent(tmp_path):
    with agents(tmp_path / 'qga') as make:
        yield make


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()


def steps(operation):
    return {step['name']: (seconds(step['begun']), seconds(step['ended']))
            for step in operation['steps']}


@pairs('kind, policy',
       ('drive', 'require'), ('blockdev', 'try'), ('blockdev', 'require'), ('drive', 'try'))
def test_frozen_around_the_transaction_alone(qemu, kind, policy, scene, agent, tmp_path):
    fake = agent('fine')
    with scene(qemu, kind=kind, attach={'agent': str(tmp_path / 'qga')}) as s:
        for number in range(2):
            operation = s.backup(quiesce=policy)
            assert operation['result']['quiesced'] == 'yes'
            assert s.daemon.get('/v1/guests/g/snapshots').json['snapshots'][-1]['quiesced'] is True
            freezes, thaws = fake.times('fsfreeze-freeze'), fake.times('fsfreeze-thaw')
            assert len(freezes) == len(thaws) == number + 1
            assert not fake.frozen
            freeze, thaw = freezes[-1], thaws[-1]
            when = steps(operation)
            assert when['open-overlays'][1] <= freeze, 'frozen before all was prepared'
            assert thaw <= when['record-point'][0] + 0.001, 'frozen although the point was there'
            assert thaw - freeze < 2
            held = [event for event in s.vm.qmp.events if event['event'] in ('STOP', 'RESUME')]
            s.vm.qmp.execute('query-status')
            for event in held:
                at = event['timestamp']['seconds'] + event['timestamp']['microseconds'] / 1e6
                assert freeze <= at <= thaw, 'the guest stood still outside of the freeze'
            s.vm.qmp.events.clear()
        s.backup(quiesce='none')
        assert len(fake.times('fsfreeze-freeze')) == 2


@pytest.mark.parametrize('temper', ['silent', 'refusing', 'absent', 'thawing', 'dying'])
@pytest.mark.parametrize('policy', ['try', 'require'])
@newest
def test_agents_that_do_not_freeze(qemu, policy, temper, scene, agent, tmp_path):
    fake = agent(temper) if temper != 'absent' else None
    options = {'snapshot.freeze-timeout': '1s', 'snapshot.thaw-after': '3s'}
    kind = 'blockdev' if policy == 'try' else 'drive'
    with scene(qemu, kind=kind, daemon=options, attach={'agent': str(tmp_path / 'qga')}) as s:
        before, state = s.vm.acked(), s.state()
        operation = s.daemon.snapshot(s.guest, quiesce=policy)
        if policy == 'try':
            s.judge_point(operation, before, s.vm.acked())
            assert operation['result']['quiesced'] == 'no'
            point = s.daemon.get('/v1/guests/g/snapshots').json['snapshots'][-1]
            assert point['quiesced'] is False
            if temper != 'thawing':
                assert operation['result']['quiesce_error']
        elif temper == 'thawing':       # which it tells when it is thawed: the point is there by then
            assert operation['state'] == 'failed', 'a point passes for quiesced that is not'
            assert 'frozen' in operation['error']['message']
            assert operation['result']['quiesced'] == 'no'
            s.judge_layers(operation, before, s.vm.acked())
        else:
            assert operation['state'] == 'failed', operation
            assert 'agent' in operation['error']['message']
            assert {**s.state(), 'operations': 0} == {**state, 'operations': 0}
        assert s.vm.qmp.execute('query-status')['status'] == 'running'
        if fake:
            wait_until(lambda: not fake.frozen, 'it is thawed', timeout=10)
            assert len(fake.times('fsfreeze-freeze')) <= 1
        s.backup(quiesce='none')


@newest
def test_thawed_after_the_daemon_has_died(qemu, scene, agent, tmp_path):
    """A freeze that nobody is left to take back is taken back by the next daemon."""
    fake = agent('slow')
    with scene(qemu, kind='drive', attach={'agent': str(tmp_path / 'qga')}) as s:
        s.begin(quiesce='require')
        wait_until(lambda: fake.times('fsfreeze-freeze'), 'it is being frozen')
        s.daemon.kill()
        wait_until(lambda: fake.frozen, 'it is frozen')
        fake.temper = 'fine'
        s.daemon.start()
        wait_until(lambda: not fake.frozen, 'it is thawed', timeout=20)
        s.wait_attached()
        operation = s.daemon.finished(s.operations()[0])
        assert operation['state'] == 'failed'
        s.judge()
        assert s.backup(quiesce='require')['result']['quiesced'] == 'yes'


@newest
def test_the_timer_thaws(qemu, scene, agent, tmp_path):
    """Cancelled while the agent takes its time: thawed all the same."""
    fake = agent('slow')
    options = {'snapshot.freeze-timeout': '500ms', 'snapshot.thaw-after': '2s'}
    with scene(qemu, kind='blockdev', daemon=options, attach={'agent': str(tmp_path / 'qga')}) as s:
        operation = s.daemon.snapshot(s.guest, quiesce='require')
        assert operation['state'] == 'failed'
        assert operation['error']['code'] == 'timeout', operation['error']
        wait_until(lambda: fake.times('fsfreeze-thaw') and not fake.frozen, 'it is thawed', timeout=20)
        fake.temper = 'fine'
        assert s.backup(quiesce='require')['result']['quiesced'] == 'yes'
        assert not os.path.exists(tmp_path / 'a' / 'disk.2')
