# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Debian's packages by need; to be sourced. A list has one package a line (A|B: either will do), and
# then what it is for.

package_is_there () {
  local name names
  IFS='|' read -ra names <<<"$1"
  for name in "${names[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ] || return 0
  done
  return 1
}

# packages_missing LIST: its lines of which nothing is installed.
packages_missing () {
  local package reason
  while read -r package reason; do
    [ -z "$package" ] || package_is_there "$package" || echo "${package%%|*} $reason"
  done <<<"$1"
}

# packages_install LIST LOG: installs what is in the list, with sudo where that is needed.
packages_install () {
  local -a names as_root=()
  mapfile -t names < <(awk 'NF { print $1 }' <<<"$1")
  [ ${#names[@]} -gt 0 ] || return 0

  if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get here. Needed, under their names in Debian: ${names[*]}" >&2
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "As root, please: apt-get install --no-install-recommends ${names[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi

  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -c \
    'apt-get -q update && apt-get -qy install --no-install-recommends "$@"' sh "${names[@]}" \
    >"$2" 2>&1 </dev/null || {
      tail -n 20 "$2" >&2
      return 1
    }
}
