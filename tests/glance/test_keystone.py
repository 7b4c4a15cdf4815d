# SPDX-License-Identifier: Apache-2.0
"""A real Keystone in front of a real Glance: whoever we are stands in a clouds.yaml."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from glance_tool import Failed, Tool
from support import StorageDaemon, create_qcow2
from support.daemon import Daemon
from support.glance import Glance
from support.keystone import Keystone
from support.machine import wait_until
from support.tls import make_certificate, tls

PASSWORD = 'a pass: {word}, "that" is \\odd #1'
SECRET = 'the-secret-of-a-credential'
FERNET = 'gAAAAA'       # how each token begins


@pytest.fixture(scope='module')
def keystone():
    with Keystone() as running:
        yield running


@pytest.fixture(scope='module')
def glance(keystone):
    with Glance('keystone', keystone=keystone) as running:
        keystone.add_service('image', running.url)
        keystone.add_service('compute', 'http://127.0.0.1:1/v2.1')
        keystone.add_user('demo', PASSWORD, project='demo')
        yield running


@pytest.fixture(scope='module')
def clouds(keystone, glance, tmp_path_factory):
    """The path of a clouds.yaml."""
    password = lambda **more: keystone.password_cloud('demo', PASSWORD, 'demo', **more)
    id = keystone.add_application_credential('demo', PASSWORD, project='demo', name='backup',
                                             secret=SECRET)
    discovered = password()
    discovered['auth']['auth_url'] = keystone.url.removesuffix('/v3')
    return keystone.write_clouds(tmp_path_factory.mktemp('clouds') / 'clouds.yaml', {
        'password': password(),
        'credential': keystone.application_credential_cloud(id, SECRET),
        'wrong': keystone.password_cloud('demo', PASSWORD + '!', 'demo'),
        'elsewhere': password(region_name='Mars'),
        'discovered': discovered,
        'dead': password(image_endpoint_override='http://127.0.0.1:1'),
    })


def tool(clouds, cloud, *options):
    return Tool('', f'--cloud={cloud}', f'--clouds-file={clouds}', *options)


class Peer:
    """A peer that writes, and a daemon whose images go to a cloud."""

    def __init__(self, folder, clouds, cloud):
        self.clouds, self.peer = clouds, StorageDaemon(disks=[create_qcow2(folder / 'disk')],
                                                       folder=folder / 'p')
        self.daemon = Daemon(folder / 'd', options={
            'store.kind': 'glance', 'glance.cloud': cloud, 'glance.clouds-file': clouds,
            'glance.timeout': '5s'})
        self.answers, self.is_open = [], False

    def __enter__(self):
        self.peer.start()
        self.daemon.start()
        self.daemon.attach(self.peer.qmp_path, id='g')
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.assert_discreet()
                if not self.is_open:
                    self.daemon.stop()
        finally:
            self.peer.kill()
            if self.daemon.process.poll() is None:
                self.daemon.kill()

    def ask(self, **members):
        answer = self.daemon.post('/v1/guests/g/snapshots', members)
        self.answers.append(answer.body)
        return answer

    def backup(self, **members):
        """The image of a backup, which must succeed."""
        answer = self.ask(**members)
        assert answer.status == 202, answer.body
        operation = self.daemon.finished(answer.json)
        assert operation['state'] == 'succeeded', operation['error']
        return operation['result']['images'][-1]['id']

    def fail(self):
        """What a backup fails with; it stays open while the store does not let anybody clean up."""
        answer = self.ask()
        if answer.status != 202:
            return answer.error
        path = f"/v1/operations/{answer.json['id']}"
        self.is_open = True
        return wait_until(lambda: self.daemon.get(path).json['error'], 'it fails', timeout=60)

    def authentications(self):
        return len(re.findall(r'POST \S*/auth/tokens: 201', self.daemon.log))

    def assert_discreet(self):
        """No secret and no token is in anything that the daemon has written or shows."""
        for path in '/v1/operations', '/v1/images', '/v1/guests/g':
            answer = self.daemon.get(path)
            assert answer.status in (200, 502), answer.body      # 502: the store does not let us in
            self.answers.append(answer.body)
        state = [path for path in (self.daemon.folder / 'state').rglob('*') if path.is_file()]
        assert any(path.name.startswith('journal') for path in state)
        seen = {
            'log': self.daemon.log.encode(),
            'title': open(f'/proc/{self.daemon.pid}/cmdline', 'rb').read(),
            'answers': b''.join(self.answers),
            'journal': b''.join(path.read_bytes() for path in state),
        }
        assert b'/auth/tokens' in seen['log'], 'it logs what it asks'
        for place, content in seen.items():
            for secret in PASSWORD, PASSWORD.replace('\\', '\\\\'), 'a pass', SECRET, FERNET:
                assert secret.encode() not in content, f'{secret} is in the {place}'


@pytest.mark.parametrize('cloud', ['password', 'credential', 'discovered'])
def test_a_backup_goes_to_the_cloud(keystone, glance, clouds, cloud, tmp_path):
    with Peer(tmp_path, clouds, cloud) as s:
        image = s.backup(name='point')
        token = keystone.token('demo', PASSWORD, project='demo')
        status, record = glance.call('GET', f'/v2/images/{image}', token=token)
        assert status == 200 and record['status'] == 'active', record
        assert record['owner'] == record['owner_id'] == keystone.project_id('demo')
        assert record['user_id'] == keystone.user_id('demo')
        assert record['visibility'] == 'private'
        assert s.authentications() == 1, 'one token does for everything'


def test_tokens_that_are_revoked(keystone, glance, tmp_path):
    """By a new password; the application credential stays good."""
    keystone.add_user('other', PASSWORD, project='other')
    id = keystone.add_application_credential('other', PASSWORD, project='other', name='backup',
                                             secret=SECRET)
    clouds = keystone.write_clouds(tmp_path / 'clouds.yaml',
                                   {'c': keystone.application_credential_cloud(id, SECRET)})
    with Peer(tmp_path, clouds, 'c') as s:
        s.backup()
        assert s.authentications() == 1
        keystone.set_password('other', PASSWORD + ' new')
        time.sleep(1.1)         # a new token of the same second is refused as well
        s.backup()
        assert s.authentications() == 2


def test_tokens_that_end_in_mid_upload(tmp_path):
    """Glance is stopped for longer than a token lives."""
    with Keystone(expiration=5) as keystone, Glance('keystone', keystone=keystone) as glance:
        keystone.add_service('image', glance.url)
        keystone.add_user('demo', PASSWORD, project='demo')
        clouds = keystone.write_clouds(tmp_path / 'clouds.yaml', {
            'c': keystone.password_cloud('demo', PASSWORD, 'demo')})
        data = tmp_path / 'data'
        data.write_bytes(os.urandom(64 << 20))
        asked = tool(clouds, 'c', '--timeout=60')
        id = asked.create('raw')
        process = asked.start('upload', id, data, 'raw')
        assert process.stderr.readline().startswith('progress ')
        os.kill(glance.pid, signal.SIGSTOP)
        time.sleep(6)
        os.kill(glance.pid, signal.SIGCONT)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        image = json.loads(output)
        assert image['status'] == 'active' and image['size'] == 64 << 20


def test_wrong_password(clouds, tmp_path):
    with Peer(tmp_path, clouds, 'wrong') as s:
        error = s.fail()
        assert error['code'] == 'unauthorized'
        assert "cannot authenticate for cloud 'wrong'" in error['message']
        assert 'answered 401' in error['message']


def test_wrong_region(clouds, tmp_path):
    with Peer(tmp_path, clouds, 'elsewhere') as s:
        error = s.fail()
        assert error['code'] == 'store'
        assert 'in region Mars; it has: ' in error['message']
        assert 'public in RegionOne' in error['message']


def test_the_address_that_overrides(glance, clouds):
    with pytest.raises(Failed) as failed:
        tool(clouds, 'dead').run('list')
    assert failed.value.word == 'unavailable' and '127.0.0.1:1/v2' in failed.value.message
    Tool(glance.url, '--cloud=dead', f'--clouds-file={clouds}').run('list')


def test_whose_a_token_is(keystone, glance, clouds):
    ours = keystone.token('demo', PASSWORD, project='demo')
    theirs = keystone.token('admin', keystone.ADMIN_PASSWORD, project='admin')
    asked = tool(clouds, 'credential')
    found = asked.run('identify', ours)[0]
    assert (found['project_id'], found['ours']) == (keystone.project_id('demo'), True)
    assert found['user_id'] == keystone.user_id('demo') and 'member' in found['roles'].split()
    found = asked.run('identify', theirs)[0]
    assert not found['ours'] and 'admin' in found['roles'].split()

    keystone.revoke(ours)
    for token in ours, 'nonsense', 'two words':
        with pytest.raises(Failed) as failed:
            asked.run('identify', token)
        assert failed.value.word == 'unauthorized'
        assert token not in failed.value.message


def test_tls(keystone, glance, tmp_path):
    certificate, key = make_certificate(tmp_path)
    with tls(keystone.url, certificate, key) as keystone_url, \
            tls(glance.url, certificate, key) as glance_url:
        keystone.add_service('image', glance_url, region='Safe')

        def cloud(**more):
            entry = keystone.password_cloud('demo', PASSWORD, 'demo', **more)
            entry['auth']['auth_url'] = keystone_url
            return {**entry, 'region_name': 'Safe'}
        clouds = keystone.write_clouds(tmp_path / 'clouds.yaml', {
            'trusted': cloud(cacert=str(certificate)), 'unknown': cloud()})

        id = tool(clouds, 'trusted').create('raw')
        assert tool(clouds, 'trusted').run('get', id)[0]['id'] == id
        tool(clouds, 'unknown', f'--ca-file={certificate}').run('get', id)
        with pytest.raises(Failed) as failed:
            tool(clouds, 'unknown').run('get', id)
        assert failed.value.word == 'invalid' and 'certificate' in failed.value.message


def test_the_real_client_reads_the_same_file(keystone, glance, clouds):
    id = tool(clouds, 'credential').create('raw', 'colour=blue')
    for cloud in 'password', 'credential':
        done = subprocess.run(
            ['/usr/bin/openstack', '--os-cloud', cloud, 'image', 'show', '-c', 'properties', id],
            env={'PATH': '/usr/bin', 'OS_CLIENT_CONFIG_FILE': str(clouds)}, text=True,
            capture_output=True, check=True)
        assert "colour='blue'" in done.stdout
        assert f"user_id='{keystone.user_id('demo')}'" in done.stdout


@pytest.mark.parametrize('text, complaint', [
    ('clouds: {other: {}}', "there is no cloud 'c'; there is: other"),
    ('clouds: {c: {profile: ovh}}', "clouds.yaml:1: 'profile' is not supported"),
    ('clouds:\n\tc', 'clouds.yaml:2: this is not YAML'),
])
def test_a_file_that_is_not_understood(tmp_path, text, complaint):
    (tmp_path / 'clouds.yaml').write_text(text)
    daemon = Daemon(tmp_path / 'd', options={
        'store.kind': 'glance', 'glance.cloud': 'c', 'glance.clouds-file': tmp_path / 'clouds.yaml'})
    daemon.start(ready=False)
    assert daemon.wait() == 2
    assert complaint in daemon.log


def test_a_file_that_everybody_reads(keystone, glance, clouds, tmp_path):
    exposed = tmp_path / 'clouds.yaml'
    exposed.write_bytes(clouds.read_bytes())
    exposed.chmod(0o644)
    with Peer(tmp_path, exposed, 'password') as s:
        s.backup()
        assert 'can be read by everybody on this machine' in s.daemon.log
