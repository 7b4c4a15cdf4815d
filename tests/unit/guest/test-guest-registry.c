/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that each guest is known once, by whichever way it came. */

#include "registry-fixture.h"

#include <core/error.h>
#include <string.h>

/* --- By configuration --- */

static void
test_configured (RegistryFixture *fixture,
                 gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a");
  g_autoptr (GError) error = NULL;
  Guest *guest;

  fake->name = "web-1";
  fake->uuid = UUID_A;
  registry_configure (fixture, "one", "a");
  registry_configure (fixture, "two", "b");
  registry_start (fixture);
  g_assert_cmpuint (registry_count (fixture), ==, 2);

  guest = registry_await (fixture, "one", GUEST_ATTACHED);
  g_assert_true (guest_registry_find (fixture->registry, "web-1", NULL) == guest);
  g_assert_true (guest_registry_find (fixture->registry, UUID_A, NULL) == guest);
  g_assert_cmpint (guest_get_origin (guest), ==, GUEST_ORIGIN_CONFIG);
  registry_await (fixture, "two", GUEST_GONE);

  g_assert_null (guest_registry_find (fixture->registry, "nobody", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_assert_false (guest_registry_detach (fixture->registry, guest, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_ATTACHED);
}

static void
test_config_conflicts (RegistryFixture *fixture,
                       gconstpointer    data)
{
  static const struct
  {
    const char *id, *socket;
    AgentError  code;
  } cases[] = {
    { "one", "b",       AGENT_ERROR_CONFLICT },
    { "two", "a",       AGENT_ERROR_CONFLICT },
    { "two", "./x/../a", AGENT_ERROR_CONFLICT },
    { "t/o", "b",       AGENT_ERROR_INVALID  },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_ptr_array_set_size (fixture->config.guests, 0);
      registry_configure (fixture, "one", "a");
      registry_configure (fixture, cases[i].id, cases[i].socket);
      g_assert_false (guest_registry_start (fixture->registry, &fixture->config, &error));
      g_assert_error (error, AGENT_ERROR, (int) cases[i].code);
      g_assert_nonnull (strstr (error->message, cases[i].id));
      g_assert_cmpuint (registry_count (fixture), ==, 0);
    }
}

/* What a record says no more than a configuration may. */
static void
test_bad_record (RegistryFixture *fixture,
                 gconstpointer    data)
{
  static const char *const records[] = {
    "not JSON", "[]", "{}", "{\"monitor\": 5}", "{\"monitor\": \"relative\"}",
    "{\"monitor\": \"/x\", \"uuid\": \"y\"}",
  };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    {
      g_autofree char *id = g_strdup_printf ("bad-%u", i);

      g_assert_true (journal_write (fixture->journal, &error,
                                    "INSERT INTO guests (id, config, attached_us) VALUES (?, ?, 1)",
                                    "ss", id, records[i]));
    }
  g_assert_true (journal_write (fixture->journal, &error,
                                "INSERT INTO guests (id, config, attached_us) VALUES (?, ?, 2)",
                                "ss", "good", "{\"monitor\": \"/nowhere/qmp\"}"));
  registry_start (fixture);
  g_assert_cmpuint (registry_count (fixture), ==, 1);
  g_assert_nonnull (guest_registry_find (fixture->registry, "good", NULL));
}

/* --- By watching --- */

static void
test_watch (RegistryFixture *fixture,
            gconstpointer    data)
{
  g_autoptr (Fake) early = registry_listen (fixture, "early.qmp");
  g_autoptr (Fake) late = NULL;
  g_autoptr (GError) error = NULL;
  Guest *guest;

  early->name = "early-bird";
  registry_watch (fixture, "*.qmp");
  registry_start (fixture);
  guest = registry_await (fixture, "early-bird", GUEST_ATTACHED);
  g_assert_cmpint (guest_get_origin (guest), ==, GUEST_ORIGIN_WATCH);

  late = registry_listen (fixture, "late.qmp");
  registry_await (fixture, "late", GUEST_ATTACHED);
  g_assert_cmpuint (registry_count (fixture), ==, 2);

  /* Killed, it leaves its socket, and may come back. */
  fake_die (late);
  registry_await (fixture, "late", GUEST_GONE);
  fake_free (g_steal_pointer (&late));
  registry_await_count (fixture, 1);

  /* An attached guest stays although its socket's file is gone, until it goes itself. */
  g_assert_cmpint (unlink (early->path), ==, 0);
  run_for (200);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_ATTACHED);
  fake_hang_up (early);
  registry_await_count (fixture, 0);
}

static void
test_watch_another (RegistryFixture *fixture,
                    gconstpointer    data)
{
  g_autoptr (Fake) first = registry_listen (fixture, "a.qmp");
  g_autoptr (Fake) second = NULL;
  g_autoptr (Fake) third = NULL;

  first->name = "first";
  first->uuid = UUID_A;
  registry_watch (fixture, "*.qmp");
  registry_start (fixture);
  registry_await (fixture, "first", GUEST_ATTACHED);

  /* The new one takes the socket while the link to the old one still stands. */
  second = registry_listen (fixture, "a.qmp");
  second->name = "second";
  second->uuid = UUID_B;
  run_for (200);
  registry_await (fixture, "first", GUEST_ATTACHED);
  fake_hang_up (first);
  registry_await (fixture, "second", GUEST_ATTACHED);
  g_assert_cmpuint (registry_count (fixture), ==, 1);

  /* Killed, and another one after it. */
  fake_die (second);
  registry_await (fixture, "second", GUEST_GONE);
  third = registry_listen (fixture, "a.qmp");
  third->name = "third";
  registry_await (fixture, "third", GUEST_ATTACHED);
  g_assert_cmpuint (registry_count (fixture), ==, 1);
}

static void
test_watch_twice (RegistryFixture *fixture,
                  gconstpointer    data)
{
  g_autoptr (Fake) configured = registry_listen (fixture, "a.qmp");
  g_autoptr (Fake) namesake = NULL;
  g_autoptr (Fake) agent = registry_listen (fixture, "agent.qmp");
  GuestConfig *config;

  /* Neither a guest of the configuration again, nor its agent, nor another with its id. */
  registry_configure (fixture, "one", "a.qmp");
  config = g_ptr_array_index (fixture->config.guests, 0);
  config->agent = g_strdup (agent->path);
  registry_watch (fixture, "*.qmp");
  registry_start (fixture);
  registry_await (fixture, "one", GUEST_ATTACHED);

  namesake = registry_listen (fixture, "b.qmp");
  namesake->name = "one";
  run_for (500);
  g_assert_cmpuint (registry_count (fixture), ==, 1);
  g_assert_cmpuint (configured->n_links, ==, 1);
  g_assert_cmpuint (namesake->n_links, ==, 1);
  g_assert_cmpuint (agent->n_links, ==, 0);
}

static void
test_watch_detach (RegistryFixture *fixture,
                   gconstpointer    data)
{
  g_autoptr (Fake) fake = registry_listen (fixture, "a.qmp");
  g_autoptr (Fake) anew = NULL;
  g_autoptr (Guest) guest = NULL;
  g_autoptr (GError) error = NULL;

  registry_watch (fixture, "*.qmp");
  registry_start (fixture);
  guest = g_object_ref (registry_await (fixture, "a", GUEST_ATTACHED));
  g_assert_true (guest_registry_detach (fixture->registry, guest, &error));
  g_assert_no_error (error);
  g_assert_cmpint (guest_get_state (guest), ==, GUEST_GONE);
  run_for (300);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
  g_assert_false (guest_registry_detach (fixture->registry, guest, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);

  /* A new socket is a new guest. */
  anew = registry_listen (fixture, "a.qmp");
  registry_await (fixture, "a", GUEST_ATTACHED);
}

static void
test_ambiguous (RegistryFixture *fixture,
                gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a");
  g_autoptr (Fake) b = registry_listen (fixture, "b");
  g_autoptr (GError) error = NULL;

  a->name = b->name = "same";
  registry_configure (fixture, "one", "a");
  registry_configure (fixture, "two", "b");
  registry_start (fixture);
  registry_await (fixture, "one", GUEST_ATTACHED);
  registry_await (fixture, "two", GUEST_ATTACHED);

  g_assert_null (guest_registry_find (fixture->registry, "same", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "one"));
  g_assert_nonnull (strstr (error->message, "two"));
}

/* Two monitors of one QEMU, both configured: the second one is refused, with the reason. */
static void
test_twins (RegistryFixture *fixture,
            gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a");
  g_autoptr (Fake) b = registry_listen (fixture, "b");
  g_autoptr (GPtrArray) guests = NULL;
  guint attached = 0, refused = 0;

  a->uuid = b->uuid = UUID_A;
  registry_configure (fixture, "one", "a");
  registry_configure (fixture, "two", "b");
  registry_start (fixture);
  run_for (500);

  guests = guest_registry_list (fixture->registry);
  for (guint i = 0; i < guests->len; i++)
    {
      attached += guest_get_state (g_ptr_array_index (guests, i)) == GUEST_ATTACHED;
      refused += guest_get_state (g_ptr_array_index (guests, i)) == GUEST_REFUSED;
    }
  g_assert_cmpuint (attached, ==, 1);
  g_assert_cmpuint (refused, ==, 1);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, func) \
  g_test_add (path, RegistryFixture, NULL, registry_set_up, func, registry_tear_down)
  ADD ("/guest/registry/configured", test_configured);
  ADD ("/guest/registry/config-conflicts", test_config_conflicts);
  ADD ("/guest/registry/bad-record", test_bad_record);
  ADD ("/guest/registry/watch", test_watch);
  ADD ("/guest/registry/watch/another", test_watch_another);
  ADD ("/guest/registry/watch/twice", test_watch_twice);
  ADD ("/guest/registry/watch/detach", test_watch_detach);
  ADD ("/guest/registry/ambiguous", test_ambiguous);
  ADD ("/guest/registry/twins", test_twins);
#undef ADD

  return g_test_run ();
}
