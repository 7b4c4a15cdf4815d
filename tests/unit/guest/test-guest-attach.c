/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that guests are attached by request and remembered, or leave nothing behind. */

#include "registry-fixture.h"

#include <core/error.h>
#include <string.h>

static void
test_request (RegistryFixture *fixture,
              gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = NULL;
  Guest *again;

  fake->name = "web-1";
  fake->uuid = UUID_A;
  registry_start (fixture);
  guest = registry_attach (fixture, NULL, "a", NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_ATTACHED);
  g_assert_cmpint (guest_get_origin (guest), ==, GUEST_ORIGIN_REQUEST);
  g_assert_true (guest_registry_find (fixture->registry, "web-1", NULL) == guest);
  g_assert_cmpuint (fixture->changes, ==, 1);
  g_clear_object (&guest);

  /* The next start knows it, by the same id before it is attached, and takes no other for it. */
  registry_close (fixture);
  fake->uuid = UUID_B;
  registry_open (fixture);
  registry_start (fixture);
  again = guest_registry_find (fixture->registry, "web-1", NULL);
  g_assert_nonnull (again);
  await_state (again, GUEST_REFUSED);

  fake->uuid = UUID_A;
  guest_retry (again);
  await_state (again, GUEST_ATTACHED);
  g_assert_cmpint (guest_get_origin (again), ==, GUEST_ORIGIN_REQUEST);

  /* Detached, it is forgotten. */
  g_assert_true (guest_registry_detach (fixture->registry, again, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
  registry_close (fixture);
  registry_open (fixture);
  registry_start (fixture);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
}

static void
test_request_options (RegistryFixture *fixture,
                      gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GuestConfig) config = config_for ("mine", fake->path);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = NULL;
  const GuestConfig *kept;

  fake->uuid = UUID_A;
  config->agent = folder_file (fixture->folder, "qga");
  config->uuid = g_strdup (UUID_A);
  config->overlay_folder = g_strdup ("/overlays");
  config->allow_format_change = TRUE;
  config->max_chain_length = 7;
  if (config->image_refs == NULL)
    config->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (config->image_refs, g_strdup ("*"), g_strdup ("image-1"));

  registry_start (fixture);
  guest_registry_attach_async (fixture->registry, config, NULL, keep_result, &result);
  await_result (&result);
  guest = guest_registry_attach_finish (fixture->registry, result, &error);
  g_assert_no_error (error);
  g_clear_object (&guest);
  g_clear_object (&result);

  registry_close (fixture);
  registry_open (fixture);
  registry_start (fixture);
  kept = guest_get_config (guest_registry_find (fixture->registry, "mine", NULL));
  g_assert_cmpstr (kept->monitor, ==, fake->path);
  g_assert_cmpstr (kept->agent, ==, config->agent);
  g_assert_cmpstr (kept->uuid, ==, UUID_A);
  g_assert_cmpstr (kept->overlay_folder, ==, "/overlays");
  g_assert_true (kept->allow_format_change);
  g_assert_cmpint (kept->max_chain_length, ==, 7);
  g_assert_cmpstr (g_hash_table_lookup (kept->image_refs, "*"), ==, "image-1");
}

static void
test_request_fails (RegistryFixture *fixture,
                    gconstpointer    data)
{
  g_autoptr (Fake) configured = registry_listen (fixture, "a");
  g_autoptr (Fake) namesake = registry_listen (fixture, "b");
  g_autoptr (Fake) broken = registry_listen (fixture, "c");
  g_autoptr (Fake) twin = registry_listen (fixture, "d");
  static const struct
  {
    const char *id, *socket;
    AgentError  code;
  } cases[] = {
    { "bad id", "b",       AGENT_ERROR_INVALID     },
    { "one",    "b",       AGENT_ERROR_CONFLICT    },      /* id taken */
    { "two",    "a",       AGENT_ERROR_CONFLICT    },      /* socket taken */
    { NULL,     "b",       AGENT_ERROR_CONFLICT    },      /* its name is the id of another */
    { NULL,     "c",       AGENT_ERROR_GUEST       },
    { "two",    "d",       AGENT_ERROR_CONFLICT    },      /* the same QEMU by another monitor */
    { NULL,     "missing", AGENT_ERROR_UNAVAILABLE },
  };

  namesake->name = "one";
  namesake->uuid = UUID_B;
  configured->uuid = UUID_A;
  twin->uuid = UUID_A;
  broken->mode = FAKE_GARBAGE;
  registry_configure (fixture, "one", "a");
  registry_start (fixture);
  registry_await (fixture, "one", GUEST_ATTACHED);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      guint changes = fixture->changes;

      g_assert_null (registry_attach (fixture, cases[i].id, cases[i].socket, NULL, &error));
      g_assert_error (error, AGENT_ERROR, (int) cases[i].code);
      g_assert_cmpuint (registry_count (fixture), ==, 1);
      g_assert_cmpuint (fixture->changes, ==, changes);
    }

  /* Nothing stayed behind that would try on. */
  broken->n_links = 0;
  run_for (500);
  g_assert_cmpuint (broken->n_links, ==, 0);
}

static gboolean
cancel (gpointer user_data)
{
  g_cancellable_cancel (user_data);

  return G_SOURCE_REMOVE;
}

static void
test_request_cancelled (RegistryFixture *fixture,
                        gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  fake->mode = FAKE_SILENT;
  registry_start (fixture);
  g_timeout_add (50, cancel, cancellable);
  g_assert_null (registry_attach (fixture, NULL, "a", cancellable, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_null (registry_attach (fixture, NULL, "a", cancellable, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
}

static gboolean
fail_write (Journal   *journal,
            gpointer   user_data,
            GError   **error)
{
  agent_set_error (error, AGENT_ERROR_NO_SPACE, NULL, "the disk is full");

  return FALSE;
}

static void
test_request_unwritten (RegistryFixture *fixture,
                        gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = NULL;

  registry_start (fixture);
  journal_set_hook (fixture->journal, fail_write, NULL);
  g_assert_null (registry_attach (fixture, NULL, "a", NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
  g_clear_error (&error);

  journal_set_hook (fixture->journal, NULL, NULL);
  guest = registry_attach (fixture, NULL, "a", NULL, &error);
  g_assert_no_error (error);

  journal_set_hook (fixture->journal, fail_write, NULL);
  g_assert_false (guest_registry_detach (fixture->registry, guest, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_cmpuint (registry_count (fixture), ==, 1);
}

static void
test_stop_waiting (RegistryFixture *fixture,
                   gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GuestConfig) config = config_for (NULL, fake->path);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  fake->mode = FAKE_SILENT;
  registry_start (fixture);
  guest_registry_attach_async (fixture->registry, config, NULL, keep_result, &result);
  run_for (50);
  guest_registry_stop (fixture->registry);
  await_result (&result);
  g_assert_null (guest_registry_attach_finish (fixture->registry, result, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, func) \
  g_test_add (path, RegistryFixture, NULL, registry_set_up, func, registry_tear_down)
  ADD ("/guest/attach/well", test_request);
  ADD ("/guest/attach/options", test_request_options);
  ADD ("/guest/attach/fails", test_request_fails);
  ADD ("/guest/attach/cancelled", test_request_cancelled);
  ADD ("/guest/attach/unwritten", test_request_unwritten);
  ADD ("/guest/attach/stop", test_stop_waiting);
#undef ADD

  return g_test_run ();
}
