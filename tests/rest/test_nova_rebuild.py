# SPDX-License-Identifier: Apache-2.0
"""Nova's rebuild of a running guest: an image of the store becomes its disk."""

import os

import pytest

from support import Machine, create_qcow2
from support.machine import wait_until
from support.oracles import chain, check

UUID = '0b8f1a39-7d1c-4c39-8f6e-2d6f3f1c5a77'
SERVER = f'/v2.1/servers/{UUID}'
NOBODY = '00000000-0000-4000-8000-000000000000'


@pytest.fixture(scope='module')
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('vm')
    with Machine(disks=[create_qcow2(folder / 'disk', '64M')], folder=tmp_path_factory.mktemp('p'), kind='blockdev',
                 uuid=UUID) as vm:
        yield vm


@pytest.fixture
def guest(daemon, machine):
    daemon.attach(machine.qmp_path, id='web')
    machine.wait_for_writes(20)
    yield daemon
    assert daemon.delete('/v1/guests/web').status == 204


def act(daemon, minor=45, **action):
    return daemon.post(SERVER + '/action', action, headers={'OpenStack-API-Version': f'compute 2.{minor}'})


def server(daemon):
    return daemon.get(SERVER).json['server']


def over(daemon):
    wait_until(lambda: server(daemon)['OS-EXT-STS:task_state'] is None, 'the server has no task any more', timeout=120)


@pytest.fixture
def image(guest):
    answer = act(guest, createImage={'name': 'to go back to'})
    assert answer.status == 202, answer.body
    over(guest)
    return answer.json['image_id']


def test_a_rebuild(guest, machine, image):
    """The guest is reset, and begins anew with what the image holds; QEMU is still the same."""
    machine.wait_for_writes(50)
    mark, pid = machine.mark(), machine.pid
    answer = act(guest, rebuild={'imageRef': image, 'name': 'web', 'metadata': {}, 'preserve_ephemeral': False})
    assert answer.status == 202, answer.body
    told = answer.json['server']
    assert (told['id'], told['status'], told['OS-EXT-STS:task_state']) == (UUID, 'REBUILD', 'rebuilding')
    assert answer.headers['Location'].endswith(SERVER)
    request = answer.headers['X-Compute-Request-Id']
    over(guest)
    assert server(guest)['status'] == 'ACTIVE'

    action = guest.get(f'{SERVER}/os-instance-actions/{request}').json['instanceAction']
    assert (action['action'], action['message']) == ('rebuild', None)
    assert action['events'] and {event['result'] for event in action['events']} == {'Success'}

    wait_until(lambda: len(machine.since(mark)) > 20, 'the guest writes again')
    numbers = [report.number for report in machine.since(mark) if report.kind == 'R']
    assert machine.pid == pid
    # It goes on where the image was taken, before what it had written since.
    turn = next(index for index, number in enumerate(numbers[1:]) if number < numbers[index])
    assert numbers[turn + 1] <= numbers[turn] - 40
    points = guest.get('/v1/guests/web/snapshots').json['snapshots']
    assert points, 'what the disk showed before is kept'
    for layer in chain(machine.disks[0]):
        assert os.path.exists(layer.path)
    check(machine.disks[0], live=True)


def test_one_at_a_time(guest, image):
    first = act(guest, rebuild={'imageRef': image})
    assert first.status == 202, first.body
    second = act(guest, rebuild={'imageRef': image})
    over(guest)
    assert second.status == 409
    assert second.json['conflictingRequest']['message'] == \
        f"Cannot 'rebuild' instance {UUID} while it is in task_state rebuilding"


@pytest.mark.parametrize('body, problem', [
    ({}, 'imageRef'), ({'imageRef': 1}, 'imageRef'), ({'imageRef': 'x', 'adminPass': 'secret'}, 'adminPass'),
    ({'imageRef': 'x', 'user_data': 'eA=='}, 'user_data'), ({'imageRef': 'x', 'disk': 'disk0'}, 'disk'),
])
def test_what_makes_no_sense(guest, body, problem):
    answer = act(guest, rebuild=body)
    assert answer.status == 400
    assert problem in answer.json['badRequest']['message']
    assert server(guest)['status'] == 'ACTIVE'


def test_an_image_that_is_not_there(guest):
    """Refused, or told by the action; the server is as it was."""
    answer = act(guest, rebuild={'imageRef': NOBODY})
    over(guest)
    if answer.status == 202:
        action = guest.get(f"{SERVER}/os-instance-actions/{answer.headers['X-Compute-Request-Id']}").json['instanceAction']
        assert NOBODY in action['message']
    else:
        assert answer.status in (400, 404) and NOBODY in answer.body.decode()
    assert server(guest)['status'] == 'ACTIVE'
