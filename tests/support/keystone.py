# SPDX-License-Identifier: Apache-2.0
"""A real Keystone (Debian's keystone) on a free loopback port: SQLite, Fernet tokens, uwsgi.

    with Keystone() as keystone, Glance('keystone', keystone=keystone) as glance:
        keystone.add_service('image', glance.url)
        keystone.add_user('demo', 'a password', project='demo')
        token = keystone.token('demo', 'a password', project='demo')
"""

import contextlib
import functools
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.request

from .machine import die_with_parent, wait_until, work_folder

_PYTHON = '/usr/bin/python3'  # Debian's: another one in PATH has no Keystone
_MANAGE, _PROGRAM = '/usr/bin/keystone-manage', '/usr/bin/keystone-wsgi-public'
_SERVER = '/usr/bin/uwsgi_python3'

_CONFIGURATION = '''\
[DEFAULT]
log_file = {folder}/log
debug = {debug}
max_token_size = 1024
[database]
connection = sqlite:///{folder}/keystone.sqlite
sqlite_synchronous = false
[token]
provider = fernet
expiration = {expiration}
allow_expired_window = 0
[fernet_tokens]
key_repository = {folder}/fernet-keys
[fernet_receipts]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[cache]
enabled = true
backend = dogpile.cache.memory
[oslo_policy]
policy_dirs = {folder}/policy.d
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
'''

_DATA = 'keystone.sqlite', 'fernet-keys', 'credential-keys'


@functools.cache
def _empty():
    """A folder with the data of a Keystone that has nothing but its admin; made once, copied often."""
    folder = tempfile.TemporaryDirectory(prefix='keystone-empty-')
    _write_configuration(folder.name, 3600, False)
    own = ['--keystone-user', 'root', '--keystone-group', 'root'] if os.getuid() == 0 else []
    for name in 'fernet-keys', 'credential-keys':
        os.mkdir(os.path.join(folder.name, name), 0o700)
    for words in (['db_sync'], ['fernet_setup', *own], ['credential_setup', *own],
                  ['bootstrap', '--bootstrap-password', Keystone.ADMIN_PASSWORD]):
        done = subprocess.run([_PYTHON, _MANAGE, '--config-dir', folder.name, *words], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f'keystone-manage {words[0]}:\n{done.stdout[-4000:]}')
    # Otherwise a reader that is not done keeps Keystone's own writer out.
    path = os.path.join(folder.name, 'keystone.sqlite')
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute('PRAGMA journal_mode=WAL')
    return folder


def _write_configuration(folder, expiration, debug):
    with open(os.path.join(folder, 'keystone.conf'), 'w') as file:
        file.write(_CONFIGURATION.format(folder=folder, expiration=expiration, debug=debug))


class Keystone:
    """The identity service, for `with` or start() ... stop(). It can be started again, with all it had.

    expiration   how many seconds a token lives
    debug        it logs more

    url is that of version 3; RegionOne is there, and so is the project service with the user glance,
    who asks for Glance whose tokens are.
    """
    ADMIN_PASSWORD = 'the admin has a secret'
    GLANCE_PASSWORD = 'glance has a secret'
    REGION = 'RegionOne'

    def __init__(self, expiration=3600, debug=False, folder=None):
        self.expiration, self.debug = expiration, debug
        self.folder = work_folder(self, folder, 'keystone-')
        self.process = self.url = self._admin = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def log(self):
        """What it has said so far, and what it has logged."""
        files = [self.folder / 'output', self.folder / 'log']
        return ''.join(file.read_text(errors='replace') for file in files if file.exists())

    def start(self):
        """Starts it; returns when it answers."""
        for program in _MANAGE, _PROGRAM, _SERVER:
            if not os.path.exists(program):
                raise FileNotFoundError(f'no {program}: install keystone')
        is_new = self.url is None
        if is_new:                  # another start is at the same address
            with socket.socket() as probe:
                probe.bind(('127.0.0.1', 0))
                self.port = probe.getsockname()[1]
            self.url = f'http://127.0.0.1:{self.port}/v3'
            for name in _DATA:
                path = os.path.join(_empty().name, name)
                copy = shutil.copytree if os.path.isdir(path) else shutil.copy
                copy(path, self.folder / name)
        _write_configuration(self.folder, self.expiration, self.debug)
        with open(self.folder / 'output', 'ab') as output:
            self.process = subprocess.Popen(
                [_SERVER, '--plugins', 'python3', '--die-on-term', '--lazy-apps', '--enable-threads',
                 '--need-app', '--threads', '1', '--buffer-size', '65535',
                 '--add-header', 'Connection: close',   # it does close it, and clients are to know
                 '--http-socket', f'127.0.0.1:{self.port}', '--wsgi-file', _PROGRAM],
                env={**os.environ, 'OS_KEYSTONE_CONFIG_DIR': str(self.folder),
                     'OS_KEYSTONE_CONFIG_FILES': 'keystone.conf'},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_parent)
        try:
            wait_until(self._answers, 'Keystone answers', timeout=60, interval=0.05)
            if is_new:
                self._furnish()
        except BaseException:
            self.stop()
            raise
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f'Keystone ended with {self.process.returncode}:\n{self.log[-4000:]}')
        try:
            with urllib.request.urlopen(self.url, timeout=10):
                return True
        except OSError:
            return False

    def _furnish(self):
        self.roles = {role['name']: role['id'] for role in self.get('/roles')['roles']}
        self.add_service('identity', self.url, name='keystone')
        self.add_user('glance', self.GLANCE_PASSWORD, project='service', role='admin')

    def stop(self):
        """Ends it; nothing happens when it is gone already."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    # Requests

    def call(self, method, path, body=None, token=None, headers=None):
        """One request, e.g. call('GET', '/users', token=...): (status, headers, JSON or None)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {'Content-Type': 'application/json', **({'X-Auth-Token': token} if token else {}),
                   **(headers or {})}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, headers, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, error.headers, error.read()
        return status, headers, json.loads(content) if content else None

    def admin_token(self):
        """A token of the admin, good for some time."""
        if not self._admin:
            self._admin = self.token('admin', self.ADMIN_PASSWORD, project='admin')
        return self._admin

    def ask(self, method, path, body=None):
        """One request of the admin, which must succeed; the JSON of the answer."""
        status, _, answer = self.call(method, path, body, self.admin_token())
        if status == 401:           # tokens may live for seconds only
            self._admin = None
            status, _, answer = self.call(method, path, body, self.admin_token())
        assert status < 300, f'{method} {path}: {status} {answer}'
        return answer

    def get(self, path):
        return self.ask('GET', path)

    # People and what they get

    def authenticate(self, identity, scope=None):
        """(token, what Keystone says of it)."""
        body = {'auth': {'identity': identity, **({'scope': scope} if scope else {})}}
        status, headers, answer = self.call('POST', '/auth/tokens', body)
        assert status == 201, answer
        return headers['X-Subject-Token'], answer['token']

    def _authenticate_user(self, user, password, project):
        user = {'name': user, 'domain': {'id': 'default'}, 'password': password}
        return self.authenticate(
            {'methods': ['password'], 'password': {'user': user}},
            {'project': {'name': project, 'domain': {'id': 'default'}}})

    def token(self, user, password, project):
        """A new token of a user in a project, both by name."""
        return self._authenticate_user(user, password, project)[0]

    def revoke(self, token):
        """From now on the token is refused."""
        status, _, answer = self.call('DELETE', '/auth/tokens', token=self.admin_token(),
                                      headers={'X-Subject-Token': token})
        assert status == 204, answer

    def project_id(self, name):
        """The id of a project, which is made if it is not there."""
        found = self.get(f'/projects?name={name}')['projects']
        if not found:
            body = {'project': {'name': name, 'domain_id': 'default'}}
            found = [self.ask('POST', '/projects', body)['project']]
        return found[0]['id']

    def user_id(self, name):
        return self.get(f'/users?name={name}')['users'][0]['id']

    def add_user(self, name, password, project, role='member'):
        """A user with a role (admin, member, reader) in a project; its id."""
        body = {'user': {'name': name, 'domain_id': 'default', 'password': password}}
        user = self.ask('POST', '/users', body)['user']['id']
        self.ask('PUT', f'/projects/{self.project_id(project)}/users/{user}/roles/{self.roles[role]}')
        return user

    def set_password(self, name, password):
        """Changes it, as an admin does: the user's tokens are refused from now on."""
        self.ask('PATCH', f'/users/{self.user_id(name)}', {'user': {'password': password}})

    def add_application_credential(self, user, password, project, name, secret):
        """The id of a new application credential, in the roles that the user has in the project."""
        token, about = self._authenticate_user(user, password, project)
        status, _, answer = self.call(
            'POST', f"/users/{about['user']['id']}/application_credentials",
            {'application_credential': {'name': name, 'secret': secret}}, token)
        assert status == 201, answer
        return answer['application_credential']['id']

    def add_service(self, kind, url, name=None, region=REGION, interfaces=('public', 'internal', 'admin')):
        """Puts a service (image, compute, ...) into the catalogue, at `url` in a region that is there
        then. `interfaces`: for which; or an address for each, {'public': ..., 'internal': ...}."""
        urls = interfaces if isinstance(interfaces, dict) else dict.fromkeys(interfaces, url)
        if region not in [each['id'] for each in self.get('/regions')['regions']]:
            self.ask('POST', '/regions', {'region': {'id': region}})
        found = self.get(f'/services?type={kind}')['services']
        if not found:
            body = {'service': {'type': kind, 'name': name or kind}}
            found = [self.ask('POST', '/services', body)['service']]
        for interface, address in urls.items():
            self.ask('POST', '/endpoints', {'endpoint': {
                'service_id': found[0]['id'], 'interface': interface, 'region': region, 'url': address}})

    # What its users write down

    def cloud(self, auth, **more):
        """The entry of a clouds.yaml; `auth` beside the address, `more` beside `auth`."""
        return {'auth': {'auth_url': self.url, **auth}, 'region_name': self.REGION,
                'identity_api_version': 3, **more}

    def password_cloud(self, user, password, project, **more):
        """That of a user with a password."""
        return self.cloud({'username': user, 'password': password, 'project_name': project,
                           'user_domain_id': 'default', 'project_domain_id': 'default'}, **more)

    def application_credential_cloud(self, id, secret, **more):
        """That of an application credential."""
        return self.cloud({'application_credential_id': id, 'application_credential_secret': secret},
                          auth_type='v3applicationcredential', **more)

    @staticmethod
    def write_clouds(path, clouds):
        """A clouds.yaml for us and for the real clients (OS_CLIENT_CONFIG_FILE), from
        {name: entry}."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as file:
            json.dump({'clouds': clouds}, file, indent=1)       # JSON is YAML
        return path
