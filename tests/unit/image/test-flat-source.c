/* SPDX-License-Identifier: Apache-2.0 */

/* The stream beside other users of the layers, and when something goes wrong: a clear error, no
 * hang, and nothing left over. */

#include <core/error.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flat-fixture.h"

#define MIB (G_GUINT64_CONSTANT (1024) * 1024)

/* 19 MiB of data in two layers. */
static void
make_chain (FlatFixture *fixture)
{
  flat_run (fixture, "img create -q -f qcow2 a 64M;"
            "io -f qcow2 -c 'write -P 1 0 15M' -c 'write -P 2 40M 3M' a;"
            "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -P 3 10M 6M' b");
  flat_set_layers (fixture, "b:qcow2 a:qcow2");
}

static ImageSource *
open_chain (FlatFixture *fixture,
            const char  *format)
{
  g_autoptr (GError) error = NULL;
  ImageSource *source;

  make_chain (fixture);
  source = flat_open (fixture, format, &error);
  g_assert_no_error (error);

  return source;
}

static void
read_some (ImageSource *source,
           gsize        size)
{
  g_autofree guint8 *buffer = g_malloc (size);
  g_autoptr (GError) error = NULL;

  while (size > 0)
    {
      gssize n = image_source_read (source, buffer, size, &error);

      g_assert_no_error (error);
      g_assert_cmpint (n, >, 0);
      size -= (gsize) n;
    }
}

/* --- our processes --- */

/* Of those that are children of this one, any; 0: there is none. */
static pid_t
find_child (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc", name, "stat", NULL);
      g_autofree char *text = NULL;
      const char *end;
      char state;
      int parent;

      if (g_ascii_isdigit (name[0]) && g_file_get_contents (path, &text, NULL, NULL)
          && (end = strrchr (text, ')')) != NULL && sscanf (end, ") %c %d", &state, &parent) == 2
          && parent == getpid () && state != 'Z')
        return (pid_t) g_ascii_strtoll (name, NULL, 10);
    }

  return 0;
}

static void
assert_nothing_left (FlatFixture *fixture)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  g_assert_cmpint (find_child (), ==, 0);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_assert_false (g_str_has_prefix (name, "read-"));
}

/* Somebody else who has @blockdevs open; "daemon" in the folder's file "pid". */
static void
start_other (FlatFixture *fixture,
             const char  *blockdevs)
{
  g_autofree char *command = g_strdup_printf ("%s --daemonize --pidfile pid %s", fixture->daemon,
                                              blockdevs);

  flat_run (fixture, command);
}

static void
stop_other (FlatFixture *fixture)
{
  g_autofree char *path = flat_path (fixture, "pid");
  g_autofree char *text = NULL;
  pid_t pid;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  pid = (pid_t) g_ascii_strtoll (text, NULL, 10);
  g_assert_cmpint (pid, >, 1);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
}

/* --- beside others --- */

static void
test_two_at_once (FlatFixture   *fixture,
                  gconstpointer  data)
{
  g_autoptr (ImageSource) one = open_chain (fixture, "qcow2");
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) two = flat_open (fixture, "raw", &error);

  g_assert_no_error (error);
  read_some (one, 5 * MIB);
  flat_save (fixture, two, "two", 100 * 1000, &error);
  g_assert_no_error (error);
  flat_close (two);
  g_assert_true (image_source_rewind (one, &error));
  flat_save (fixture, one, "one", MIB, &error);
  g_assert_no_error (error);
  flat_close (one);

  flat_assert_same (fixture, "one", "qcow2", 64 * MIB);
  flat_assert_same (fixture, "two", "raw", 64 * MIB);
  assert_nothing_left (fixture);
}

/* A guest has the frozen layers open, and writes above them. */
static void
test_below_a_guest (FlatFixture   *fixture,
                    gconstpointer  data)
{
  make_chain (fixture);
  flat_run (fixture, "img create -q -f qcow2 -b b -F qcow2 active");
  start_other (fixture, "--blockdev file,node-name=f,filename=active,auto-read-only=on"
               " --blockdev qcow2,node-name=q,file=f"
               " --nbd-server addr.type=unix,addr.path=other"
               " --export nbd,id=e,node-name=q,writable=on");

  flat_assert_image (fixture, "qcow2", 64 * MIB);
  stop_other (fixture);
}

/* Somebody has a layer open for writing. As long as he does not write, it is what it is. */
static void
test_writer (FlatFixture   *fixture,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  make_chain (fixture);
  start_other (fixture, "--blockdev file,node-name=f,filename=a"
               " --blockdev qcow2,node-name=q,file=f"
               " --nbd-server addr.type=unix,addr.path=other"
               " --export nbd,id=e,node-name=q,writable=on");

  source = flat_open (fixture, "qcow2", &error);
  g_assert_no_error (error);
  flat_save (fixture, source, "image", MIB, &error);
  g_assert_no_error (error);
  g_assert_true (image_source_rewind (source, &error));
  flat_run (fixture, "io -f raw -c 'write -P 9 1M 1k' 'nbd+unix:///q?socket=other'");
  flat_save (fixture, source, "spoilt", MIB, &error);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "/a was written to"));
  g_assert_nonnull (agent_error_get_hint (error));
  flat_close (source);
  stop_other (fixture);
  assert_nothing_left (fixture);
}

/* While it is open nobody can write; as soon as it is closed, everybody can. */
static void
test_locks (FlatFixture   *fixture,
            gconstpointer  data)
{
  g_autoptr (ImageSource) source = open_chain (fixture, "qcow2");
  g_autofree char *command = g_strdup_printf ("sh -c '! %s -f qcow2 -c quit b 2>error'",
                                              fixture->programs->io);

  flat_run (fixture, command);
  flat_run (fixture, "grep -q lock error");
  flat_close (source);
  flat_run (fixture, "io -f qcow2 -c 'write -P 9 0 1k' b");
  assert_nothing_left (fixture);
}

/* Of a life before: a socket that nobody came to, beside files of the folder's owner. */
static void
test_clean_up (FlatFixture   *fixture,
               gconstpointer  data)
{
  g_autofree char *left = flat_path (fixture, "read-0a1b2c3d");
  g_autofree char *theirs = flat_path (fixture, "read-me");
  g_autofree char *folder = g_path_get_dirname (left);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (left);
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);

  g_assert_true (g_socket_bind (socket, address, FALSE, NULL));
  g_assert_true (g_file_set_contents (theirs, "x", 1, NULL));
  flat_source_clean_up (folder);
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (theirs, G_FILE_TEST_EXISTS));
}

/* --- reading again, and from where --- */

static void
test_rewind (FlatFixture   *fixture,
             gconstpointer  data)
{
  static const gsize first[] = { 1, 65536, 400 * 1000, 5 * 1024 * 1024, 19 * 1024 * 1024 };
  static const char *const formats[] = { "qcow2", "raw" };

  make_chain (fixture);
  for (gsize f = 0; f < G_N_ELEMENTS (formats); f++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (ImageSource) source = flat_open (fixture, formats[f], &error);

      g_assert_no_error (error);
      for (gsize i = 0; i < G_N_ELEMENTS (first); i++)
        {
          read_some (source, first[i]);
          g_assert_true (image_source_rewind (source, &error));
          g_assert_no_error (error);
        }
      flat_save (fixture, source, "image", 12345, &error);
      g_assert_no_error (error);
      flat_close (source);
      flat_assert_same (fixture, "image", formats[f], 64 * MIB);
    }
}

/* What QEMU would take for a protocol, or for options, is a name like any other. */
static void
test_odd_names (FlatFixture   *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  make_chain (fixture);
  flat_run (fixture, "mv b nbd:x,y=1");
  flat_set_layers (fixture, "nbd:x,y=1:qcow2 a:qcow2");
  source = flat_open (fixture, "qcow2", &error);
  g_assert_no_error (error);
  /* Once it is open, the name is of no importance. */
  flat_run (fixture, "mv nbd:x,y=1 b;cp a elsewhere;rm a");
  flat_save (fixture, source, "image", MIB, &error);
  g_assert_no_error (error);
  flat_close (source);
  flat_run (fixture, "mv elsewhere a");
  flat_set_layers (fixture, "b:qcow2 a:qcow2");
  flat_assert_same (fixture, "image", "qcow2", 64 * MIB);
}

/* --- what is refused --- */

static void
assert_refused (FlatFixture *fixture,
                const char  *layers,
                AgentError   code,
                const char  *words)
{
  g_autoptr (GError) error = NULL;

  if (layers != NULL)
    flat_set_layers (fixture, layers);
  g_assert_null (flat_open (fixture, "qcow2", &error));
  g_assert_error (error, AGENT_ERROR, (int) code);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
  assert_nothing_left (fixture);
}

static void
test_refusals (FlatFixture   *fixture,
               gconstpointer  data)
{
  g_autofree char *fifo = flat_path (fixture, "fifo");

  make_chain (fixture);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  flat_run (fixture, "img create -q -f qcow2 -o data_file=data,data_file_raw=on apart 1M;"
            "cp a secret;io -f raw -c 'write -P 2 35 1' secret;"
            "img create -q -f raw raw 1M;img create -q -f vmdk vmdk 1M;"
            "cp a damaged;io -f raw -c 'write -P 255 40 8' damaged;"
            "cp a short;truncate -s 50 short");

  assert_refused (fixture, "b:raw a:qcow2", AGENT_ERROR_INVALID, "raw has no parents");
  assert_refused (fixture, "raw:qcow2", AGENT_ERROR_INVALID, "not a qcow2");
  assert_refused (fixture, "short:qcow2", AGENT_ERROR_INVALID, "not a qcow2");
  assert_refused (fixture, "vmdk:vmdk", AGENT_ERROR_INVALID, "neither qcow2 nor raw");
  assert_refused (fixture, "fifo:raw", AGENT_ERROR_INVALID, "neither a file");
  assert_refused (fixture, "b:qcow2 apart:qcow2", AGENT_ERROR_INVALID, "in another file");
  assert_refused (fixture, "b:qcow2 secret:qcow2", AGENT_ERROR_INVALID, "encrypted");
  assert_refused (fixture, "b:qcow2 damaged:qcow2", AGENT_ERROR_INVALID, "/damaged: ");

  g_ptr_array_set_size (fixture->layers, 0);
  assert_refused (fixture, NULL, AGENT_ERROR_INVALID, "without layers");
}

static void
test_replaced (FlatFixture   *fixture,
               gconstpointer  data)
{
  make_chain (fixture);
  flat_run (fixture, "mv a kept;cp kept a");
  assert_refused (fixture, NULL, AGENT_ERROR_CONFLICT, "another file by now");
  flat_run (fixture, "rm a");
  assert_refused (fixture, NULL, AGENT_ERROR_CONFLICT, "cannot open");
}

/* A header names what its image was made on; the caller knows better. */
static void
test_header_is_not_followed (FlatFixture   *fixture,
                             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  make_chain (fixture);
  flat_run (fixture, "img create -q -f qcow2 -u -b /etc/passwd -F raw forged 1M;"
            "img create -q -f qcow2 expected 1M");
  flat_set_layers (fixture, "forged:qcow2");
  source = flat_open (fixture, "qcow2", &error);
  g_assert_no_error (error);
  flat_save (fixture, source, "image", MIB, &error);
  g_assert_no_error (error);
  flat_close (source);
  flat_set_layers (fixture, "expected:qcow2");
  flat_assert_same (fixture, "image", "qcow2", MIB);
}

static void
assert_open_fails (FlatFixture *fixture,
                   const char  *format,
                   const char  *program,
                   const char  *folder,
                   AgentError   code,
                   const char  *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (flat_open_full (fixture, format, program, folder, NULL, &error));
  g_assert_error (error, AGENT_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, words));
  assert_nothing_left (fixture);
}

static void
test_surroundings (FlatFixture   *fixture,
                   gconstpointer  data)
{
  g_autofree char *program = flat_path (fixture, "program");
  g_autofree char *nowhere = flat_path (fixture, "nowhere");
  g_autofree char *long_name = g_strnfill (90, 'x');
  g_autofree char *long_path = flat_path (fixture, long_name);

  make_chain (fixture);
  g_assert_true (g_file_set_contents_full (program, "#!/bin/sh\necho no such luck >&2\nexit 3\n",
                                           -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
  assert_open_fails (fixture, "qcow2", program, fixture->folder, AGENT_ERROR_INTERNAL,
                     "no such luck");
  assert_open_fails (fixture, "qcow2", nowhere, fixture->folder, AGENT_ERROR_UNAVAILABLE,
                     "nowhere");
  assert_open_fails (fixture, "qcow2", fixture->daemon, nowhere, AGENT_ERROR_INTERNAL, "nowhere");
  assert_open_fails (fixture, "qcow2", fixture->daemon, long_path, AGENT_ERROR_INVALID, "107");
  assert_open_fails (fixture, "vmdk", fixture->daemon, fixture->folder, AGENT_ERROR_INVALID,
                     "vmdk");
}

/* --- in the middle --- */

static void
test_killed (FlatFixture   *fixture,
             gconstpointer  data)
{
  g_autoptr (ImageSource) source = open_chain (fixture, "qcow2");
  g_autoptr (GError) error = NULL;
  pid_t child = find_child ();

  read_some (source, MIB);
  g_assert_cmpint (child, >, 1);
  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  g_assert_false (flat_save (fixture, source, "image", MIB, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "cannot read the disk"));
  g_clear_error (&error);
  g_assert_true (!image_source_rewind (source, &error)
                 || !flat_save (fixture, source, "image", MIB, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);

  flat_close (source);
  flat_close (source);
  assert_nothing_left (fixture);
}

static gpointer
read_until_error (gpointer data)
{
  ImageSource *source = data;
  g_autofree guint8 *buffer = g_malloc (65536);
  GError *error = NULL;

  do
    {
      gssize n = image_source_read (source, buffer, 65536, &error);

      if (n == 0)
        g_assert_true (image_source_rewind (source, &error) || error != NULL);
    }
  while (error == NULL);

  return error;
}

/* A thread reads on and on; closing ends that. */
static void
test_closed_while_read (FlatFixture   *fixture,
                        gconstpointer  data)
{
  g_autoptr (ImageSource) source = open_chain (fixture, "qcow2");
  GThread *thread = g_thread_new ("reader", read_until_error, source);
  g_autoptr (GError) error = NULL;

  g_usleep (50 * 1000);
  flat_close (source);
  error = g_thread_join (thread);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  assert_nothing_left (fixture);
}

static void
test_last_reference (FlatFixture   *fixture,
                     gconstpointer  data)
{
  ImageSource *source = open_chain (fixture, "qcow2");
  gint64 give_up = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;

  read_some (source, MIB);
  g_assert_cmpint (find_child (), >, 1);
  g_object_unref (source);
  while (find_child () != 0 && g_get_monotonic_time () < give_up)
    g_usleep (1000);
  assert_nothing_left (fixture);
}

/* Killed as a subprocess, in the middle; its folder and its process are told in a file. */
static void
be_killed (FlatFixture *fixture)
{
  g_autoptr (ImageSource) source = open_chain (fixture, "qcow2");
  g_autofree char *text = g_strdup_printf ("%d %s", find_child (), fixture->folder);

  read_some (source, MIB);
  g_assert_true (g_file_set_contents (g_getenv ("FLAT_TEST_FILE"), text, -1, NULL));
  kill (getpid (), SIGKILL);
}

static gboolean
is_gone (const char *pid)
{
  g_autofree char *path = g_build_filename ("/proc", pid, "cmdline", NULL);
  g_autofree char *text = NULL;

  /* That of a zombie is empty. */
  return !g_file_get_contents (path, &text, NULL, NULL) || text[0] == '\0';
}

static void
test_ends_with_us (FlatFixture   *fixture,
                   gconstpointer  data)
{
  g_autofree char *path = flat_path (fixture, "told");
  g_autofree char *text = NULL;
  g_auto (GStrv) words = NULL;
  gint64 give_up;

  if (g_test_subprocess ())
    {
      be_killed (fixture);
      return;
    }

  g_setenv ("FLAT_TEST_FILE", path, TRUE);
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  words = g_strsplit (text, " ", 2);
  g_assert_cmpint (g_ascii_strtoll (words[0], NULL, 10), >, 1);

  give_up = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;
  while (!is_gone (words[0]) && g_get_monotonic_time () < give_up)
    g_usleep (1000);
  g_assert_true (is_gone (words[0]));
  drop_folder (words[1]);
}

/* Cancelled after every number of turns of the loop, until it is too late for that. */
static void
test_cancelled (FlatFixture   *fixture,
                gconstpointer  data)
{
  g_autoptr (ImageSource) source = NULL;
  guint turns;

  make_chain (fixture);
  for (turns = 0; source == NULL && turns < 1000; turns++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      flat_source_open_async (fixture->layers, "qcow2", fixture->daemon, fixture->folder,
                              cancellable, keep_result, &result);
      for (guint i = 0; i < turns && result == NULL; i++)
        g_main_context_iteration (NULL, TRUE);
      g_cancellable_cancel (cancellable);
      source = flat_source_open_finish (await_result (&result), &error);
      if (source == NULL)
        {
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          assert_nothing_left (fixture);
        }
    }
  g_test_message ("%u turns", turns);
  g_assert_cmpuint (turns, >, 5);
  g_assert_nonnull (source);
  flat_close (source);
  assert_nothing_left (fixture);
}

static void
test_device (FlatFixture   *fixture,
             gconstpointer  data)
{
  g_autofree char *file = flat_path (fixture, "a");
  g_autofree char *attach = g_strdup_printf ("losetup --show -f %s", file);
  g_autofree char *device = NULL;
  g_autofree char *create = NULL;
  g_autofree char *layers = NULL;
  g_autofree char *detach = NULL;

  flat_run (fixture, "img create -q -f raw a 8M;io -f raw -c 'write -P 1 1M 3M' a");
  if (geteuid () != 0 || !g_spawn_command_line_sync (attach, &device, NULL, NULL, NULL)
      || !g_str_has_prefix (g_strstrip (device), "/dev/loop"))
    {
      g_test_skip ("no loop device can be had: it takes root, and losetup");
      return;
    }

  create = g_strdup_printf ("img create -q -f qcow2 -b %s -F raw b 8M;"
                            "io -f qcow2 -c 'write -P 2 2M 64k' b", device);
  layers = g_strdup_printf ("b:qcow2 %s:raw", device);
  flat_run (fixture, create);
  flat_set_layers (fixture, layers);
  flat_assert_image (fixture, "qcow2", 8 * MIB);
  flat_assert_image (fixture, "raw", 8 * MIB);
  detach = g_strdup_printf ("losetup -d %s", device);
  flat_run (fixture, detach);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  flat_add_test ("two-at-once", test_two_at_once);
  flat_add_test ("below-a-guest", test_below_a_guest);
  flat_add_test ("writer", test_writer);
  flat_add_test ("locks", test_locks);
  flat_add_test ("clean-up", test_clean_up);
  flat_add_test ("rewind", test_rewind);
  flat_add_test ("odd-names", test_odd_names);
  flat_add_test ("refusals", test_refusals);
  flat_add_test ("replaced", test_replaced);
  flat_add_test ("header-is-not-followed", test_header_is_not_followed);
  flat_add_test ("surroundings", test_surroundings);
  flat_add_test ("killed", test_killed);
  flat_add_test ("closed-while-read", test_closed_while_read);
  flat_add_test ("last-reference", test_last_reference);
  flat_add_test ("ends-with-us", test_ends_with_us);
  flat_add_test ("cancelled", test_cancelled);
  flat_add_test ("device", test_device);

  return g_test_run ();
}
