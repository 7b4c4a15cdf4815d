#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# installed.sh   builds the example against what `meson install` installs, and runs it.
#
# From the environment: BUILD_ROOT, SOURCE_ROOT, PREFIX, LIBDIR (below the prefix) and CC; and which
# programs to run it against: QSD and QEMU_IMG.
set -eu

fail () { echo "installed.sh: $*" >&2; exit 1; }

qsd=$(command -v "${QSD:-qemu-storage-daemon}") && img=$(command -v "${QEMU_IMG:-qemu-img}") || {
  echo "qemu-storage-daemon or qemu-img is not installed"
  exit 77
}

dir=$(mktemp -d)
stop () {
  [ ! -e "$dir/pid" ] || kill "$(cat "$dir/pid")"
  rm -rf "$dir"
}
trap stop EXIT

meson install -C "$BUILD_ROOT" --destdir "$dir/root" --no-rebuild --quiet \
  || fail "cannot install: is everything built?"
lib=$dir/root$PREFIX/$LIBDIR
include=$dir/root$PREFIX/include

# A staged installation is not where its .pc file says. PKG_CONFIG_SYSROOT_DIR would move GLib too.
sed -i "s|^prefix=.*|prefix=$dir/root$PREFIX|" "$lib/pkgconfig/libqmp.pc"
PKG_CONFIG_PATH=$lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
LD_LIBRARY_PATH=$lib
export PKG_CONFIG_PATH LD_LIBRARY_PATH
flags=$(pkg-config --cflags --libs libqmp)

# A program can only load a library with sanitizers when it has them too.
symbols=$(nm -D "$lib/libqmp.so")
case $symbols in *__asan_init*) flags="$flags -fsanitize=address" ;; esac
case $symbols in *__ubsan_handle*) flags="$flags -fsanitize=undefined" ;; esac
case $symbols in *__tsan_init*) flags="$flags -fsanitize=thread" ;; esac

# Each header stands on its own.
for header in "$include"/qmp/*.h; do
  name=qmp/${header##*/}
  echo "#include <$name>" > "$dir/header.c"
  $CC -Wall -Wextra -Werror -Wno-unused-parameter -fsyntax-only "$dir/header.c" $flags \
    || fail "$name cannot be included alone"
done

# The library exports what its headers declare, and nothing else.
nm -D --defined-only "$lib/libqmp.so" | awk '$2 == "T" { print $3 }' > "$dir/exported"
[ -s "$dir/exported" ] || fail "the library exports nothing"
cat "$include"/qmp/*.h > "$dir/headers"
undeclared=
while read -r symbol; do
  case $symbol in
    qmp_*_get_type) ;;                          # declared by macros
    *) grep -qw -- "$symbol" "$dir/headers" || undeclared="$undeclared $symbol" ;;
  esac
done < "$dir/exported"
[ -z "$undeclared" ] || fail "exported, but in no header:$undeclared"

$CC -Wall -Wextra -Werror -Wno-unused-parameter -o "$dir/qmp-example" \
  "$SOURCE_ROOT/qmp/example/qmp-example.c" $flags || fail "the example does not build"
ldd "$dir/qmp-example" | grep -qF "$lib/libqmp.so" || fail "the example does not use this library"

cd "$dir"
"$img" create -q -f qcow2 base.q 1M
"$img" create -q -f qcow2 -b base.q -F qcow2 top.q
env -u LD_LIBRARY_PATH "$qsd" --daemonize --pidfile "$dir/pid" \
  --blockdev file,node-name=basef,filename="$dir/base.q" \
  --blockdev qcow2,node-name=base,file=basef,read-only=on \
  --blockdev file,node-name=topf,filename="$dir/top.q" \
  --blockdev qcow2,node-name=top,file=topf,backing=base \
  --chardev socket,id=c,path="$dir/socket",server=on,wait=off --monitor chardev=c

./qmp-example "$dir/socket" > out || fail "the example fails"
cat out
grep -q '^QEMU [0-9].*, without a guest$' out || fail "the example tells no version"
grep -q '^top: qcow2 .* over base$' out || fail "the example shows no backing edge"

! ./qmp-example "$dir/nothing" 2> err || fail "the example succeeds without a QEMU"
grep -q "^qmp-example: .*nothing" err || fail "the example does not say what is wrong"

! ./qmp-example 2> err || fail "the example succeeds without a socket"
grep -q "^usage: " err || fail "the example does not say how to use it"
