/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that a registry comes to what another configuration says, and that a guest on which
 * somebody works is left alone until then. */

#include "registry-fixture.h"

#include <core/error.h>

static void
forget_configuration (RegistryFixture *fixture)
{
  g_ptr_array_set_size (fixture->config.guests, 0);
  g_clear_pointer (&fixture->config.watch, g_strfreev);
}

static GuestConfig *
last_configured (RegistryFixture *fixture)
{
  return g_ptr_array_index (fixture->config.guests, fixture->config.guests->len - 1);
}

static gboolean
is_busy (Guest    *guest,
         gpointer  user_data)
{
  return g_strcmp0 (guest_get_id (guest), *(const char **) user_data) == 0;
}

/* --- coming, going, changing --- */

static void
test_change (RegistryFixture *fixture,
             gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a");
  g_autoptr (Fake) b = registry_listen (fixture, "b");
  g_autoptr (GError) error = NULL;
  Guest *one;

  registry_configure (fixture, "one", "a");
  registry_start (fixture);
  one = registry_await (fixture, "one", GUEST_ATTACHED);

  forget_configuration (fixture);
  registry_configure (fixture, "two", "b");
  registry_configure (fixture, "one", "a");
  last_configured (fixture)->max_chain_length = 7;
  registry_start (fixture);
  registry_await (fixture, "two", GUEST_ATTACHED);
  g_assert_true (guest_registry_find (fixture->registry, "one", NULL) == one);
  g_assert_cmpint (guest_get_config (one)->max_chain_length, ==, 7);
  g_assert_cmpuint (a->n_links, ==, 1);

  /* Another address, or another UUID that is demanded, makes another guest. */
  forget_configuration (fixture);
  registry_configure (fixture, "one", "b");
  registry_start (fixture);
  registry_await (fixture, "one", GUEST_ATTACHED);
  registry_await_count (fixture, 1);
  last_configured (fixture)->uuid = g_strdup (UUID_A);
  registry_start (fixture);
  registry_await (fixture, "one", GUEST_REFUSED);

  forget_configuration (fixture);
  registry_start (fixture);
  g_assert_cmpuint (registry_count (fixture), ==, 0);

  registry_configure (fixture, "one", "a");
  registry_configure (fixture, "two", "./a");
  g_assert_false (guest_registry_check (&fixture->config, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);
  g_assert_false (guest_registry_start (fixture->registry, &fixture->config, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_cmpuint (registry_count (fixture), ==, 0);
}

static void
test_busy (RegistryFixture *fixture,
           gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a");
  g_autoptr (Fake) b = registry_listen (fixture, "b");
  const char *busy = "one";
  Guest *one;

  guest_registry_set_busy_func (fixture->registry, is_busy, &busy);
  registry_configure (fixture, "one", "a");
  registry_start (fixture);
  one = registry_await (fixture, "one", GUEST_ATTACHED);

  /* It moves to another monitor, where nobody is until then. */
  forget_configuration (fixture);
  registry_configure (fixture, "one", "b");
  registry_start (fixture);
  run_for (200);
  g_assert_true (guest_registry_find (fixture->registry, "one", NULL) == one);
  g_assert_cmpint (guest_get_state (one), ==, GUEST_ATTACHED);
  g_assert_cmpuint (b->n_links, ==, 0);

  guest_registry_settle (fixture->registry);
  run_for (100);
  g_assert_true (guest_registry_find (fixture->registry, "one", NULL) == one);

  busy = NULL;
  guest_registry_settle (fixture->registry);
  run_for (100);
  g_assert_true (guest_registry_find (fixture->registry, "one", NULL) != one);
  registry_await (fixture, "one", GUEST_ATTACHED);
  g_assert_cmpuint (b->n_links, ==, 1);

  /* What a busy guest only does otherwise holds at once. */
  busy = "one";
  last_configured (fixture)->max_chain_length = 3;
  registry_start (fixture);
  one = guest_registry_find (fixture->registry, "one", NULL);
  g_assert_cmpint (guest_get_config (one)->max_chain_length, ==, 3);
  guest_registry_set_busy_func (fixture->registry, NULL, NULL);
}

/* --- those that came otherwise --- */

static void
test_requested (RegistryFixture *fixture,
                gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a");
  g_autoptr (GError) error = NULL;
  Guest *one;

  registry_start (fixture);
  one = registry_attach (fixture, "one", "a", NULL, &error);
  g_assert_no_error (error);
  g_object_unref (one);

  registry_configure (fixture, "one", "a");
  registry_start (fixture);
  g_assert_true (guest_registry_find (fixture->registry, "one", NULL) == one);
  g_assert_cmpint (guest_get_origin (one), ==, GUEST_ORIGIN_CONFIG);
  g_assert_cmpuint (a->n_links, ==, 1);

  /* As a start would have it: the request was never taken back. */
  forget_configuration (fixture);
  registry_start (fixture);
  one = registry_await (fixture, "one", GUEST_ATTACHED);
  g_assert_cmpint (guest_get_origin (one), ==, GUEST_ORIGIN_REQUEST);
  g_assert_cmpuint (registry_count (fixture), ==, 1);
}

static void
test_watched (RegistryFixture *fixture,
              gconstpointer    data)
{
  g_autoptr (Fake) a = registry_listen (fixture, "a.qmp");
  g_autoptr (Fake) b = registry_listen (fixture, "b.qmp");

  registry_watch (fixture, "*.qmp");
  registry_start (fixture);
  registry_await (fixture, "a", GUEST_ATTACHED);
  registry_await (fixture, "b", GUEST_ATTACHED);

  /* The configuration has one of them now, by another name. */
  registry_configure (fixture, "mine", "a.qmp");
  registry_start (fixture);
  registry_await (fixture, "mine", GUEST_ATTACHED);
  registry_await_count (fixture, 2);

  /* It has it no more: whatever is watched is found again. */
  g_ptr_array_set_size (fixture->config.guests, 0);
  registry_start (fixture);
  registry_await (fixture, "a", GUEST_ATTACHED);
  g_assert_cmpuint (b->n_links, ==, 1);

  g_clear_pointer (&fixture->config.watch, g_strfreev);
  registry_watch (fixture, "b*");
  registry_start (fixture);
  registry_await_count (fixture, 1);
  g_assert_cmpuint (b->n_links, ==, 1);
  registry_await (fixture, "b", GUEST_ATTACHED);

  forget_configuration (fixture);
  registry_start (fixture);
  registry_await_count (fixture, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, func) \
  g_test_add (path, RegistryFixture, NULL, registry_set_up, func, registry_tear_down)
  ADD ("/guest/settle/change", test_change);
  ADD ("/guest/settle/busy", test_busy);
  ADD ("/guest/settle/requested", test_requested);
  ADD ("/guest/settle/watched", test_watched);
#undef ADD

  return g_test_run ();
}
