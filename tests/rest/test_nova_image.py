# SPDX-License-Identifier: Apache-2.0
"""Nova's createImage of a running guest: what clients are told, and when."""

import os
import threading

import pytest

from support import Machine, create_raw, programs
from support.machine import wait_until
from support.oracles import assert_name, check

UUID = '5c1e0f64-94a3-4b8e-8a53-6f0f5a9d2b11'
SERVER = f'/v2.1/servers/{UUID}'
TASKS = ['image_snapshot_pending', 'image_snapshot', 'image_pending_upload', 'image_uploading', None]
MIB = 1 << 20


@pytest.fixture(scope='module')
def disk(tmp_path_factory):
    """One with so much data that its upload can be watched."""
    folder = tmp_path_factory.mktemp('vm')
    raw = create_raw(folder / 'raw', size='256M', content=bytes(MIB) + os.urandom(MIB) * 160)
    programs.img('convert', '-f', 'raw', '-O', 'qcow2', raw, folder / 'disk')
    return folder / 'disk'


@pytest.fixture(scope='module')
def machine(disk, tmp_path_factory):
    """The guest that writes to it; killed at the end, it has lost nothing."""
    with Machine(disks=[disk], folder=tmp_path_factory.mktemp('p'), kind='blockdev', uuid=UUID) as vm:
        yield vm
        vm.kill()
        assert_name([disk], vm.acked())
        check(disk)


@pytest.fixture(scope='module')
def guest(daemon, machine):
    daemon.attach(machine.qmp_path, id='web')
    machine.wait_for_writes(20)
    yield daemon
    assert daemon.delete('/v1/guests/web').status == 204


def create(daemon, name='x', minor=45, **members):
    return daemon.post(SERVER + '/action', {'createImage': {'name': name, **members}},
                       headers={'OpenStack-API-Version': f'compute 2.{minor}'})


def task(daemon):
    return daemon.get(SERVER).json['server']['OS-EXT-STS:task_state']


def over(daemon):
    wait_until(lambda: task(daemon) is None, 'the server has no task any more', timeout=120)


def chain(daemon):
    """The files, by inode: the first point gives the active one another name."""
    disks = daemon.get('/v1/guests/web/disks').json['disks']
    layers = next(disk['layers'] for disk in disks if disk['name'] == 'disk0')
    return [os.stat(layer['path']).st_ino for layer in layers]


def test_an_image(guest):
    """Its record is there with the answer; the task goes its way; the disk is in the end as it was."""
    before = chain(guest)
    answer = create(guest, 'nova-image', metadata={'purpose': 'test'})
    seen = [task(guest)]
    assert answer.status == 202, answer.body
    assert 'Location' not in answer.headers
    image = guest.get('/v1/images/' + answer.json['image_id']).json
    assert (image['name'], image['properties']['purpose']) == ('nova-image', 'test')

    while seen[-1] is not None:
        now = task(guest)
        if now != seen[-1]:
            seen.append(now)
    assert 'image_uploading' in seen
    assert [TASKS.index(each) for each in seen] == sorted(TASKS.index(each) for each in seen)

    image = guest.get('/v1/images/' + answer.json['image_id']).json
    assert image['status'] == 'active'
    assert image['properties']['image_type'] == 'snapshot'
    assert image['properties']['instance_uuid'] == UUID
    assert chain(guest) == before

    request = answer.headers['X-Compute-Request-Id']
    action = guest.get(f'{SERVER}/os-instance-actions/{request}').json['instanceAction']
    assert (action['action'], action['message']) == ('createImage', None)
    events = [event['event'] for event in action['events']]
    assert events.index('create-images') < events.index('take-point') < events.index('upload')
    assert {event['result'] for event in action['events']} == {'Success'}


def test_location_below_2_45(guest):
    answer = create(guest, minor=44)
    assert (answer.status, answer.body) == (202, b'')
    base, image = answer.headers['Location'].rsplit('/', 1)
    assert base == 'http://localhost/v1/images'
    assert guest.get('/v1/images/' + image).status == 200
    over(guest)


def test_a_second_one_meanwhile(guest):
    """Refused in Nova's words, which name the task."""
    assert create(guest).status == 202
    for action in 'createImage', 'snapshot':
        refused = guest.post(SERVER + '/action', {action: {'name': 'too-early'}})
        assert refused.status == 409
        said = refused.json['conflictingRequest']['message']
        assert said.startswith(f"Cannot '{action}' instance {UUID} while it is in task_state image_")
    over(guest)
    assert create(guest).status == 202
    over(guest)


def test_two_at_the_same_time(guest):
    """One is taken, and the other one told why it is not."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(create(guest))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [202, 409]
    refused = next(answer for answer in answers if answer.status == 409)
    assert refused.json['conflictingRequest']['message']
    over(guest)


def test_one_that_is_cancelled(guest):
    """Its image goes, and the server is free again."""
    answer = create(guest)
    operation = answer.headers['X-Compute-Request-Id'].removeprefix('req-')
    guest.delete(f'/v1/operations/{operation}')
    over(guest)
    state = guest.finished(operation)['state']
    assert state in ('cancelled', 'succeeded')
    assert guest.get('/v1/images/' + answer.json['image_id']).status == (200 if state == 'succeeded' else 404)
    action = guest.get(f'{SERVER}/os-instance-actions/req-{operation}').json['instanceAction']
    assert (action['message'] is None) == (state == 'succeeded')


def test_a_snapshot_of_layers_still_goes(guest):
    """At the end, since it makes the chain longer."""
    answer = guest.post(SERVER + '/action', {'snapshot': {'name': 'layer'}}, headers={'X-OpenStack-Nova-API-Version': '2.90'})
    assert answer.status == 202, answer.body
    assert guest.get('/v1/images/' + answer.json['image_id']).status == 200
    over(guest)
    assert len(chain(guest)) == 2
