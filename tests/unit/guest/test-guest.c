/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that a guest's link lives as guest.h draws it, with peers that misbehave. */

#include "fake.h"
#include "support.h"

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>

#define UUID_A "11111111-2222-3333-4444-555555555555"
#define UUID_B "99999999-2222-3333-4444-555555555555"

typedef struct
{
  Folder          *folder;
  char            *socket;
  QmpFeatureCache *cache;
  GuestConfig     *config;
  guint            changes;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = folder_new ();
  fixture->socket = folder_file (fixture->folder, "vm.qmp");
  fixture->cache = qmp_feature_cache_new ();
  fixture->config = config_for (NULL, fixture->socket);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_clear_pointer (&fixture->config, guest_config_free);
  g_clear_object (&fixture->cache);
  g_clear_pointer (&fixture->socket, g_free);
  g_clear_pointer (&fixture->folder, folder_free);
}

static void
count_change (Guest    *guest,
              gpointer  user_data)
{
  (*(guint *) user_data)++;
}

static Guest *
start_guest (Fixture *fixture)
{
  Guest *guest = guest_new (fixture->config, fixture->cache);

  g_signal_connect (guest, "state-changed", G_CALLBACK (count_change), &fixture->changes);
  guest_start (guest);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_CONNECTING);

  return guest;
}

static void
test_attach (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;

  fake->uuid = UUID_A;
  fake->name = "web-1";
  fake->status = "paused";
  guest = start_guest (fixture);
  g_assert_cmpstr (guest_get_id (guest), ==, "vm");
  await_state (guest, GUEST_ATTACHED);

  g_assert_cmpstr (guest_get_id (guest), ==, "web-1");
  g_assert_cmpstr (guest_get_name (guest), ==, "web-1");
  g_assert_cmpstr (guest_get_uuid (guest), ==, UUID_A);
  g_assert_cmpstr (guest_get_run_state (guest), ==, "paused");
  g_assert_cmpint (guest_get_kind (guest), ==, GUEST_KIND_QEMU);
  g_assert_null (guest_get_error (guest));
  g_assert_nonnull (guest_get_client (guest));
  g_assert_true (qmp_features_has_command (guest_get_features (guest), "query-status"));
  g_assert_cmpint (guest_get_pid (guest), ==, getpid ());
  g_assert_cmpuint (guest_get_start_time (guest), >, 0);
  g_assert_true (guest_answers_to (guest, UUID_A));
  g_assert_true (guest_answers_to (guest, "web-1"));
  g_assert_false (guest_answers_to (guest, "vm"));
  g_assert_cmpuint (fixture->changes, ==, 1);

  /* Jobs come first, and the block graph never. */
  g_assert_true (g_str_has_prefix (fake->heard->str, "qmp_capabilities query-jobs "));
  g_assert_null (strstr (fake->heard->str, "block"));

  guest_stop (guest);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_GONE);
  g_assert_null (guest_get_client (guest));
  g_assert_null (guest_get_run_state (guest));
  g_assert_cmpuint (fixture->changes, ==, 2);
}

static void
test_storage_daemon (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;

  fake->storage_daemon = TRUE;
  guest = start_guest (fixture);
  await_state (guest, GUEST_ATTACHED);

  g_assert_cmpint (guest_get_kind (guest), ==, GUEST_KIND_STORAGE_DAEMON);
  g_assert_cmpstr (guest_get_id (guest), ==, "vm");
  g_assert_null (guest_get_run_state (guest));
  g_assert_null (guest_get_uuid (guest));

  /* An event that means nothing to it makes nobody ask. */
  fake_say (fake, "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}");
  run_for (50);
  g_assert_cmpuint (fake_count (fake, "query-status"), ==, 0);
}

/* --- Ids --- */

static void
test_ids (Fixture       *fixture,
          gconstpointer  data)
{
  static const struct
  {
    const char *config_id, *name, *uuid, *id;
  } cases[] = {
    { "mine",  "web-1",      UUID_A,                                 "mine"  },
    { NULL,    "web-1",      UUID_A,                                 "web-1" },
    { NULL,    "web 1",      UUID_A,                                 UUID_A  },
    { NULL,    "../etc",     UUID_A,                                 UUID_A  },
    { NULL,    NULL,         UUID_A,                                 UUID_A  },
    { NULL,    NULL,         "00000000-0000-0000-0000-000000000000", "vm"    },
    { NULL,    "web 1",      "00000000-0000-0000-0000-000000000000", "vm"    },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
      g_autoptr (Guest) guest = NULL;

      g_clear_pointer (&fixture->config->id, g_free);
      fixture->config->id = g_strdup (cases[i].config_id);
      fake->name = cases[i].name;
      fake->uuid = cases[i].uuid;
      guest = start_guest (fixture);
      await_state (guest, GUEST_ATTACHED);
      g_assert_cmpstr (guest_get_id (guest), ==, cases[i].id);
    }
}

/* --- Identity --- */

static void
test_demanded_uuid (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;

  fixture->config->uuid = g_ascii_strup (UUID_A, -1);
  fake->uuid = UUID_B;
  guest = start_guest (fixture);
  await_state (guest, GUEST_REFUSED);

  g_assert_error (guest_get_error (guest), AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (guest_get_error (guest)->message, UUID_A));
  g_assert_nonnull (strstr (guest_get_error (guest)->message, UUID_B));
  g_assert_null (guest_get_client (guest));

  /* The other one's monitor is not troubled again and again. */
  run_for (1000);
  g_assert_cmpuint (fake->n_links, ==, 1);

  fake->uuid = UUID_A;
  guest_retry (guest);
  await_state (guest, GUEST_ATTACHED);
}

static void
test_another_guest (Fixture       *fixture,
                    gconstpointer  data)
{
  static const struct
  {
    const char *uuid, *name, *other_uuid, *other_name;
    gboolean    same;
  } cases[] = {
    { UUID_A, "a",  UUID_B, "a",  FALSE },
    { UUID_A, "a",  UUID_A, "b",  TRUE  },       /* renamed */
    { UUID_A, "a",  NULL,   "a",  FALSE },
    { NULL,   "a",  NULL,   "b",  FALSE },
    { NULL,   "a",  NULL,   "a",  TRUE  },
    { NULL,   "a",  UUID_B, "a",  FALSE },
    { NULL,   NULL, NULL,   NULL, TRUE  },       /* weak: nothing to tell them apart */
    { NULL,   NULL, NULL,   "b",  FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
      g_autoptr (Guest) guest = NULL;
      const char *none = fake->uuid;

      fake->uuid = cases[i].uuid != NULL ? cases[i].uuid : none;
      fake->name = cases[i].name;
      guest = start_guest (fixture);
      await_state (guest, GUEST_ATTACHED);

      fake->uuid = cases[i].other_uuid != NULL ? cases[i].other_uuid : none;
      fake->name = cases[i].other_name;
      fake_hang_up (fake);
      await_state (guest, GUEST_GONE);
      await_state (guest, cases[i].same ? GUEST_ATTACHED : GUEST_REFUSED);
      if (!cases[i].same)
        g_assert_nonnull (strstr (guest_get_error (guest)->message, "another guest"));
    }
}

/* --- Peers that misbehave --- */

typedef struct
{
  Fake  *fake;
  guint  n_links;
} Links;

static gboolean
has_links (gpointer user_data)
{
  Links *links = user_data;

  return links->fake->n_links >= links->n_links;
}

static void
test_backoff (Fixture       *fixture,
              gconstpointer  data)
{
  FakeMode mode = (FakeMode) GPOINTER_TO_INT (data);
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;
  Links links = { fake, 4 };
  gint64 begin = g_get_monotonic_time ();

  fake->mode = mode;
  guest = start_guest (fixture);
  await_state (guest, GUEST_GONE);
  g_assert_nonnull (guest_get_error (guest));

  /* 0.1 s, 0.2 s and 0.4 s, less a quarter of each. */
  run_until (has_links, &links, 10000, "four tries");
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 525 * 1000);

  /* Nothing has changed, so nobody was told a second time. */
  g_assert_cmpuint (fixture->changes, ==, 1);

  fake->mode = FAKE_WELL;
  await_state (guest, GUEST_ATTACHED);
}

/* A link that is good each time, but never for long, must not be tried ever again at once. */
static void
test_flapping (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = start_guest (fixture);
  gint64 begin = g_get_monotonic_time ();

  for (guint i = 0; i < 4; i++)
    {
      await_state (guest, GUEST_ATTACHED);
      fake_hang_up (fake);
      await_state (guest, GUEST_GONE);
    }

  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 525 * 1000);
}

static void
test_silent (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;
  gint64 begin = g_get_monotonic_time ();

  fake->mode = FAKE_SILENT;
  guest = start_guest (fixture);
  await_state (guest, GUEST_GONE);

  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 4900 * 1000);
  g_assert_error (guest_get_error (guest), AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (guest_get_error (guest)->message, "client"));
}

static void
test_mute (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;

  fake->silent_on = "query-jobs";
  guest = start_guest (fixture);
  await_state (guest, GUEST_GONE);
  g_assert_error (guest_get_error (guest), AGENT_ERROR, AGENT_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (guest_get_error (guest)->message, "query-jobs"));
}

static void
test_nonsense (Fixture       *fixture,
               gconstpointer  data)
{
  static const struct
  {
    const char *uuid, *name, *status;
  } cases[] = {
    { "not a UUID", "a", "running" },
    { UUID_A,       "a", NULL      },
    { UUID_A,       NULL, "running" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
      g_autoptr (Guest) guest = NULL;
      g_autofree char *long_text = g_strnfill (5000, 'x');

      fake->uuid = cases[i].uuid;
      fake->name = cases[i].name != NULL ? cases[i].name : long_text;
      fake->status = cases[i].status != NULL ? cases[i].status : long_text;
      guest = start_guest (fixture);
      await_state (guest, GUEST_GONE);
      g_assert_error (guest_get_error (guest), AGENT_ERROR, AGENT_ERROR_GUEST);
    }
}

/* --- The socket's file --- */

static void
test_no_socket (Fixture       *fixture,
                gconstpointer  data)
{
  g_autofree char *folder = folder_file (fixture->folder, "later");
  g_autofree char *socket = g_build_filename (folder, "vm.qmp", NULL);
  g_autoptr (Fake) fake = NULL;
  g_autoptr (Guest) guest = NULL;
  gint64 begin;

  g_free (fixture->config->monitor);
  fixture->config->monitor = g_strdup (socket);
  guest = start_guest (fixture);
  await_state (guest, GUEST_GONE);
  g_assert_error (guest_get_error (guest), AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);

  /* The folder comes first, then the socket: both are noticed, and without a long back-off. */
  run_for (1500);
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  run_for (100);
  fake = fake_new_monitor (socket);
  begin = g_get_monotonic_time ();
  await_state (guest, GUEST_ATTACHED);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 2 * G_USEC_PER_SEC);
}

static void
test_dead_socket (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Fake) next = NULL;
  g_autoptr (Guest) guest = start_guest (fixture);
  gint64 begin;

  await_state (guest, GUEST_ATTACHED);
  fake_die (fake);
  await_state (guest, GUEST_GONE);
  run_for (2000);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_GONE);

  next = fake_new_monitor (fixture->socket);
  begin = g_get_monotonic_time ();
  await_state (guest, GUEST_ATTACHED);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, G_USEC_PER_SEC);
}

/* --- The run state --- */

static gboolean
is_running (gpointer user_data)
{
  return g_strcmp0 (guest_get_run_state (user_data), "running") == 0;
}

static gboolean
is_paused (gpointer user_data)
{
  return g_strcmp0 (guest_get_run_state (user_data), "paused") == 0;
}

static void
count_event (Guest          *guest,
             const QmpEvent *event,
             gpointer        user_data)
{
  (*(guint *) user_data)++;
}

static void
test_run_state (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;
  guint changes = 0, events = 0;

  fake->status = "paused";
  guest = start_guest (fixture);
  g_signal_connect (guest, "run-state-changed", G_CALLBACK (count_change), &changes);
  g_signal_connect (guest, "event", G_CALLBACK (count_event), &events);
  await_state (guest, GUEST_ATTACHED);
  g_assert_cmpuint (fake_count (fake, "query-status"), ==, 1);

  /* What the event says is not believed; what QEMU says when asked is. */
  fake->status = "running";
  for (guint i = 0; i < 100; i++)
    fake_say (fake, "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}");
  run_until (is_running, guest, 5000, "the guest is seen running");
  run_for (50);
  g_assert_cmpuint (events, ==, 100);
  g_assert_cmpuint (changes, ==, 1);
  g_assert_cmpuint (fake_count (fake, "query-status"), <=, 4);

  fake_say (fake, "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": 1}, "
            "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}");
  run_for (50);
  g_assert_cmpuint (events, ==, 101);
  g_assert_cmpuint (fake_count (fake, "query-status"), <=, 4);
}

/* What is asked too early is asked again: at the first question, and at each later one. */
static void
test_run_state_overtaken (Fixture       *fixture,
                          gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;

  fake->status = "inmigrate";
  fake->next_status = "running";
  guest = start_guest (fixture);
  await_state (guest, GUEST_ATTACHED);
  run_until (is_running, guest, 5000, "the guest is seen running");

  fake->status = "paused";
  fake->next_status = "running";
  fake_say (fake, "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}");
  run_until (is_paused, guest, 5000, "the guest is seen paused");
  run_until (is_running, guest, 5000, "the guest is seen running again");
}

static void
test_stop_anywhere (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  guint ended = 0;

  /* After each turn of the main loop there is another half-done talk. */
  for (guint turns = 0; ended < 3; turns++)
    {
      g_autoptr (Guest) guest = start_guest (fixture);

      g_assert_cmpuint (turns, <, 1000);
      for (guint i = 0; i < turns; i++)
        {
          if (guest_get_state (guest) == GUEST_ATTACHED)
            {
              ended++;
              break;
            }
          g_main_context_iteration (NULL, TRUE);
        }
      guest_stop (guest);
      g_assert_cmpint (guest_get_state (guest), ==, GUEST_GONE);

      /* And it can be had again. */
      if (turns % 8 == 0)
        {
          guest_start (guest);
          await_state (guest, GUEST_ATTACHED);
        }
    }
}

static void
test_json (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Fake) fake = fake_new_monitor (fixture->socket);
  g_autoptr (Guest) guest = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (JsonNode) again = NULL;
  JsonObject *object;

  fake->name = "web-1";
  fixture->config->agent = folder_file (fixture->folder, "qga");
  guest = start_guest (fixture);
  await_state (guest, GUEST_ATTACHED);

  node = guest_to_json (guest);
  object = json_node_get_object (node);
  g_assert_cmpstr (json_object_get_string_member (object, "id"), ==, "web-1");
  g_assert_cmpstr (json_object_get_string_member (object, "name"), ==, "web-1");
  g_assert_true (json_object_get_null_member (object, "uuid"));
  g_assert_cmpstr (json_object_get_string_member (object, "kind"), ==, "qemu");
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "attached");
  g_assert_cmpstr (json_object_get_string_member (object, "run_state"), ==, "running");
  g_assert_cmpstr (json_object_get_string_member (object, "monitor"), ==, fixture->socket);
  g_assert_cmpstr (json_object_get_string_member (object, "agent"), ==, fixture->config->agent);
  g_assert_cmpint (json_object_get_int_member (object, "pid"), ==, getpid ());
  g_assert_true (
      g_str_has_prefix (json_object_get_string_member (object, "qemu_version"), "7.2.22"));
  g_assert_cmpstr (json_object_get_string_member (object, "origin"), ==, "config");
  g_assert_true (json_object_get_null_member (object, "error"));
  g_assert_false (json_object_get_boolean_member (object, "allow_format_change"));
  g_assert_true (json_object_get_null_member (object, "overlay_folder"));
  g_assert_true (json_object_get_null_member (object, "max_chain_length"));
  g_assert_cmpuint (json_object_get_size (json_object_get_object_member (object, "image_refs")), ==,
                    0);

  guest_stop (guest);
  again = guest_to_json (guest);
  object = json_node_get_object (again);
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "gone");
  g_assert_true (json_object_get_null_member (object, "pid"));
  g_assert_cmpstr (
      json_object_get_string_member (json_object_get_object_member (object, "error"), "code"), ==,
      "unavailable");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, data, func) g_test_add (path, Fixture, data, set_up, func, tear_down)
  ADD ("/guest/attach", NULL, test_attach);
  ADD ("/guest/storage-daemon", NULL, test_storage_daemon);
  ADD ("/guest/ids", NULL, test_ids);
  ADD ("/guest/identity/demanded", NULL, test_demanded_uuid);
  ADD ("/guest/identity/another", NULL, test_another_guest);
  ADD ("/guest/backoff/drops", GINT_TO_POINTER (FAKE_DROP), test_backoff);
  ADD ("/guest/backoff/greets-and-drops", GINT_TO_POINTER (FAKE_GREET_DROP), test_backoff);
  ADD ("/guest/backoff/garbage", GINT_TO_POINTER (FAKE_GARBAGE), test_backoff);
  ADD ("/guest/backoff/flapping", NULL, test_flapping);
  ADD ("/guest/silent", NULL, test_silent);
  ADD ("/guest/mute", NULL, test_mute);
  ADD ("/guest/nonsense", NULL, test_nonsense);
  ADD ("/guest/socket/missing", NULL, test_no_socket);
  ADD ("/guest/socket/dead", NULL, test_dead_socket);
  ADD ("/guest/run-state", NULL, test_run_state);
  ADD ("/guest/run-state/overtaken", NULL, test_run_state_overtaken);
  ADD ("/guest/stop-anywhere", NULL, test_stop_anywhere);
  ADD ("/guest/json", NULL, test_json);
#undef ADD

  return g_test_run ();
}
