# SPDX-License-Identifier: Apache-2.0
"""Each command that an operation sends to QEMU goes wrong: refused, lost, unanswered, late, or somebody
dies before it or after it.

Whatever it was: the outcome is known, within 10 s of the monitor being back; nothing is left that
nobody needs; nobody was left frozen or stopped; the next operation works.
"""

import pytest

from support.chains import dice
from support.scene import pairs

from link import FAULTS
from operations import WORKS
from stride import thinned
from strikes import SILENT, DaemonScene, striking

MANY = 6            # faults for one guest: its chains become long
MORE = 3            # commands that one operation has, and the one before had not

# What moves a guest that stands still, or resets it.
NOT_PAUSED = ('revert', 'restore')
# What a storage daemon refuses: who uses its disks is not known.
NOT_SERVED = ('revert', 'restore')

GUESTS = [('drive', 'virtio', False), ('blockdev', 'scsi', True), ('blockdev', 'virtio', False),
          ('drive', 'scsi', True)]


def rows(works, *more):
    """Each of them, with the kinds of guests in turn."""
    return [(work, *GUESTS[place % len(GUESTS)], *more) for place, work in enumerate(works)]


def one(strikes, chance, faults):
    """One of them, by chance, at a command by chance."""
    count = len(strikes.dry())
    assert strikes.run(chance.choice(faults), chance.randint(1, count - 2)), 'it never came to that'


QUICK = [fault for fault in FAULTS if fault != SILENT]
HARMLESS = [fault for fault in QUICK if not fault.startswith(('guest', 'both'))]


@pairs('work, kind, interface, iothread', *rows(WORKS))
def test_a_command_goes_wrong(qemu, work, kind, interface, iothread, tmp_path):
    with striking(tmp_path / 's', qemu, work, kind=kind, interface=interface, iothread=iothread,
                  agent=kind == 'blockdev') as strikes:
        one(strikes, dice(qemu, work, kind), QUICK)


@pairs('work', *[(work,) for work in WORKS if work not in NOT_SERVED], quick=[4])
def test_one_to_a_storage_daemon_goes_wrong(qemu, work, tmp_path):
    with striking(tmp_path / 's', qemu, work, scene=DaemonScene) as strikes:
        one(strikes, dice(qemu, work), HARMLESS)


@pairs('work, kind, interface, iothread', *rows(work for work in WORKS if work not in NOT_PAUSED),
       quick=[0])
def test_one_to_a_paused_guest_goes_wrong(qemu, work, kind, interface, iothread, tmp_path):
    with striking(tmp_path / 's', qemu, work, kind=kind, interface=interface, iothread=iothread,
                  paused=True) as strikes:
        one(strikes, dice(qemu, work, kind), QUICK)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('fault', FAULTS)
@pairs('work, kind, interface, iothread', *rows(WORKS))
def test_each_command_goes_wrong(qemu, work, kind, interface, iothread, fault, tmp_path):
    """All of them, one after the other; of those that are not answered some: each takes 30 s."""
    chance = dice(qemu, work, kind, fault)
    number, tried, places = 0, 0, None
    while places is None or places:
        number += 1
        with striking(tmp_path / str(number), qemu, work, kind=kind, interface=interface,
                      iothread=iothread, agent=kind == 'blockdev') as strikes:
            if places is None:
                count = len(strikes.dry())      # the next one may need some more, or some less
                places = thinned(chance, range(1, count + MORE), 8 if fault == SILENT else 1)
                least = len(places) // 2
            for place in places[:MANY]:
                strikes.run(fault, place)
            places = places[MANY:]
            tried += strikes.tried
    assert tried >= least, 'it hardly ever came to that'


@pairs('work', ('revert',), ('restore',), quick=[0])
def test_the_reset_is_refused(qemu, work, tmp_path):
    """The guest stands until it has been done: what it remembers is of other disks."""
    with striking(tmp_path / 's', qemu, work) as strikes:
        assert strikes.run('error', name='system_reset')
        refused = next(place for place, command in enumerate(strikes.commands) if command['fault'])
        later = [command['name'] for command in strikes.commands[refused + 1:]]
        assert 'cont' not in later[:later.index('system_reset')]


# Refused for ever

def besieged(strikes, name):
    strikes.run('error', 1, name=name, times=0)


@pairs('work, name', ('commit', 'job-finalize'), ('move', 'job-complete'),
       ('revert', 'blockdev-del'), ('snapshot', 'transaction'), quick=[1, 2])
def test_one_is_refused_until_nobody_can_go_on(qemu, work, name, tmp_path):
    with striking(tmp_path / 's', qemu, work) as strikes:
        names = strikes.dry()
        assert name in names, f'it does not need {name}, only {sorted(set(names))}'
        besieged(strikes, name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pairs('work, kind, interface, iothread', *rows(WORKS))
def test_each_is_refused_until_nobody_can_go_on(qemu, work, kind, interface, iothread, tmp_path):
    """By its name, for as long as the operation goes on."""
    chance = dice(qemu, work, kind)
    number, names = 0, None
    while names is None or names:
        number += 1
        with striking(tmp_path / str(number), qemu, work, kind=kind, interface=interface,
                      iothread=iothread) as strikes:
            if names is None:
                names = thinned(chance, sorted(set(strikes.dry())))
            for name in names[:MANY]:
                besieged(strikes, name)
            names = names[MANY:]
