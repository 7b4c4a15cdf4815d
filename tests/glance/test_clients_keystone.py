# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own clients with a real Keystone and a real Glance: they find us in the catalogue."""

import time

import pytest

from clients_site import MIB, UUID, Site, free_port
from support.clients import Clients
from support.gate import Gate
from support.glance import Glance
from support.keystone import Keystone

TOKEN = 'correct-horse-battery-staple'      # of the daemon's file; nobody uses it here
PASSWORD, SECRET = 'a password', 'a secret'


@pytest.fixture(scope='module')
def keystone():
    """demo and the daemon's own user are of one project, the stranger of another."""
    with Keystone() as running:
        for user, project in ('demo', 'demo'), ('daemon', 'demo'), ('stranger', 'elsewhere'):
            running.add_user(user, PASSWORD, project=project)
        yield running


@pytest.fixture(scope='module')
def glance(keystone):
    with Glance('keystone', keystone=keystone) as running:
        keystone.add_service('image', running.url)
        yield running


@pytest.fixture(scope='module')
def gate(glance):
    """Between the daemon and Glance; clients do not pass it."""
    with Gate(glance.url) as gate:
        yield gate


@pytest.fixture(scope='module')
def clouds(keystone, tmp_path_factory):
    """The path of the clouds.yaml of all, the daemon too."""
    def credential(user):
        id = keystone.add_application_credential(user, PASSWORD, project='demo', name=user, secret=SECRET)
        return keystone.application_credential_cloud(id, SECRET)
    return keystone.write_clouds(tmp_path_factory.mktemp('clouds') / 'clouds.yaml', {
        'daemon': credential('daemon'), 'credential': credential('demo'),
        'password': keystone.password_cloud('demo', PASSWORD, 'demo'),
        'wrong': keystone.password_cloud('demo', PASSWORD + '!', 'demo'),
        'stranger': keystone.password_cloud('stranger', PASSWORD, 'elsewhere')})


@pytest.fixture(scope='module')
def site(keystone, gate, clouds, tmp_path_factory):
    port = free_port()
    keystone.add_service('compute', f'http://127.0.0.1:{port}/v2.1')
    with Site(tmp_path_factory.mktemp('site'), TOKEN, {
            'glance.cloud': 'daemon', 'glance.clouds-file': clouds, 'glance.url': gate.url}, port) as running:
        yield running


@pytest.fixture(scope='module')
def clients(site, clouds):
    return Clients(clouds, 'password')


@pytest.fixture(autouse=True)
def idle(site):
    """Whatever a test began is over before the next one."""
    yield
    site.idle()


def record(keystone, glance, image):
    """What Glance tells demo of an image."""
    status, answer = glance.call('GET', f'/v2/images/{image}', token=keystone.token('demo', PASSWORD, 'demo'))
    assert status == 200, answer
    return answer


@pytest.mark.parametrize('cloud', ['password', 'credential'])
def test_an_image_by_openstack(keystone, glance, site, clients, cloud, tmp_path):
    listed, = clients.openstack('server', 'list', '-f', 'json', cloud=cloud).json
    assert (listed['ID'], listed['Status']) == (UUID, 'ACTIVE')
    before, layers = site.vm.wait_for_writes(20), site.layers()
    image = clients.openstack('server', 'image', 'create', 'web', '--name', f'by {cloud}', '--wait',
                              '--property', 'purpose=a test', '-f', 'json', cloud=cloud).json
    site.idle()
    after = site.vm.acked()
    assert (image['name'], image['status']) == (f'by {cloud}', 'active')
    assert site.layers() == layers

    told = record(keystone, glance, image['id'])
    assert (told['image_type'], told['image_location'], told['image_state']) == \
        ('snapshot', 'snapshot', 'available')
    assert (told['instance_uuid'], told['purpose'], told['visibility']) == (UUID, 'a test', 'private')
    assert told['owner'] == told['owner_id'] == keystone.project_id('demo')
    assert told['user_id'] == keystone.user_id('daemon')
    assert (told['min_disk'], told['min_ram'], told['virtual_size']) == (1, 0, 256 * MIB)

    clients.openstack('image', 'save', '--file', tmp_path / 'saved', image['id'], cloud=cloud)
    site.judge_image(tmp_path / 'saved', before, after)


def test_an_image_by_nova(keystone, site, clients):
    row, = clients.nova('list').table
    assert (row['ID'], row['Name'], row['Status'], row['Power State']) == (UUID, 'web', 'ACTIVE', 'Running')
    told = clients.nova('image-create', '--show', '--poll', '--metadata', 'purpose=a test', UUID, 'by nova')
    assert site.task() is None, 'it has waited for the end of the task'
    assert 'Finished' in told.output
    fields = told.fields
    assert (fields['name'], fields['status'], fields['purpose']) == ('by nova', 'active', 'a test')
    assert (fields['image_type'], fields['instance_uuid']) == ('snapshot', UUID)
    assert fields['owner_id'] == keystone.project_id('demo')

    request = 'req-' + site.last_operation()['id']
    assert request in [row['Request_ID'] for row in clients.nova('instance-action-list', 'web').table]
    told = clients.nova('instance-action', 'web', request)
    assert told.fields['action'] == 'createImage' and 'take-point' in told.output
    fields = clients.nova('show', UUID).fields
    assert (fields['name'], fields['OS-EXT-STS:task_state']) == ('web', '-')
    assert fields['tenant_id'] == keystone.project_id('demo')


def test_nova_rebuilds(site, clients):
    """Its image is found by the catalogue, and becomes the disk."""
    image = clients.openstack('server', 'image', 'create', 'web', '--name', 'to go back to', '--wait', '-f', 'json').json
    site.idle()
    told = clients.nova('rebuild', 'web', image['id'])
    assert (told.fields['id'], told.fields['status']) == (UUID, 'REBUILD'), told
    site.idle()
    event, *_ = clients.openstack('server', 'event', 'list', '--long', 'web', '-f', 'json').json
    assert (event['Action'], event['Message']) == ('rebuild', None)


def test_who_is_refused(clients):
    for run in clients.openstack, clients.nova:
        list_ = ['server', 'list'] if run == clients.openstack else ['list']
        told = run(*list_, cloud='stranger', status=1)
        assert 'the token is of another project' in told.errors and '(HTTP 403)' in told.errors, told
        told = run(*list_, cloud='wrong', status=1)
        assert '(HTTP 401)' in told.errors, told


def test_tokens_that_are_revoked_in_mid_upload(keystone, glance, gate, site, clients):
    """The daemon's own and the client's: both get new ones, and the image is whole."""
    with gate.held(after=MIB):
        image = clients.start_openstack('server', 'image', 'create', 'web', '--name', 'revoked', '--wait',
                                        '-f', 'json', cloud='credential')
        site.wait_task('image_uploading')
        authenticated = site.daemon.log.count('/auth/tokens: 201')
        for user in 'daemon', 'demo':
            keystone.set_password(user, PASSWORD + ' of another time')
        time.sleep(1.1)         # a new token of the same second is refused as well
    told = Clients.end(image)
    assert told.status == 0 and told.json['status'] == 'active', told
    site.idle()
    assert site.daemon.log.count('/auth/tokens: 201') > authenticated
