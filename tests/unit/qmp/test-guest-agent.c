/* SPDX-License-Identifier: Apache-2.0 */

/* The guest agent: one that lies, hangs and lingers, and the real program. */

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <qmp/error.h>
#include <qmp/guest-agent.h>

#include "agent.h"
#include "sync.h"

#define DEADLINE 10000

typedef struct
{
  char      *folder;
  char      *path;
  PeerAgent *peer;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->folder = g_dir_make_tmp ("qga-XXXXXX", &error);
  g_assert_no_error (error);
  fixture->path = g_build_filename (fixture->folder, "qga", NULL);
  fixture->peer = peer_agent_new (fixture->path);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  sync_settle ();
  peer_agent_free (fixture->peer);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static QmpGuestAgent *
open_agent (GSocketConnectable  *address,
            guint                deadline_ms,
            GError             **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_guest_agent_open_async (address, deadline_ms, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_guest_agent_open_finish (result, error);
}

static QmpGuestAgent *
must_open (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  QmpGuestAgent *agent = open_agent (peer_agent_get_address (fixture->peer), DEADLINE, &error);

  g_assert_no_error (error);
  g_assert_true (qmp_guest_agent_is_open (agent));
  return agent;
}

static int
freeze (QmpGuestAgent  *agent,
        guint           deadline_ms,
        GCancellable   *cancellable,
        GError        **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_guest_agent_freeze_async (agent, deadline_ms, cancellable, sync_done, &result);
  sync_wait (&result);
  return qmp_guest_agent_freeze_finish (agent, result, error);
}

static int
thaw (QmpGuestAgent  *agent,
      GError        **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_guest_agent_thaw_async (agent, DEADLINE, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_guest_agent_thaw_finish (agent, result, error);
}

static gboolean
get_status (QmpGuestAgent  *agent,
            QmpFsfreeze    *status,
            GError        **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_guest_agent_status_async (agent, DEADLINE, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_guest_agent_status_finish (agent, result, status, error);
}

static void
assert_status (QmpGuestAgent *agent,
               QmpFsfreeze    expected)
{
  QmpFsfreeze status = expected == QMP_FSFREEZE_FROZEN ? QMP_FSFREEZE_THAWED : QMP_FSFREEZE_FROZEN;
  g_autoptr (GError) error = NULL;

  g_assert_true (get_status (agent, &status, &error));
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, expected);
}

static void
test_freeze_and_thaw (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  g_autoptr (GError) error = NULL;

  assert_status (agent, QMP_FSFREEZE_THAWED);
  g_assert_cmpint (freeze (agent, DEADLINE, NULL, &error), ==, 3);
  g_assert_no_error (error);
  g_assert_true (peer_agent_is_frozen (fixture->peer));
  assert_status (agent, QMP_FSFREEZE_FROZEN);
  g_assert_cmpint (thaw (agent, &error), ==, 3);
  g_assert_cmpint (thaw (agent, &error), ==, 0);
  g_assert_no_error (error);
  assert_status (agent, QMP_FSFREEZE_THAWED);

  qmp_guest_agent_close (agent);
  g_assert_false (qmp_guest_agent_is_open (agent));
  g_assert_cmpint (thaw (agent, &error), ==, -1);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
}

/* Answers to somebody who did not stay, half an answer, and the answer to another's sync. */
static void
test_left_over (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = NULL;

  peer_agent_leave (fixture->peer, data);
  agent = must_open (fixture);
  assert_status (agent, QMP_FSFREEZE_THAWED);
  g_assert_cmpuint (peer_agent_count (fixture->peer, "guest-sync-delimited"), ==, 1);
}

/* The freeze happens, its answer comes too late: the message warns, and a fresh link thaws. */
static void
test_late_freeze (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  g_autoptr (QmpGuestAgent) fresh = NULL;
  g_autoptr (GError) error = NULL;

  peer_agent_answer_late (fixture->peer, "guest-fsfreeze-freeze");
  g_assert_cmpint (freeze (agent, 50, NULL, &error), ==, -1);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "may be frozen all the same"));
  g_clear_error (&error);
  g_assert_true (peer_agent_is_frozen (fixture->peer));
  g_assert_false (qmp_guest_agent_is_open (agent));
  g_assert_cmpint (thaw (agent, &error), ==, -1);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_clear_error (&error);

  fresh = must_open (fixture);
  assert_status (fresh, QMP_FSFREEZE_FROZEN);
  g_assert_cmpint (thaw (fresh, &error), ==, 3);
  g_assert_no_error (error);
  g_assert_false (peer_agent_is_frozen (fixture->peer));
}

static void
test_cancelled_freeze (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  g_autoptr (QmpGuestAgent) fresh = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  peer_agent_answer_late (fixture->peer, "guest-fsfreeze-freeze");
  qmp_guest_agent_freeze_async (agent, DEADLINE, cancellable, sync_done, &result);
  while (!peer_agent_is_frozen (fixture->peer))
    g_main_context_iteration (NULL, TRUE);
  g_cancellable_cancel (cancellable);
  sync_wait (&result);
  g_assert_cmpint (qmp_guest_agent_freeze_finish (agent, result, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull (strstr (error->message, "may be frozen all the same"));
  g_clear_error (&error);

  fresh = must_open (fixture);
  g_assert_cmpint (thaw (fresh, &error), ==, 3);
  g_assert_no_error (error);
}

/* After a refusal it is sure that nothing is frozen. */
static void
test_refused_freeze (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  g_autoptr (GError) error = NULL;

  peer_agent_answer_with (fixture->peer, "guest-fsfreeze-freeze",
                          "\"error\": {\"class\": \"GenericError\", \"desc\": \"no room\"}");
  g_assert_cmpint (freeze (agent, DEADLINE, NULL, &error), ==, -1);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND);
  g_assert_cmpstr (qmp_error_get_description (error), ==, "no room");
  g_assert_null (strstr (error->message, "may be frozen"));
  assert_status (agent, QMP_FSFREEZE_THAWED);
}

static void
test_odd_answers (Fixture       *fixture,
                  gconstpointer  data)
{
  static const char *const odd[] = {
    "\"return\": {}", "\"return\": -1", "\"return\": 4294967296", "\"return\": \"3\"",
    "\"return\": null", "\"return\": [3]", "\"return\": 2.5", "\"return\": true",
  };
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  QmpFsfreeze status = QMP_FSFREEZE_FROZEN;

  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      g_autoptr (GError) freeze_error = NULL;
      g_autoptr (GError) thaw_error = NULL;
      g_autoptr (GError) status_error = NULL;

      peer_agent_answer_with (fixture->peer, "guest-fsfreeze-freeze", odd[i]);
      peer_agent_answer_with (fixture->peer, "guest-fsfreeze-thaw", odd[i]);
      peer_agent_answer_with (fixture->peer, "guest-fsfreeze-status", odd[i]);
      g_assert_cmpint (freeze (agent, DEADLINE, NULL, &freeze_error), ==, -1);
      g_assert_error (freeze_error, QMP_ERROR, QMP_ERROR_PROTOCOL);
      g_assert_nonnull (strstr (freeze_error->message, "may be frozen"));
      g_assert_cmpint (thaw (agent, &thaw_error), ==, -1);
      g_assert_error (thaw_error, QMP_ERROR, QMP_ERROR_PROTOCOL);
      g_assert_false (get_status (agent, &status, &status_error));
      g_assert_error (status_error, QMP_ERROR, QMP_ERROR_PROTOCOL);
      g_assert_cmpint (status, ==, QMP_FSFREEZE_FROZEN);
    }
}

static void
test_hang_up (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (QmpGuestAgent) agent = must_open (fixture);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  peer_agent_set_silent (fixture->peer, TRUE);
  qmp_guest_agent_freeze_async (agent, DEADLINE, NULL, sync_done, &result);
  peer_agent_hang_up (fixture->peer);
  sync_wait (&result);
  g_assert_cmpint (qmp_guest_agent_freeze_finish (agent, result, &error), ==, -1);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_nonnull (strstr (error->message, "may be frozen"));
}

/* --- opening --- */

static void
test_nobody_runs_it (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  peer_agent_set_silent (fixture->peer, TRUE);
  g_assert_null (open_agent (peer_agent_get_address (fixture->peer), 50, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "may not be running"));
}

static void
test_no_socket (Fixture       *fixture,
                gconstpointer  data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "nothing", NULL);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GError) error = NULL;

  g_assert_null (open_agent (G_SOCKET_CONNECTABLE (address), DEADLINE, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_true (g_str_has_prefix (error->message, "Cannot reach the guest agent: "));
}

/* --- the real one --- */

static void
die_with_parent (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* Freezing is forbidden to it: it runs on the machine that runs the tests. */
static void
test_real (void)
{
  g_autofree char *program = g_find_program_in_path ("qemu-ga");
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr (GSubprocess) process = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  g_autofree char *pid_file = NULL;
  g_autofree char *state_file = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (QmpGuestAgent) agent = NULL;
  g_autoptr (GError) error = NULL;
  gint64 give_up = g_get_monotonic_time () + DEADLINE * G_TIME_SPAN_MILLISECOND;

  if (program == NULL)
    program = g_find_program_in_path ("/usr/sbin/qemu-ga");
  if (program == NULL)
    {
      g_test_skip ("qemu-ga is not installed (qemu-guest-agent)");
      return;
    }

  folder = g_dir_make_tmp ("qga-XXXXXX", &error);
  g_assert_no_error (error);
  path = g_build_filename (folder, "qga", NULL);
  pid_file = g_build_filename (folder, "pid", NULL);
  state_file = g_build_filename (folder, "qga.state", NULL);
  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  process = g_subprocess_launcher_spawn (launcher, &error, program, "-m", "unix-listen", "-p", path,
                                         "-t", folder, "-f", pid_file,
                                         "--block-rpcs=guest-fsfreeze-freeze,guest-fsfreeze-freeze-"
                                         "list,guest-shutdown", NULL);
  g_assert_no_error (error);

  /* Two links, one after the other: it serves the second only when the first is gone. */
  address = g_unix_socket_address_new (path);
  for (guint i = 0; i < 2; i++)
    {
      g_clear_object (&agent);
      while (agent == NULL && g_get_monotonic_time () < give_up)
        {
          g_clear_error (&error);
          agent = open_agent (G_SOCKET_CONNECTABLE (address), 1000, &error);
        }
      g_assert_no_error (error);
      assert_status (agent, QMP_FSFREEZE_THAWED);

      g_assert_cmpint (freeze (agent, DEADLINE, NULL, &error), ==, -1);
      g_assert_nonnull (error);
      g_assert_nonnull (qmp_error_get_class (error));
      g_assert_null (strstr (error->message, "may be frozen"));
      g_clear_error (&error);
      g_assert_true (qmp_guest_agent_is_open (agent));
      assert_status (agent, QMP_FSFREEZE_THAWED);
    }

  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
  sync_settle ();
  g_unlink (path);
  g_unlink (pid_file);
  g_unlink (state_file);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  static const struct
  {
    const char *path;
    void      (*run) (Fixture *, gconstpointer);
    const char *data;
  } tests[] = {
    { "freeze-and-thaw", test_freeze_and_thaw, NULL },
    { "left-over/answer", test_left_over, "{\"return\": 3}\n" },
    { "left-over/half", test_left_over, "{\"return\": {\"a\": [" },
    { "left-over/another-sync", test_left_over, "\xff{\"return\": 7}\n\xff{\"return\": 8}\n" },
    { "left-over/mark", test_left_over, "\xff" },
    { "left-over/garbage", test_left_over, "login: \r\n\x01\x02}}}]\n\n" },
    { "late-freeze", test_late_freeze, NULL },
    { "cancelled-freeze", test_cancelled_freeze, NULL },
    { "refused-freeze", test_refused_freeze, NULL },
    { "odd-answers", test_odd_answers, NULL },
    { "hang-up", test_hang_up, NULL },
    { "nobody-runs-it", test_nobody_runs_it, NULL },
    { "no-socket", test_no_socket, NULL },
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/guest-agent/", tests[i].path, NULL);

      g_test_add (path, Fixture, tests[i].data, set_up, tests[i].run, tear_down);
    }
  g_test_add_func ("/guest-agent/real", test_real);

  return g_test_run ();
}
