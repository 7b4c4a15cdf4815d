# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own clients, as its users start them: /usr/bin/openstack and /usr/bin/nova."""

import dataclasses
import json
import os
import re
import subprocess

from .machine import die_with_parent

OPENSTACK, NOVA = '/usr/bin/openstack', '/usr/bin/nova'     # Debian's: others may be in PATH


@dataclasses.dataclass
class Told:
    """How a client ended, and what it said."""
    status: int
    output: str
    errors: str

    def __str__(self):
        return f'ended with {self.status}\n{self.output}{self.errors}'

    @property
    def json(self):
        return json.loads(self.output)

    @property
    def table(self):
        """The rows of nova's table, each a {column: text}."""
        rows = [[cell.strip() for cell in line.strip('|').split('|')]
                for line in self.output.splitlines() if line.startswith('|')]
        return [dict(zip(rows[0], row)) for row in rows[1:]]

    @property
    def fields(self):
        """nova's table of properties and values, as one {property: text}."""
        return {row['Property']: row['Value'] for row in self.table}


class Clients:
    """Somebody with a clouds.yaml.

    path     of the clouds.yaml, whose text is JSON (Keystone.write_clouds writes such)
    default  which of its clouds is meant unless one is named
    """

    def __init__(self, path, default):
        self.path, self.default = path, default

    def openstack(self, *words, cloud=None, version=None, status=0):
        """Runs `openstack WORD...`. `version`: the microversion of Compute."""
        return self._run(self.start_openstack(*words, cloud=cloud, version=version), status)

    def start_openstack(self, *words, cloud=None, version=None):
        """Starts it; end() waits for its end."""
        options = ['--os-compute-api-version', version] if version else []
        return self._start([OPENSTACK, '--os-cloud', cloud or self.default, *options, *words],
                           {'OS_CLIENT_CONFIG_FILE': str(self.path)})

    def nova(self, *words, cloud=None, version=None, status=0):
        """Runs `nova WORD...`, which knows no clouds.yaml: what stands there is put into its environment."""
        options = ['--os-compute-api-version', version] if version else []
        with open(self.path) as file:
            entry = json.load(file)['clouds'][cloud or self.default]
        known = {**entry['auth'], **{key: entry[key] for key in ('auth_type', 'region_name') if key in entry}}
        if 'endpoint' in known:     # the client insists on these all the same
            known.update(project_name='any', auth_url=known['endpoint'])
        return self._run(self._start([NOVA, *options, *words],
                                     {f'OS_{key.upper()}': value for key, value in known.items()}), status)

    def _start(self, words, own):
        environment = {key: value for key, value in os.environ.items() if not key.startswith('OS_')}
        return subprocess.Popen(list(map(str, words)), text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent,
                                env={**environment, 'LC_ALL': 'C.UTF-8', **own})

    @classmethod
    def _run(cls, process, status):
        told = cls.end(process)
        assert told.status == status, told
        return told

    @staticmethod
    def end(process, timeout=120):
        """Waits for the end of what was started."""
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Told(process.returncode, output, re.sub(r'^nova CLI is deprecated.*\n', '', errors, flags=re.M))
