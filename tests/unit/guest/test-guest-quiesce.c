/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that what is frozen is thawed, with guest agents that misbehave in every way. */

#include "fake.h"
#include "support.h"

#include <core/error.h>
#include <guest/quiesce.h>
#include <string.h>

typedef struct
{
  Folder  *folder;
  char    *socket;
  Fake    *monitor;
  Fake    *agent;
  Guest   *guest;
  Quiesce *quiesce;
} Fixture;

#define FREEZE_MS 400
#define THAW_AFTER_MS 1000

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autoptr (QmpFeatureCache) cache = qmp_feature_cache_new ();
  g_autoptr (GuestConfig) config = NULL;

  fixture->folder = folder_new ();
  fixture->socket = folder_file (fixture->folder, "qga");
  if (!g_str_equal (data, "absent"))
    fixture->agent = fake_new_agent (fixture->socket);

  if (!g_str_equal (data, "process"))
    {
      g_autofree char *path = folder_file (fixture->folder, "qmp");

      fixture->monitor = fake_new_monitor (path);
      config = config_for ("vm", path);
    }
  else
    config = config_for ("vm", "127.0.0.1:1");
  if (!g_str_equal (data, "none"))
    config->agent = g_strdup (fixture->socket);

  fixture->guest = guest_new (config, cache);
  guest_start (fixture->guest);
  await_state (fixture->guest, fixture->monitor != NULL ? GUEST_ATTACHED : GUEST_GONE);
  fixture->quiesce = quiesce_new (fixture->guest, FREEZE_MS, THAW_AFTER_MS);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  if (fixture->quiesce != NULL)
    g_assert_finalize_object (g_steal_pointer (&fixture->quiesce));
  guest_stop (fixture->guest);
  g_clear_object (&fixture->guest);
  g_clear_pointer (&fixture->agent, fake_free);
  g_clear_pointer (&fixture->monitor, fake_free);
  g_clear_pointer (&fixture->socket, g_free);
  g_clear_pointer (&fixture->folder, folder_free);
}

static int
freeze (Fixture       *fixture,
        GCancellable  *cancellable,
        GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  quiesce_freeze_async (fixture->quiesce, cancellable, keep_result, &result);
  await_result (&result);

  return quiesce_freeze_finish (fixture->quiesce, result, error);
}

static gboolean
thaw (Fixture  *fixture,
      GError  **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  quiesce_thaw_async (fixture->quiesce, keep_result, &result);
  await_result (&result);

  return quiesce_thaw_finish (fixture->quiesce, result, error);
}

static void
thaw_well (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (thaw (fixture, &error));
  g_assert_no_error (error);
  g_assert_false (fixture->agent->frozen);
}

static gboolean
is_thawed (gpointer user_data)
{
  Fake *agent = user_data;

  return !agent->frozen;
}

static void
test_well (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 2; i++)
    {
      g_string_truncate (fixture->agent->heard, 0);
      g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
      g_assert_no_error (error);
      g_assert_true (fixture->agent->frozen);
      g_assert_true (quiesce_still_frozen (fixture->quiesce));

      thaw_well (fixture);
      g_assert_true (quiesce_still_frozen (fixture->quiesce));
      g_assert_cmpstr (fixture->agent->heard->str, ==,
                       "guest-sync-delimited guest-fsfreeze-status guest-fsfreeze-freeze "
                       "guest-fsfreeze-status guest-fsfreeze-thaw guest-fsfreeze-status ");
    }

  /* Nothing is frozen, so there is nothing to say. */
  thaw_well (fixture);
  g_assert_cmpuint (fake_count (fixture->agent, "guest-fsfreeze-thaw"), ==, 1);
}

static void
test_not_configured (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  g_assert_nonnull (agent_error_get_hint (error));
  thaw_well (fixture);
}

static void
test_absent (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  g_clear_error (&error);

  g_assert_true (thaw (fixture, &error));
  g_assert_no_error (error);
}

static void
test_silent (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();

  fixture->agent->mode = FAKE_SILENT;
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, (FREEZE_MS - 20) * 1000);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 3 * FREEZE_MS * 1000);

  /* Nothing that freezes was sent. */
  thaw_well (fixture);
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
}

static void
test_frozen_already (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->agent->frozen = TRUE;
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_GUEST);

  /* It is not ours to thaw. */
  run_for (THAW_AFTER_MS + 200);
  g_assert_true (fixture->agent->frozen);
}

static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->agent->refuses = "guest-fsfreeze-freeze";
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_GUEST);
  g_assert_nonnull (strstr (error->message, "not this time"));
  thaw_well (fixture);
}

/* The freeze gets no answer, and comes about when nobody waits any more. */
static void
test_late (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->agent->silent_on = "guest-fsfreeze-freeze";
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);
  thaw_well (fixture);

  fixture->agent->frozen = TRUE;
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
  run_until (is_thawed, fixture->agent, 2 * THAW_AFTER_MS, "the late freeze is thawed");
  thaw_well (fixture);
}

static void
test_cancelled (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  fixture->agent->silent_on = "guest-fsfreeze-freeze";
  quiesce_freeze_async (fixture->quiesce, cancellable, keep_result, &result);
  while (fake_count (fixture->agent, "guest-fsfreeze-freeze") == 0)
    g_main_context_iteration (NULL, TRUE);
  fixture->agent->frozen = TRUE;
  g_cancellable_cancel (cancellable);
  await_result (&result);
  g_assert_cmpint (quiesce_freeze_finish (fixture->quiesce, result, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);

  thaw_well (fixture);
  run_for (THAW_AFTER_MS + 100);
}

static void
test_timer (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  run_until (is_thawed, fixture->agent, 2 * THAW_AFTER_MS, "the timer thaws");
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
  thaw_well (fixture);
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
}

/* Whoever froze may be gone: the timer thaws all the same. */
static void
test_abandoned (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  Quiesce *quiesce = fixture->quiesce;

  g_object_add_weak_pointer (G_OBJECT (quiesce), (gpointer *) &quiesce);
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  g_clear_object (&fixture->quiesce);
  g_assert_nonnull (quiesce);
  run_until (is_thawed, fixture->agent, 2 * THAW_AFTER_MS, "the timer thaws");
  run_for (100);
  g_assert_null (quiesce);
}

static void
test_thaws_alone (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->agent->thaws_alone = TRUE;
  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  thaw_well (fixture);
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
}

static void
test_thaw_refused (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  fixture->agent->refuses = "guest-fsfreeze-thaw";
  fixture->agent->refusals = 3;
  thaw_well (fixture);
  g_assert_cmpuint (fake_count (fixture->agent, "guest-fsfreeze-thaw"), ==, 4);

  /* On a fresh link each time. */
  g_assert_cmpuint (fixture->agent->n_links, ==, 4);
  g_assert_true (quiesce_still_frozen (fixture->quiesce));
}

static void
test_agent_lost (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  fake_hang_up (fixture->agent);
  run_for (50);
  thaw_well (fixture);
  g_assert_true (quiesce_still_frozen (fixture->quiesce));
}

/* The agent is away for longer than anybody waits; it is thawed as soon as it is back. */
static void
test_agent_away (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  fake_die (fixture->agent);
  g_assert_false (thaw (fixture, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);

  g_clear_pointer (&fixture->agent, fake_free);
  fixture->agent = fake_new_agent (fixture->socket);
  fixture->agent->frozen = TRUE;
  run_until (is_thawed, fixture->agent, 10000, "it is thawed when the agent is back");
  thaw_well (fixture);
}

/* An earlier run froze, and this one knows nothing but that it may have. */
static void
test_earlier_run (Fixture       *fixture,
                  gconstpointer  data)
{
  fixture->agent->frozen = TRUE;
  thaw_well (fixture);
  g_assert_false (quiesce_still_frozen (fixture->quiesce));
}

static void
test_thaw_while_freezing (Fixture       *fixture,
                          gconstpointer  data)
{
  g_autoptr (GAsyncResult) frozen = NULL;
  g_autoptr (GError) error = NULL;

  fixture->agent->silent_on = "guest-fsfreeze-freeze";
  quiesce_freeze_async (fixture->quiesce, NULL, keep_result, &frozen);
  while (fake_count (fixture->agent, "guest-fsfreeze-freeze") == 0)
    g_main_context_iteration (NULL, TRUE);
  fixture->agent->frozen = TRUE;
  thaw_well (fixture);
  await_result (&frozen);
  g_assert_cmpint (quiesce_freeze_finish (fixture->quiesce, frozen, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);
  run_for (THAW_AFTER_MS + 100);
}

static void
test_thaw_while_opening (Fixture       *fixture,
                         gconstpointer  data)
{
  g_autoptr (GAsyncResult) frozen = NULL;
  g_autoptr (GError) error = NULL;

  quiesce_freeze_async (fixture->quiesce, NULL, keep_result, &frozen);
  thaw_well (fixture);
  await_result (&frozen);
  g_assert_cmpint (quiesce_freeze_finish (fixture->quiesce, frozen, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);
  run_for (100);
  g_assert_cmpuint (fake_count (fixture->agent, "guest-fsfreeze-freeze"), ==, 0);
}

/* Without a process to look at, a guest is gone when neither monitor nor agent can be reached. */
static void
test_guest_dies (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (freeze (fixture, NULL, &error), ==, 2);
  g_clear_pointer (&fixture->agent, fake_free);
  g_assert_true (thaw (fixture, &error));
  g_assert_no_error (error);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, how, func)                                                                       \
  g_test_add ("/guest/quiesce/" path, Fixture, how, set_up, func, tear_down)
  ADD ("well", "", test_well);
  ADD ("not-configured", "none", test_not_configured);
  ADD ("absent", "absent", test_absent);
  ADD ("silent", "", test_silent);
  ADD ("frozen-already", "", test_frozen_already);
  ADD ("refused", "", test_refused);
  ADD ("late", "", test_late);
  ADD ("cancelled", "", test_cancelled);
  ADD ("timer", "", test_timer);
  ADD ("abandoned", "", test_abandoned);
  ADD ("thaws-alone", "", test_thaws_alone);
  ADD ("thaw-refused", "", test_thaw_refused);
  ADD ("agent-lost", "", test_agent_lost);
  ADD ("agent-away", "", test_agent_away);
  ADD ("earlier-run", "", test_earlier_run);
  ADD ("thaw-while-freezing", "", test_thaw_while_freezing);
  ADD ("thaw-while-opening", "", test_thaw_while_opening);
  ADD ("guest-dies", "process", test_guest_dies);
#undef ADD

  return g_test_run ();
}
