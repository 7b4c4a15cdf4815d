# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own clients, a real Glance and no Keystone: images of a guest that writes."""

import contextlib

import pytest

from clients_site import MIB, TASKS, UUID, Site
from support import Machine
from support.agent import Agent
from support.clients import Clients
from support.gate import Gate
from support.glance import Glance
from support.keystone import Keystone
from support.machine import wait_until

TOKEN = 'somebody:demo:member'      # of the daemon's file, and good for Glance
CAP = 64 * MIB
OTHER = '8a0cbf6e-6a0c-4d5c-b0a4-0a7fd8c1f6d2'
NOBODY = '00000000-0000-4000-8000-000000000000'


@pytest.fixture(scope='module')
def glance():
    with Glance('fakeauth', f'image_size_cap = {CAP}') as running:
        yield running


@pytest.fixture(scope='module')
def gate(glance):
    """Between the daemon and Glance; clients do not pass it."""
    with Gate(glance.url) as gate:
        yield gate


def settings(folder, gate, **more):
    return {'glance.url': gate.url, 'glance.token-file': folder / 'token', **more}


@pytest.fixture(scope='module')
def site(gate, tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    with Site(folder, TOKEN, settings(folder, gate, **{'snapshot.quiesce': 'try'})) as running:
        yield running


def clients_of(site, glance):
    def cloud(auth_type, **auth):
        return {'auth_type': auth_type, 'auth': {'endpoint': site.url, **auth},
                'image_endpoint_override': glance.url}
    path = Keystone.write_clouds(site.folder / 'clouds.yaml', {
        'guests': cloud('admin_token', token=TOKEN), 'wrong': cloud('admin_token', token=TOKEN + 'x'),
        'none': cloud('none')})
    return Clients(path, 'guests')


@pytest.fixture(scope='module')
def clients(site, glance):
    return clients_of(site, glance)


@pytest.fixture(autouse=True)
def idle(site):
    """Whatever a test began is over before the next one."""
    yield
    site.idle()


def images(glance):
    status, answer = glance.call('GET', '/v2/images?limit=1000', token=TOKEN)
    assert status == 200
    return {image['id']: image for image in answer['images']}


def test_servers(clients):
    listed, = clients.openstack('server', 'list', '--long', '--name', '^we', '--status', 'ACTIVE',
                                '-f', 'json').json
    assert (listed['ID'], listed['Name'], listed['Status']) == (UUID, 'web', 'ACTIVE')
    assert (listed['Task State'], listed['Power State']) == (None, 1)
    assert clients.openstack('server', 'list', '--status', 'SHUTOFF', '-f', 'json').json == []
    for name in UUID, 'web':
        shown = clients.openstack('server', 'show', name, '-f', 'json').json
        assert (shown['id'], shown['name'], shown['status']) == (UUID, 'web', 'ACTIVE')
    row, = clients.nova('list').table
    assert (row['ID'], row['Status'], row['Task State']) == (UUID, 'ACTIVE', '-')
    assert clients.nova('show', 'web').fields['OS-EXT-STS:vm_state'] == 'active'


def test_an_image_is_a_disk_to_boot_from(site, clients, tmp_path):
    """Its record is what Nova would have made; its data is one point, and the disk is as before."""
    before, layers = site.vm.wait_for_writes(20), site.layers()
    image = clients.openstack('server', 'image', 'create', 'web', '--name', 'to boot', '--wait',
                              '--property', 'purpose=a test', '-f', 'json').json
    site.idle()
    after = site.vm.acked()
    assert (image['name'], image['status'], image['disk_format']) == ('to boot', 'active', 'qcow2')
    properties = image['properties']
    assert (properties['image_type'], properties['image_location'], properties['image_state']) == \
        ('snapshot', 'snapshot', 'available')
    assert (properties['instance_uuid'], properties['purpose']) == (UUID, 'a test')
    assert site.layers() == layers
    assert clients.openstack('image', 'show', 'to boot', '-f', 'json').json == image

    clients.openstack('image', 'save', '--file', tmp_path / 'saved', image['id'])
    assert (tmp_path / 'saved').stat().st_size == image['size']
    site.judge_image(tmp_path / 'saved', before, after)


def test_what_the_guest_was_made_from_is_handed_on(site, glance, clients):
    status, base = glance.call('POST', '/v2/images', {
        'name': 'base', 'disk_format': 'raw', 'container_format': 'bare', 'os_type': 'linux',
        'img_signature': 'of other data'}, token=TOKEN)
    assert status == 201, base
    status, answer = glance.call('PUT', f"/v2/images/{base['id']}/file", bytes(512), TOKEN, 'application/octet-stream')
    assert status == 204, answer
    with site.attached(image_refs={'*': base['id']}):
        image = clients.openstack('server', 'image', 'create', 'web', '--name', 'made', '-f', 'json').json
    made = images(glance)[image['id']]      # not all that is there does the client show
    assert (made['base_image_ref'], made['os_type']) == (base['id'], 'linux')
    assert 'img_signature' not in made


@pytest.mark.parametrize('version', ['2.1', '2.45', '2.90'])
def test_each_version(site, glance, clients, version):
    """Both clients find the image, where this version tells of it, and what was done."""
    shown = clients.openstack('server', 'show', 'web', '-f', 'json', version=version).json
    assert (shown['id'], shown['OS-EXT-STS:task_state']) == (UUID, None)
    created = clients.openstack('server', 'image', 'create', 'web', '--name', f'openstack {version}',
                                '-f', 'json', version=version).json
    assert images(glance)[created['id']]['name'] == f'openstack {version}'
    site.idle()
    request = 'req-' + site.last_operation()['id']
    shown = clients.openstack('server', 'event', 'show', 'web', request, '-f', 'json', version=version).json
    assert (shown['request_id'], shown['action'], shown['message']) == (request, 'createImage', None)
    assert {event['result'] for event in shown['events']} == {'Success'}

    clients.nova('image-create', 'web', f'nova {version}', '--metadata', 'by=nova', version=version)
    made, = [image for image in images(glance).values() if image['name'] == f'nova {version}']
    assert made['by'] == 'nova'
    site.idle()
    request = 'req-' + site.last_operation()['id']
    told = clients.nova('instance-action', 'web', request, version=version)
    assert told.fields['action'] == 'createImage' and 'take-point' in told.output


def test_task_states(site, gate, clients):
    """Each is seen, in Nova's order: each part of the way is held up until it is."""
    path = site.folder / 'qga'
    with contextlib.closing(Agent(path, 'slow')), site.attached(agent=str(path)), site.watched() as seen:
        with gate.held(after=MIB):
            with site.reader_held():
                with gate.held():
                    image = clients.start_openstack('server', 'image', 'create', 'web', '--wait',
                                                    '--name', 'watched', '-f', 'json')
                    site.wait_task('image_snapshot_pending')
                site.wait_task('image_pending_upload')
            site.wait_task('image_uploading')
        told = Clients.end(image)
        site.idle()
    assert told.status == 0 and told.json['status'] == 'active', told
    assert [task for task in seen if task] == TASKS[:-1]
    assert (seen[0], seen[-1]) == (None, None)


def test_one_at_a_time(site, gate, clients):
    """The second one is told so in Nova's words, by either client; then it may."""
    said = f"Cannot 'createImage' instance {UUID} while it is in task_state image_uploading"
    with gate.held(after=MIB):
        first = clients.openstack('server', 'image', 'create', 'web', '--name', 'first', '-f', 'json').json
        site.wait_task('image_uploading')
        second = clients.start_openstack('server', 'image', 'create', 'web', '--name', 'second')
        by_nova = clients.nova('image-create', 'web', 'third', status=1)
        told = Clients.end(second)
        listed, = clients.openstack('server', 'list', '--long', '-f', 'json').json
    assert listed['Task State'] == 'image_uploading'
    assert told.status == 1 and said in told.errors, told
    assert said in by_nova.errors and '(HTTP 409)' in by_nova.errors, by_nova
    site.idle()
    assert clients.openstack('image', 'show', first['id'], '-f', 'json').json['status'] == 'active'
    clients.openstack('server', 'image', 'create', 'web', '--name', 'fourth')


def test_who_is_refused(clients):
    for cloud in 'none', 'wrong':
        told = clients.openstack('server', 'list', cloud=cloud, status=1)
        assert "the request's token is wrong" in told.errors and '(HTTP 401)' in told.errors, told
        assert TOKEN not in told.errors
    told = clients.nova('list', cloud='wrong', status=1)
    assert "the request's token is wrong" in told.errors and '(HTTP 401)' in told.errors, told


def test_servers_that_are_not_there(clients):
    for name in 'nobody', NOBODY:
        told = clients.openstack('server', 'image', 'create', name, '--name', 'x', status=1)
        assert f'No Server found for {name}' in told.errors, told
    told = clients.nova('image-create', NOBODY, 'x', status=1)
    assert f"No server with a name or ID of '{NOBODY}' exists" in told.errors, told


def test_names_and_metadata_that_nova_refuses(clients, glance):
    before = set(images(glance))
    for words, said in (['--name', 'x' * 256], 'name'), (['--name', 'x', '--property', f"{'k' * 256}=v"], 'metadata'):
        told = clients.openstack('server', 'image', 'create', 'web', *words, status=1)
        assert '400' in told.errors and said in told.errors, told
    assert set(images(glance)) == before


def test_what_is_too_large(site, glance, clients, tmp_path):
    """Glance refuses the data in mid-upload: the client is told, and no image is left."""
    before = set(images(glance))
    disk = site.make_disk(f'{tmp_path.name}.big', CAP // MIB + 16)
    with Machine(disks=[disk], folder=tmp_path / 'p', kind='blockdev', uuid=OTHER) as vm:
        site.daemon.attach(vm.qmp_path, id='big')
        told = clients.openstack('server', 'image', 'create', 'big', '--wait', '--name', 'large', status=1)
        assert 'No Image found' in told.errors, told
        site.idle(OTHER)
        assert set(images(glance)) == before
        event, = clients.openstack('server', 'event', 'list', '--long', 'big', '-f', 'json').json
        assert 'The incoming image is too large' in event['Message']
        assert site.daemon.delete('/v1/guests/big').status == 204


@pytest.mark.parametrize('stays_away', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_glance_dies_in_mid_upload(stays_away, glance, gate, tmp_path):
    """Half an image can never be finished: it goes, as soon as it can, and who waits for it is told."""
    before = set(images(glance))
    with Site(tmp_path, TOKEN, settings(tmp_path, gate, **{'glance.timeout': '3s'})) as site:
        layers = site.layers()
        with gate.held(after=8 * MIB):
            image = clients_of(site, glance).start_openstack('server', 'image', 'create', 'web', '--wait',
                                                             '--name', 'lost')
            wait_until(lambda: 'saving' in [each['status'] for each in images(glance).values()],
                       'Glance has some of it', timeout=60, interval=0.02)
            glance.kill()
        if stays_away:
            site.idle()
            assert site.layers() == layers, 'the disk need not wait for that'
        glance.start()
        site.idle()
        operation = site.last_operation()
        assert bool(operation['result'].get('left_images')) == stays_away
        assert operation['state'] == 'failed' and operation['error']['message'].startswith('upload: ')
        told = Clients.end(image)
        assert told.status == 1 and told.errors, told
        wait_until(lambda: set(images(glance)) == before, 'the image goes', timeout=60)
        assert site.layers() == layers
