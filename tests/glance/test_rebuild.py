# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own clients rebuild a guest from an image in a real Glance."""

import pytest

from clients_site import UUID, Site
from support.clients import Clients
from support.glance import Glance
from support.keystone import Keystone
from support.machine import wait_until

TOKEN = 'somebody:demo:member'


@pytest.fixture(scope='module')
def glance():
    with Glance('fakeauth') as running:
        yield running


@pytest.fixture(scope='module')
def site(glance, tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    with Site(folder, TOKEN, {'glance.url': glance.url, 'glance.token-file': folder / 'token'}) as running:
        yield running


@pytest.fixture(scope='module')
def clients(site, glance):
    path = Keystone.write_clouds(site.folder / 'clouds.yaml', {'guests': {
        'auth_type': 'admin_token', 'auth': {'endpoint': site.url, 'token': TOKEN}, 'image_endpoint_override': glance.url}})
    return Clients(path, 'guests')


@pytest.fixture
def image(site, clients):
    """Of the disk as it is now; the guest writes on."""
    made = clients.openstack('server', 'image', 'create', 'web', '--name', 'to go back to', '--wait', '-f', 'json').json
    site.idle()
    site.vm.wait_for_writes(50)
    return made['id']


def went_back(site, mark):
    """Waits until the guest has gone on from an earlier record than its last one."""
    def found():
        numbers = [report.number for report in site.vm.since(mark) if report.kind == 'R']
        return any(after < before for before, after in zip(numbers, numbers[1:]))
    wait_until(found, 'the guest has been reset to the image')


@pytest.mark.parametrize('version', ['2.1', '2.90'])
def test_openstack(site, clients, image, version):
    mark = site.vm.mark()
    shown = clients.openstack('server', 'rebuild', 'web', '--image', image, '--wait', '-f', 'json', version=version)
    assert 'Complete' in shown.output and f'"id": "{UUID}"' in shown.output, shown
    went_back(site, mark)
    event, *_ = clients.openstack('server', 'event', 'list', '--long', 'web', '-f', 'json').json
    assert (event['Action'], event['Message']) == ('rebuild', None)
    assert clients.openstack('server', 'show', 'web', '-f', 'json').json['status'] == 'ACTIVE'


def test_what_cannot_be_done_to_the_inside(clients, image):
    told = clients.openstack('server', 'rebuild', 'web', '--image', image, '--password', 'secret', status=1)
    assert "'adminPass' has no meaning here" in told.errors and '(HTTP 400)' in told.errors, told
