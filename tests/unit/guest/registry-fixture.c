/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to set up a registry for a test, and how to wait for it. */

#include "registry-fixture.h"

static void
on_changed (GuestRegistry *registry,
            Guest         *guest,
            gpointer       user_data)
{
  g_assert_nonnull (guest_get_id (guest));
  (*(guint *) user_data)++;
}

void
registry_open (RegistryFixture *fixture)
{
  g_autofree char *path = folder_file (fixture->folder, "journal");
  g_autoptr (GError) error = NULL;

  fixture->journal = journal_open (path, &error);
  g_assert_no_error (error);
  fixture->registry = guest_registry_new (fixture->journal);
  g_signal_connect (fixture->registry, "guest-changed", G_CALLBACK (on_changed), &fixture->changes);
}

void
registry_close (RegistryFixture *fixture)
{
  guest_registry_stop (fixture->registry);
  g_assert_finalize_object (g_steal_pointer (&fixture->registry));
  g_clear_object (&fixture->journal);
}

void
registry_set_up (RegistryFixture *fixture,
                 gconstpointer    data)
{
  fixture->folder = folder_new ();
  fixture->config.guests = g_ptr_array_new_with_free_func ((GDestroyNotify) guest_config_free);
  registry_open (fixture);
}

void
registry_tear_down (RegistryFixture *fixture,
                    gconstpointer    data)
{
  registry_close (fixture);
  g_clear_pointer (&fixture->config.guests, g_ptr_array_unref);
  g_clear_pointer (&fixture->config.watch, g_strfreev);
  g_clear_pointer (&fixture->folder, folder_free);
}

void
registry_start (RegistryFixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (guest_registry_start (fixture->registry, &fixture->config, &error));
  g_assert_no_error (error);
}

Fake *
registry_listen (RegistryFixture *fixture,
                 const char      *name)
{
  g_autofree char *path = folder_file (fixture->folder, name);

  return fake_new_monitor (path);
}

void
registry_configure (RegistryFixture *fixture,
                    const char      *id,
                    const char      *name)
{
  g_autofree char *path = folder_file (fixture->folder, name);

  g_ptr_array_add (fixture->config.guests, config_for (id, path));
}

void
registry_watch (RegistryFixture *fixture,
                const char      *pattern)
{
  g_autofree char *path = folder_file (fixture->folder, pattern);
  const char *patterns[] = { path, NULL };

  fixture->config.watch = g_strdupv ((char **) patterns);
}

Guest *
registry_attach (RegistryFixture  *fixture,
                 const char       *id,
                 const char       *name,
                 GCancellable     *cancellable,
                 GError          **error)
{
  g_autofree char *path = folder_file (fixture->folder, name);
  g_autoptr (GuestConfig) config = config_for (id, path);
  g_autoptr (GAsyncResult) result = NULL;

  guest_registry_attach_async (fixture->registry, config, cancellable, keep_result, &result);
  await_result (&result);

  return guest_registry_attach_finish (fixture->registry, result, error);
}

guint
registry_count (RegistryFixture *fixture)
{
  g_autoptr (GPtrArray) guests = guest_registry_list (fixture->registry);

  return guests->len;
}

typedef struct
{
  RegistryFixture *fixture;
  const char      *name;
  GuestState       state;
  guint            n;
} Wanted;

static gboolean
is_there (gpointer user_data)
{
  Wanted *wanted = user_data;
  Guest *guest = guest_registry_find (wanted->fixture->registry, wanted->name, NULL);

  return guest != NULL && guest_get_state (guest) == wanted->state;
}

Guest *
registry_await (RegistryFixture *fixture,
                const char      *name,
                GuestState       state)
{
  Wanted wanted = { fixture, name, state, 0 };

  run_until (is_there, &wanted, 10000, name);

  return guest_registry_find (fixture->registry, name, NULL);
}

static gboolean
is_count (gpointer user_data)
{
  Wanted *wanted = user_data;

  return registry_count (wanted->fixture) == wanted->n;
}

void
registry_await_count (RegistryFixture *fixture,
                      guint            n)
{
  Wanted wanted = { fixture, NULL, GUEST_GONE, n };

  run_until (is_count, &wanted, 10000, "the number of guests");
}
