# SPDX-License-Identifier: Apache-2.0
"""A real Glance (Debian's glance-api) on a free loopback port: SQLite, a file store."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

from .machine import die_with_parent, wait_until, work_folder

_PROGRAM, _MANAGE = '/usr/bin/glance-api', '/usr/bin/glance-manage'
_PASTE = pathlib.Path('/usr/share/glance-common/glance-api-paste.ini')
_PYTHON = '/usr/bin/python3'  # Debian's: another one in PATH has no Glance

_CONFIGURATION = '''\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 0
log_file = {folder}/log
enabled_backends = file:file
node_staging_uri = file://{folder}/staging
image_cache_dir = {folder}/cache
{extra}
[database]
connection = sqlite:///{folder}/glance.sqlite
sqlite_synchronous = false
[oslo_concurrency]
lock_path = {folder}/lock
[oslo_policy]
policy_dirs = {folder}/policy.d
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = {folder}/store
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
config_file = {folder}/paste.ini
flavor = {flavor}
'''

# Whose tokens are is asked each time: a revoked one is refused at once.
_KEYSTONE = '''\
[keystone_authtoken]
www_authenticate_uri = {keystone.url}
auth_url = {keystone.url}
auth_type = password
username = glance
password = {keystone.GLANCE_PASSWORD}
user_domain_id = default
project_name = service
project_domain_id = default
token_cache_time = -1
'''


class Glance:
    """The image service.

    flavor    '': all are admins, no token is asked for; 'fakeauth': tokens as in glance_fakeauth.py;
              'keystone': those of `keystone`
    extra     further lines for the section DEFAULT, e.g. 'image_size_cap = 1048576'
    keystone  of support.keystone, running
    """

    def __init__(self, flavor='', extra='', folder=None, keystone=None):
        assert flavor in ('', 'fakeauth', 'keystone')
        assert (flavor == 'keystone') == (keystone is not None)
        self.flavor, self.extra, self.keystone = flavor, extra, keystone
        self.folder = work_folder(self, folder, 'glance-')
        self.process = self.url = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    @property
    def store(self):
        """The folder in which each image's data is a file named after its id."""
        return self.folder / 'store'

    @property
    def log(self):
        """What it has said so far, and what it has logged."""
        files = [self.folder / 'output', self.folder / 'log']
        return ''.join(file.read_text(errors='replace') for file in files if file.exists())

    def start(self):
        """Starts it; returns when it answers."""
        if not os.path.exists(_PROGRAM):
            raise FileNotFoundError(f'no {_PROGRAM}: install glance-api')
        if self.url is None:        # another start is at the same address
            with socket.socket() as probe:
                probe.bind(('127.0.0.1', 0))
                port = probe.getsockname()[1]
            self.url = f'http://127.0.0.1:{port}'
            self._configure(port)
        env = {**os.environ, 'PYTHONPATH': str(self.folder / 'python')}
        configuration = ['--config-file', self.folder / 'glance.conf']
        with open(self.folder / 'output', 'ab') as output:
            streams = {'stdin': subprocess.DEVNULL, 'stdout': output, 'stderr': output}
            if not (self.folder / 'glance.sqlite').exists():
                subprocess.run([_PYTHON, _MANAGE, *configuration, 'db_sync'], env=env, check=True,
                               **streams)
            self.process = subprocess.Popen([_PYTHON, _PROGRAM, *configuration], env=env,
                                            preexec_fn=die_with_parent, **streams)
        try:
            wait_until(self._answers, 'Glance answers', timeout=60, interval=0.05)
        except BaseException:
            self.stop()
            raise
        return self

    def _configure(self, port):
        for name in 'store', 'staging', 'tasks', 'cache', 'lock', 'python':
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path(__file__).with_name('glance_fakeauth.py'), self.folder / 'python')
        paste = _PASTE.read_text().replace(
            '/etc/glance/healthcheck_disable', f'{self.folder}/healthcheck_disable'
        )
        flavor = self.flavor
        if flavor == 'fakeauth':
            flavor = 'keystone'     # its pipeline, with our filter in place of its own
            theirs = 'paste.filter_factory = keystonemiddleware.auth_token:filter_factory'
            assert theirs in paste, f'{_PASTE} has no filter of keystonemiddleware'
            ours = 'paste.filter_factory = glance_fakeauth:filter_factory'
            paste = paste.replace(theirs, f'{ours}\nexpire_file = {self._expired}')
        (self.folder / 'paste.ini').write_text(paste)
        configuration = _CONFIGURATION.format(
            port=port, folder=self.folder, extra=self.extra, flavor=flavor
        )
        if self.keystone:
            configuration += _KEYSTONE.format(keystone=self.keystone)
        (self.folder / 'glance.conf').write_text(configuration)

    def _answers(self):
        if self.process.poll() is not None:
            status = self.process.returncode
            raise RuntimeError(f'glance-api ended with {status}:\n{self.log[-4000:]}')
        try:
            with urllib.request.urlopen(self.url + '/healthcheck', timeout=10):
                return True
        except OSError:
            return False

    def kill(self):
        """As a power cut does; start() brings it back with all it had."""
        self.process.kill()
        self.process.wait(5)

    def stop(self):
        """Ends it; nothing happens when it is gone already."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    @property
    def _expired(self):
        return self.folder / 'expire-tokens'

    def expire(self):
        """From now on every token is refused (fakeauth)."""
        self._expired.touch()

    def renew(self):
        """Tokens are good again."""
        self._expired.unlink(missing_ok=True)

    def call(self, method, path, body=None, token=None, content_type='application/json'):
        """One request, e.g. call('GET', '/v2/images'): (status, JSON or bytes of the answer)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {'Content-Type': content_type, **({'X-Auth-Token': token} if token else {})}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, headers, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, error.headers, error.read()
        is_json = content and headers.get_content_type() == 'application/json'
        return status, json.loads(content) if is_json else content
