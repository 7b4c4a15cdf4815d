/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that real QEMUs and storage daemons are attached, noticed when they go, and told
 * apart. */

#include "fake.h"
#include "support.h"

#include <core/error.h>
#include <guest/quiesce.h>
#include <guest/registry.h>
#include <string.h>

#define UUID_A "11111111-2222-3333-4444-555555555555"
#define UUID_B "99999999-2222-3333-4444-555555555555"

typedef struct
{
  Folder          *folder;
  char            *socket;
  QmpFeatureCache *cache;
  GSubprocess     *process;
  Guest           *guest;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GuestConfig) config = NULL;

  fixture->folder = folder_new ();
  fixture->socket = folder_file (fixture->folder, "vm.qmp");
  fixture->cache = qmp_feature_cache_new ();
  config = config_for (NULL, fixture->socket);
  config->agent = folder_file (fixture->folder, "qga");
  fixture->guest = guest_new (config, fixture->cache);
}

static void
end_process (Fixture *fixture)
{
  if (fixture->process != NULL)
    kill_and_wait (fixture->process);
  g_clear_object (&fixture->process);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  guest_stop (fixture->guest);
  g_clear_object (&fixture->guest);
  end_process (fixture);
  g_clear_object (&fixture->cache);
  g_clear_pointer (&fixture->socket, g_free);
  g_clear_pointer (&fixture->folder, folder_free);
}

typedef struct
{
  Guest      *guest;
  const char *run_state;
} Awaited;

static gboolean
runs_so (gpointer user_data)
{
  Awaited *awaited = user_data;

  return g_strcmp0 (guest_get_run_state (awaited->guest), awaited->run_state) == 0;
}

static void
run (Guest      *guest,
     const char *command,
     const char *run_state)
{
  Awaited awaited = { guest, run_state };
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  qmp_client_execute_async (guest_get_client (guest), command, NULL, 5000, NULL, keep_result,
                            &result);
  await_result (&result);
  reply = qmp_client_execute_finish (guest_get_client (guest), result, &error);
  g_assert_no_error (error);
  run_until (runs_so, &awaited, 5000, run_state);
}

static void
test_qemu (Fixture       *fixture,
           gconstpointer  data)
{
  g_autofree char *cwd = g_get_current_dir ();
  g_autofree char *folder = NULL;
  g_autofree char *pid = NULL;

  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_A);
  if (fixture->process == NULL)
    return;

  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);
  g_assert_cmpstr (guest_get_id (fixture->guest), ==, "web-1");
  g_assert_cmpstr (guest_get_name (fixture->guest), ==, "web-1");
  g_assert_cmpstr (guest_get_uuid (fixture->guest), ==, UUID_A);
  g_assert_cmpint (guest_get_kind (fixture->guest), ==, GUEST_KIND_QEMU);
  g_assert_true (qmp_features_has_command (guest_get_features (fixture->guest), "blockdev-reopen"));

  pid = g_strdup_printf ("%d", guest_get_pid (fixture->guest));
  g_assert_cmpstr (pid, ==, g_subprocess_get_identifier (fixture->process));
  folder = guest_dup_folder (fixture->guest);
  g_assert_cmpstr (folder, ==, cwd);

  g_assert_cmpstr (guest_get_run_state (fixture->guest), ==, "prelaunch");
  run (fixture->guest, "cont", "running");
  run (fixture->guest, "stop", "paused");
  run (fixture->guest, "system_reset", "prelaunch");
  run (fixture->guest, "cont", "running");
}

static void
test_comes_back (Fixture       *fixture,
                 gconstpointer  data)
{
  guint64 start_time;
  GPid pid;

  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_GONE);

  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_A);
  if (fixture->process == NULL)
    return;
  await_state (fixture->guest, GUEST_ATTACHED);
  pid = guest_get_pid (fixture->guest);
  start_time = guest_get_start_time (fixture->guest);

  end_process (fixture);
  await_state (fixture->guest, GUEST_GONE);
  g_assert_cmpint (guest_get_pid (fixture->guest), ==, 0);
  g_assert_null (guest_dup_folder (fixture->guest));
  g_assert_cmpstr (guest_get_id (fixture->guest), ==, "web-1");

  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_A);
  await_state (fixture->guest, GUEST_ATTACHED);
  g_assert_true (guest_get_pid (fixture->guest) != pid ||
                 guest_get_start_time (fixture->guest) != start_time);
}

static void
test_another (Fixture       *fixture,
              gconstpointer  data)
{
  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_A);
  if (fixture->process == NULL)
    return;
  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);

  end_process (fixture);
  await_state (fixture->guest, GUEST_GONE);
  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_B);
  await_state (fixture->guest, GUEST_REFUSED);
  g_assert_error (guest_get_error (fixture->guest), AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (guest_get_error (fixture->guest)->message, UUID_A));
  g_assert_nonnull (strstr (guest_get_error (fixture->guest)->message, UUID_B));

  end_process (fixture);
  fixture->process = spawn_qemu (fixture->socket, "web-1", UUID_A);
  await_state (fixture->guest, GUEST_ATTACHED);
}

static void
test_nameless (Fixture       *fixture,
               gconstpointer  data)
{
  fixture->process = spawn_qemu (fixture->socket, NULL, NULL);
  if (fixture->process == NULL)
    return;
  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);
  g_assert_cmpstr (guest_get_id (fixture->guest), ==, "vm");
  g_assert_null (guest_get_name (fixture->guest));
  g_assert_null (guest_get_uuid (fixture->guest));

  /* The weakest identity still tells a guest from a storage daemon. */
  end_process (fixture);
  await_state (fixture->guest, GUEST_GONE);
  fixture->process = spawn_daemon (fixture->socket);
  if (fixture->process == NULL)
    return;
  await_state (fixture->guest, GUEST_REFUSED);
}

static void
test_daemon (Fixture       *fixture,
             gconstpointer  data)
{
  fixture->process = spawn_daemon (fixture->socket);
  if (fixture->process == NULL)
    return;
  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);
  g_assert_cmpint (guest_get_kind (fixture->guest), ==, GUEST_KIND_STORAGE_DAEMON);
  g_assert_null (guest_get_run_state (fixture->guest));
  g_assert_cmpstr (guest_get_id (fixture->guest), ==, "vm");
}

static void
test_tcp (Fixture       *fixture,
          gconstpointer  data)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", port);
  g_autoptr (GuestConfig) config = config_for (NULL, address);
  g_autoptr (Guest) guest = guest_new (config, fixture->cache);

  g_socket_listener_close (listener);
  guest_start (guest);
  await_state (guest, GUEST_GONE);

  fixture->process = spawn_daemon_tcp (port);
  if (fixture->process == NULL)
    return;
  await_state (guest, GUEST_ATTACHED);
  g_assert_cmpint (guest_get_kind (guest), ==, GUEST_KIND_STORAGE_DAEMON);

  /* Nobody tells who listens there. */
  g_assert_cmpint (guest_get_pid (guest), ==, 0);
  g_assert_cmpuint (guest_get_start_time (guest), ==, 0);
  g_assert_null (guest_dup_folder (guest));
  guest_stop (guest);
}

/* A monitor serves one client; a second one is told why it waits in vain. */
static void
test_second_client (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (GuestConfig) config = config_for (NULL, fixture->socket);
  g_autoptr (Guest) second = guest_new (config, fixture->cache);

  fixture->process = spawn_daemon (fixture->socket);
  if (fixture->process == NULL)
    return;
  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);

  guest_start (second);
  await_state (second, GUEST_GONE);
  g_assert_error (guest_get_error (second), AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (guest_get_error (second)->message, "client"));

  guest_stop (fixture->guest);
  await_state (second, GUEST_ATTACHED);
  guest_stop (second);
}

/* What was frozen dies with QEMU, even if nobody can be asked any more. */
static void
test_dies_frozen (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autofree char *path = folder_file (fixture->folder, "qga");
  g_autoptr (Fake) agent = fake_new_agent (path);
  g_autoptr (Quiesce) quiesce = quiesce_new (fixture->guest, 1000, 60000);
  g_autoptr (GAsyncResult) frozen = NULL;
  g_autoptr (GAsyncResult) thawed = NULL;
  g_autoptr (GError) error = NULL;

  fixture->process = spawn_qemu (fixture->socket, NULL, NULL);
  if (fixture->process == NULL)
    return;
  guest_start (fixture->guest);
  await_state (fixture->guest, GUEST_ATTACHED);

  quiesce_freeze_async (quiesce, NULL, keep_result, &frozen);
  await_result (&frozen);
  g_assert_cmpint (quiesce_freeze_finish (quiesce, frozen, &error), ==, 2);
  g_assert_no_error (error);
  g_assert_true (quiesce_still_frozen (quiesce));

  end_process (fixture);
  fake_die (agent);
  g_assert_false (quiesce_still_frozen (quiesce));
  quiesce_thaw_async (quiesce, keep_result, &thawed);
  await_result (&thawed);
  g_assert_true (quiesce_thaw_finish (quiesce, thawed, &error));
  g_assert_no_error (error);
}

/* --- All of them --- */

typedef struct
{
  GuestRegistry *registry;
  guint          n;
  GuestState     state;
} Wanted;

static gboolean
are_there (gpointer user_data)
{
  Wanted *wanted = user_data;
  g_autoptr (GPtrArray) guests = guest_registry_list (wanted->registry);
  guint n = 0;

  for (guint i = 0; i < guests->len; i++)
    n += guest_get_state (g_ptr_array_index (guests, i)) == wanted->state;

  return n == wanted->n && guests->len == wanted->n;
}

static void
test_watched (Fixture       *fixture,
              gconstpointer  data)
{
  g_autofree char *journal_path = folder_file (fixture->folder, "journal");
  g_autofree char *pattern = folder_file (fixture->folder, "d-*.sock");
  g_autoptr (GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  g_autoptr (Journal) journal = journal_open (journal_path, &error);
  g_autoptr (GuestRegistry) registry = NULL;
  char *patterns[] = { pattern, NULL };
  Config config = { .watch = patterns };
  Wanted wanted = { NULL, 20, GUEST_ATTACHED };

  g_assert_no_error (error);
  registry = wanted.registry = guest_registry_new (journal);
  g_assert_true (guest_registry_start (registry, &config, &error));
  g_assert_no_error (error);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *name = g_strdup_printf ("d-%u.sock", i);
      g_autofree char *socket = folder_file (fixture->folder, name);
      GSubprocess *process = spawn_daemon (socket);

      if (process == NULL)
        return;
      g_ptr_array_add (processes, process);
    }

  run_until (are_there, &wanted, 20000, "twenty storage daemons are attached");
  g_assert_nonnull (guest_registry_find (registry, "d-7", NULL));

  for (guint i = 0; i < processes->len; i++)
    {
      g_autofree char *name = g_strdup_printf ("d-%u.sock", i);
      g_autofree char *socket = folder_file (fixture->folder, name);

      kill_and_wait (g_ptr_array_index (processes, i));
      g_assert_cmpint (unlink (socket), ==, 0);
    }
  wanted.n = 0;
  run_until (are_there, &wanted, 10000, "all are forgotten");
  guest_registry_stop (registry);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, func) g_test_add ("/guest/live/" path, Fixture, NULL, set_up, func, tear_down)
  ADD ("qemu", test_qemu);
  ADD ("comes-back", test_comes_back);
  ADD ("another", test_another);
  ADD ("nameless", test_nameless);
  ADD ("daemon", test_daemon);
  ADD ("tcp", test_tcp);
  ADD ("second-client", test_second_client);
  ADD ("dies-frozen", test_dies_frozen);
  ADD ("watched", test_watched);
#undef ADD

  return g_test_run ();
}
