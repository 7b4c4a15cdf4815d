/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to the small parts: addresses, ids, waits, processes, errors. */

#include "address.h"
#include "backoff.h"
#include "fake.h"
#include "process.h"
#include "retry.h"
#include "support.h"

#include <core/error.h>
#include <errno.h>
#include <string.h>

static void
test_address (void)
{
  static const char *const good[] = { "/run/vm.qmp", "127.0.0.1:4444", "host.example:1",
                                      "[::1]:4444" };
  static const char *const bad[] = { "",  "vm.qmp", "./vm.qmp",   "host", "host:",
                                     ":", "host:0", "host:99999", "a/b:1" };
  g_autofree char *long_path = g_strnfill (200, '/');

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GSocketConnectable) address = address_parse (good[i], &error);

      g_assert_no_error (error);
      g_assert_nonnull (address);
    }

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (address_parse (bad[i], &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (agent_error_get_hint (error));
    }

  memset (long_path + 1, 'x', 199);
  for (gsize length = 107; length <= 108; length++)
    {
      g_autofree char *path = g_strndup (long_path, length);
      g_autoptr (GError) error = NULL;
      g_autoptr (GSocketConnectable) address = address_parse (path, &error);

      g_assert_true ((address != NULL) == (length == 107));
    }
}

static void
test_normalize (void)
{
  static const char *const pairs[][2] = {
    { "/run/vm.qmp",        "/run/vm.qmp"    },
    { "//run/./x/../vm.qmp", "/run/vm.qmp"    },
    { "/run/vm.qmp/",       "/run/vm.qmp"    },
    { "Host.Example:4444",  "host.example:4444" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autofree char *text = address_normalize (pairs[i][0]);

      g_assert_cmpstr (text, ==, pairs[i][1]);
    }
}

static void
test_guess_id (void)
{
  static const char *const pairs[][2] = {
    { "/run/qemu/vm-1.qmp",  "vm-1"           },
    { "/run/qemu/vm.1.qmp",  "vm.1"           },
    { "/run/qemu/vm",        "vm"             },
    { "/run/qemu/my vm.qmp", "my-vm"          },
    { "/run/qemu/.hidden",   "guest"          },
    { "/run/qemu/-x.qmp",    "guest"          },
    { "127.0.0.1:4444",      "127.0.0.1-4444" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autofree char *id = address_guess_id (pairs[i][0]);

      g_assert_cmpstr (id, ==, pairs[i][1]);
      g_assert_true (guest_id_is_good (id));
    }
}

static void
test_good_id (void)
{
  static const char *const bad[] = { "",    ".",   "..",  "-x",       "_x",
                                     "a/b", "a b", "a\n", "\xc3\xa4", "a?" };
  g_autofree char *longest = g_strnfill (64, 'a');
  g_autofree char *longer = g_strnfill (65, 'a');

  g_assert_true (guest_id_is_good ("a"));
  g_assert_true (guest_id_is_good ("Web_1.example-2"));
  g_assert_true (guest_id_is_good (longest));
  g_assert_false (guest_id_is_good (longer));
  g_assert_false (guest_id_is_good (NULL));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (guest_id_is_good (bad[i]));
}

static void
test_config (void)
{
  static const struct
  {
    const char *id, *monitor, *agent, *uuid, *overlay_folder;
    gboolean    good;
  } cases[] = {
    { "a",  "/m",   "/a",  "11111111-2222-3333-4444-555555555555", "/o", TRUE  },
    { NULL, "/m",   NULL,  NULL,                                   NULL, TRUE  },
    { NULL, NULL,   NULL,  NULL,                                   NULL, FALSE },
    { NULL, "",     NULL,  NULL,                                   NULL, FALSE },
    { "/",  "/m",   NULL,  NULL,                                   NULL, FALSE },
    { NULL, "/m",   "a",   NULL,                                   NULL, FALSE },
    { NULL, "/m",   "h:1", NULL,                                   NULL, FALSE },
    { NULL, "/m",   "/m",  NULL,                                   NULL, FALSE },
    { NULL, "/m",   NULL,  "1111",                                 NULL, FALSE },
    { NULL, "/m",   NULL,  NULL,                                   "o",  FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GuestConfig) config = config_for (cases[i].id, cases[i].monitor);
      g_autoptr (GError) error = NULL;

      config->agent = g_strdup (cases[i].agent);
      config->uuid = g_strdup (cases[i].uuid);
      config->overlay_folder = g_strdup (cases[i].overlay_folder);
      g_assert_true (guest_config_check (config, &error) == cases[i].good);
      if (!cases[i].good)
        g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

static void
test_backoff (void)
{
  Backoff backoff = { 100, 1500, 0 };
  static const guint steps[] = { 100, 200, 400, 800, 1500, 1500 };

  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
        {
          guint wait_ms = backoff_next (&backoff);

          g_assert_cmpuint (wait_ms, <=, steps[i]);
          g_assert_cmpuint (wait_ms, >=, steps[i] - steps[i] / 4);
        }
      backoff_reset (&backoff);
    }
}

static void
count_try (gpointer user_data)
{
  (*(guint *) user_data)++;
}

static gboolean
has_tried (gpointer user_data)
{
  return *(guint *) user_data > 0;
}

static void
test_retry (void)
{
  g_autoptr (Folder) folder = folder_new ();
  g_autofree char *socket = folder_file (folder, "vm.qmp");
  g_autoptr (Fake) fake = NULL;
  guint tries = 0;
  Retry *retry = retry_new (socket, count_try, &tries);

  /* Without a socket there is nothing to try, however long it takes. */
  retry_begin (retry);
  retry_failed (retry);
  run_for (500);
  g_assert_cmpuint (tries, ==, 0);

  fake = fake_new_monitor (socket);
  run_until (has_tried, &tries, 5000, "the socket is noticed");
  run_for (300);
  g_assert_cmpuint (tries, ==, 1);

  /* With one there is. */
  retry_begin (retry);
  retry_failed (retry);
  tries = 0;
  run_until (has_tried, &tries, 5000, "it is tried again");

  /* What is said during a try counts after it, and for nothing once there is a link. */
  retry_begin (retry);
  retry_tire (retry);
  retry_hurry (retry);
  retry_failed (retry);
  tries = 0;
  run_until (has_tried, &tries, 5000, "it is tried in a hurry");
  retry_begin (retry);
  retry_hurry (retry);
  retry_succeeded (retry);
  tries = 0;
  run_for (300);
  g_assert_cmpuint (tries, ==, 0);

  retry_free (retry);
}

/* Its name is made to mislead whoever reads /proc/PID/stat from the front. */
static void
test_process (void)
{
  g_autoptr (Folder) folder = folder_new ();
  g_autofree char *program = folder_file (folder, "x) R 1 (");
  g_autofree char *sleep_program = g_find_program_in_path ("sleep");
  g_autofree char *cwd = g_get_current_dir ();
  g_autofree char *found = NULL;
  g_autoptr (GSubprocess) process = NULL;
  const char *argv[] = { program, "60", NULL };
  guint64 ours = process_get_start_time (getpid ());
  guint64 start_time;
  GPid pid;

  g_assert_cmpuint (ours, >, 0);
  g_assert_cmpint (symlink (sleep_program, program), ==, 0);
  process = spawn (argv);
  g_assert_nonnull (process);
  pid = (GPid) g_ascii_strtoll (g_subprocess_get_identifier (process), NULL, 10);
  start_time = process_get_start_time (pid);
  g_assert_cmpuint (start_time, >=, ours);
  g_assert_true (process_is_alive (pid, start_time));
  g_assert_false (process_is_alive (pid, start_time + 1));
  found = process_dup_folder (pid, start_time);
  g_assert_cmpstr (found, ==, cwd);
  g_assert_null (process_dup_folder (pid, start_time + 1));

  kill_and_wait (process);
  g_assert_false (process_is_alive (pid, start_time));
  g_assert_null (process_dup_folder (pid, start_time));

  g_assert_cmpuint (process_get_start_time (0), ==, 0);
  g_assert_cmpuint (process_get_start_time (-1), ==, 0);
  g_assert_false (process_is_alive (0, 0));
}

static void
test_errors (void)
{
  static const struct
  {
    QmpError   from;
    AgentError to;
  } cases[] = {
    { QMP_ERROR_LINK,        AGENT_ERROR_UNAVAILABLE },
    { QMP_ERROR_NO_GREETING, AGENT_ERROR_UNAVAILABLE },
    { QMP_ERROR_TIMEOUT,     AGENT_ERROR_TIMEOUT     },
    { QMP_ERROR_PROTOCOL,    AGENT_ERROR_GUEST       },
    { QMP_ERROR_COMMAND,     AGENT_ERROR_GUEST       },
    { QMP_ERROR_UNSUPPORTED, AGENT_ERROR_GUEST       },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error =
          guest_error_adopt (g_error_new (QMP_ERROR, (int) cases[i].from, "these words"));

      g_assert_error (error, AGENT_ERROR, (int) cases[i].to);
      g_assert_cmpstr (error->message, ==, "these words");
    }

  g_assert_null (guest_error_adopt (NULL));
}

/* What QEMU says of full storage is told as such; who else says so means something else. */
static void
test_no_space (void)
{
  g_autoptr (GError) job = guest_error_adopt (
      g_error_new (QMP_ERROR, QMP_ERROR_JOB, "it failed: %s", g_strerror (ENOSPC)));
  g_autoptr (GError) command = guest_error_adopt (
      g_error_new (QMP_ERROR, QMP_ERROR_COMMAND, "%s", g_strerror (EDQUOT)));
  g_autoptr (GError) link = guest_error_adopt (
      g_error_new (QMP_ERROR, QMP_ERROR_LINK, "%s", g_strerror (ENOSPC)));

  g_assert_error (job, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (job->message, "it failed"));
  g_assert_nonnull (agent_error_get_hint (job));
  g_assert_error (command, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_error (link, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/guest/parts/address", test_address);
  g_test_add_func ("/guest/parts/normalize", test_normalize);
  g_test_add_func ("/guest/parts/guess-id", test_guess_id);
  g_test_add_func ("/guest/parts/good-id", test_good_id);
  g_test_add_func ("/guest/parts/config", test_config);
  g_test_add_func ("/guest/parts/backoff", test_backoff);
  g_test_add_func ("/guest/parts/retry", test_retry);
  g_test_add_func ("/guest/parts/process", test_process);
  g_test_add_func ("/guest/parts/errors", test_errors);
  g_test_add_func ("/guest/parts/no-space", test_no_space);

  return g_test_run ();
}
