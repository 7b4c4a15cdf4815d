# SPDX-License-Identifier: Apache-2.0
"""Who may speak Nova's dialect over TCP, where the store is under a real Keystone."""

import http.client
import json
import os
import socket
import subprocess

import pytest

from support import StorageDaemon, create_qcow2
from support.daemon import Daemon
from support.glance import Glance
from support.keystone import Keystone

TOKEN = 'correct-horse-battery-staple'


def free_port():
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        return plug.getsockname()[1]


@pytest.fixture(scope='module')
def cloud():
    """A Keystone with users in three projects, and a Glance under it."""
    with Keystone() as keystone, Glance('keystone', keystone=keystone) as glance:
        keystone.add_service('image', glance.url)
        keystone.add_user('ours', 'pw', project='backup', role='member')
        keystone.add_user('reader', 'pw', project='backup', role='reader')
        keystone.add_user('stranger', 'pw', project='elsewhere', role='member')
        keystone.add_user('boss', 'pw', project='operations', role='admin')
        yield keystone


@pytest.fixture(scope='module')
def tcp(cloud, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tcp')
    (folder / 'token').write_text(TOKEN)
    port = free_port()
    cloud.add_service('compute', f'http://127.0.0.1:{port}/v2.1')
    clouds = folder / 'clouds.yaml'
    cloud.write_clouds(clouds, {'ours': cloud.password_cloud('ours', 'pw', 'backup'),
                                'stranger': cloud.password_cloud('stranger', 'pw', 'elsewhere')})
    with StorageDaemon(disks=[create_qcow2(folder / 'disk')], write=False, folder=folder / 'p') as peer, Daemon(folder / 'd', options={
            'store.kind': 'glance', 'glance.cloud': 'ours', 'glance.clouds-file': clouds,
            'rest.listen': f'127.0.0.1:{port}', 'rest.token-file': folder / 'token'}) as daemon:
        daemon.attach(peer.qmp_path, id='web')
        daemon.port, daemon.clouds = port, clouds
        yield daemon


def ask(daemon, token, path='/v2.1/servers/detail'):
    return daemon.get(path, headers={'X-Auth-Token': token},
                      connection=http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=60))


@pytest.mark.parametrize('user, project, status', [
    ('ours', 'backup', 200), ('reader', 'backup', 200), ('boss', 'operations', 200), ('stranger', 'elsewhere', 403)])
def test_projects(tcp, cloud, user, project, status):
    token = cloud.token(user, 'pw', project=project)
    answer = ask(tcp, token)
    assert answer.status == status
    if status == 200:
        # What is told of a server's project is the asker's own, when that is the images' one too.
        assert answer.json['servers'][0]['tenant_id'] == (cloud.project_id('backup') if project == 'backup' else '')
    else:
        assert answer.json['forbidden']['code'] == 403
    assert ask(tcp, token, '/v1/guests').status == status
    assert token not in tcp.log


def test_roles(tcp, cloud):
    """As Keystone gives them, with all that they imply: a reader looks, a member acts, guests are the administrator's."""
    def status(user, project, method, path, body=None):
        token = cloud.token(user, 'pw', project=project)
        return tcp.request(method, path, body, {'X-Auth-Token': token},
                           http.client.HTTPConnection('127.0.0.1', tcp.port, timeout=60)).status
    act = 'POST', '/v1/guests/none/snapshots', {}
    attach = 'POST', '/v1/guests', {}
    assert [status('reader', 'backup', *each) for each in (act, attach)] == [403, 403]
    assert [status('ours', 'backup', *each) for each in (act, attach)] == [404, 403]
    assert [status('boss', 'operations', *each) for each in (act, attach)] == [404, 400]


@pytest.mark.parametrize('token', ['', 'nonsense', 'x' * 4000, 'gAAAAA' + 'B' * 180])
def test_nobodys_tokens(tcp, token):
    answer = ask(tcp, token)
    assert answer.status == 401
    assert answer.json['unauthorized']['code'] == 401
    assert answer.headers['WWW-Authenticate'] == 'Bearer'
    assert ask(tcp, token, '/v1/guests').error['code'] == 'unauthorized'


def test_a_revoked_token(tcp, cloud):
    """One that was never seen here; who was let in before may be for a minute."""
    token = cloud.token('ours', 'pw', project='backup')
    cloud.revoke(token)
    assert ask(tcp, token).status == 401


def test_the_token_of_the_file_goes_too(tcp):
    assert ask(tcp, TOKEN).status == 200


def test_versions_are_told_to_all(tcp):
    for token in '', 'nonsense':
        assert ask(tcp, token, '/v2.1').status == 200


def test_the_real_client(tcp):
    """Finds us in the catalogue."""
    def run(cloud):
        environment = {key: value for key, value in os.environ.items() if not key.startswith('OS_')}
        return subprocess.run(['/usr/bin/openstack', '--os-cloud', cloud, 'server', 'list', '-f', 'json'], text=True,
                              capture_output=True, timeout=120, env={**environment, 'OS_CLIENT_CONFIG_FILE': str(tcp.clouds)})
    done = run('ours')
    assert done.returncode == 0, done.stderr
    assert [each['Name'] for each in json.loads(done.stdout)] == ['web']
    done = run('stranger')
    assert done.returncode != 0 and 'another project' in done.stderr
