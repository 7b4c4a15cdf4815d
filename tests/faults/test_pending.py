# SPDX-License-Identifier: Apache-2.0
"""Moments in which a guest hangs on the daemon alone, and QEMUs on which nothing hangs at all."""

import contextlib

from support import Machine, create_qcow2
from support.machine import wait_until
from support.oracles import graph
from support.scene import pairs

from strikes import striking

STOOD = 5           # seconds for which a guest's writes may be held, once its monitor is back


def is_query(command):
    return command['name'].startswith('query-') or command['name'] in (
        'qmp_capabilities', 'x-debug-query-block-graph')


def stamp(event):
    return event['timestamp']['seconds'] + event['timestamp']['microseconds'] / 1e6


@pairs('work, name, fault', ('active commit', 'job-finalize', 'daemon-before'),
       ('move', 'job-complete', 'daemon-after'), ('revert', 'job-finalize', 'daemon-before'),
       ('full image', 'job-finalize', 'daemon-before'), ('move', 'job-finalize', 'daemon-before'),
       ('active commit', 'job-complete', 'daemon-after'), ('revert', 'job-complete', 'daemon-after'),
       ('full image', 'job-complete', 'daemon-after'), quick=[0, 2])
def test_a_job_that_holds_the_guest(qemu, work, name, fault, tmp_path):
    """The daemon dies then: the next one lets the guest go on before it does anything else."""
    with striking(tmp_path / 's', qemu, work) as strikes:
        s = strikes.s
        s.vm.qmp.events.clear()
        assert strikes.run(fault, name=name), f'it has no command {name}'
        dead = next(place for place, command in enumerate(strikes.commands) if command['fault'])
        later = strikes.commands[dead + 1:]
        freed = next(place for place, command in enumerate(later)
                     if command['name'] in ('job-finalize', 'job-cancel'))
        # Whoever goes back to a point must not run in between.
        told = {command['name'] for command in later[:freed] if not is_query(command)}
        assert told <= ({'stop'} if work == 'revert' else set()), told
        s.vm.qmp.execute('query-status')
        ended = [stamp(event) for event in s.vm.qmp.events if event['event'] == 'JOB_STATUS_CHANGE'
                 and event['data']['status'] in ('concluded', 'aborting')
                 and stamp(event) > strikes.commands[dead]['at']]
        stood = min(ended) - strikes.commands[dead]['at']
        back = min(ended) - later[0]['at']
        print(f'{work}: the guest stood for {stood:.2f} s, of these {back:.2f} s with its monitor back')
        assert back < STOOD


# Another QEMU where the first one was

@contextlib.contextmanager
def another(s, folder, qemu, **options):
    """A guest of somebody else's, with disks of its own, on the way to ours."""
    folder.mkdir()
    disks = [create_qcow2(folder / f'{index}', qemu=qemu) for index in range(len(s.paths))]
    ours = s.trap.target
    with Machine(qemu, disks=disks, folder=folder / 'p', **options) as vm:
        vm.wait_for_writes(20)
        s.trap.target = str(vm.qmp_path)
        s.trap.start()
        try:
            yield vm
        finally:
            s.trap.stop()
            s.trap.target = ours


def state(vm):
    """Whatever can be done to a guest by its monitor."""
    now = graph(vm.qmp)
    return (now.chains, sorted(now.nodes), now.jobs, vm.qmp.execute('query-status')['status'],
            [block['inserted']['image']['virtual-size'] for block in vm.qmp.execute('query-block')])


UUIDS = [f'0a1b2c3d-0000-4000-8000-00000000000{number}' for number in (1, 2)]


@pairs('work, name, named', ('snapshot', 'blockdev-add', True), ('commit', 'job-finalize', False),
       ('revert', 'job-complete', True), ('move', 'job-finalize', False),
       ('full image', 'block-commit', True), ('active commit', 'job-finalize', True),
       ('stream', 'job-finalize', True), ('copy', 'blockdev-add', True),
       ('delete', 'job-finalize', True), ('shorten', 'blockdev-del', False),
       ('restore', 'job-complete', True), quick=[0, 5])
def test_another_guest_where_it_was(qemu, work, name, named, tmp_path):
    """It is told nothing. When the first one comes back all is brought to its end.

    named   they have UUIDs; else they can only be told from one another by their disks: the operation
            is given up then, and what it has made stays
    """
    uuid = [{'uuid': uuid} for uuid in UUIDS] if named else [{}, {}]
    with striking(tmp_path / 's', qemu, work, **uuid[0]) as strikes:
        def meet(s):
            """Instead of what becomes of an operation of which both have died."""
            s.vm.kill()
            before = len(s.trap.commands())
            with another(s, tmp_path / 'o', qemu, **uuid[1]) as vm:
                was = state(vm)
                wait_until(lambda: len(s.trap.commands()) > before, 'it is seen by the daemon')
                vm.wait_for_writes(300)
                told = [command for command in s.trap.commands()[before:] if not is_query(command)]
                assert not told, f'it was told {told}'
                assert state(vm) == was
                assert not vm.errors()
        strikes.meanwhile, strikes.strict = meet, named
        assert strikes.run('guest-before', name=name), f'it has no command {name}'
