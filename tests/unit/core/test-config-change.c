/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that every setting that is another when it is read again is noticed, and that those
 * which only a start can change stay. */

#include "config-private.h"

#include <core/error.h>
#include <core/settings.h>

#include <string.h>

static Config *
load (const char *const *overrides)
{
  g_autoptr (GError) error = NULL;
  Config *config = config_load (NULL, overrides, &error);

  g_assert_no_error (error);

  return config;
}

static GuestConfig *
add_guest (Config     *config,
           const char *id,
           const char *monitor)
{
  GuestConfig *guest = guest_config_new ();

  guest->id = g_strdup (id);
  guest->monitor = g_strdup (monitor);
  g_ptr_array_add (config->guests, guest);

  return guest;
}

/* Another value of a setting than its default, as it stands in a file. */
static const char *
another_value (const ConfigKey *key)
{
  switch (key->type)
    {
    case CONFIG_PATH:
    case CONFIG_PATHS:
    case CONFIG_MONITOR:
      return "/another";
    case CONFIG_ADDRESS:
      return "127.0.0.1:1";
    case CONFIG_URL:
      return "http://another";
    case CONFIG_WORD:
      return strrchr (key->words, ' ') + 1;
    case CONFIG_UUID:
      return "11111111-2222-3333-4444-555555555555";
    case CONFIG_BOOLEAN:
      return "true";
    case CONFIG_COUNT:
    case CONFIG_OPTIONAL_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
    case CONFIG_BYTES:
      return "7";
    case CONFIG_TEXT:
    default:
      return "another";
    }
}

static void
assert_list (char       **list,
             const char  *expected)
{
  g_autofree char *joined = g_strjoinv (" | ", list);

  g_assert_cmpstr (joined, ==, expected);
}

static void
test_every_key (void)
{
  for (const ConfigKey *key = config_keys; key->group != NULL; key++)
    {
      g_autoptr (Config) before = load (NULL);
      g_autoptr (Config) after = load (NULL);
      g_auto (GStrv) changes = NULL;
      g_auto (GStrv) again = NULL;
      g_autofree char *expected = NULL;
      g_autoptr (GError) error = NULL;

      if (g_str_equal (key->group, "guest"))
        {
          add_guest (before, "one", "/one");
          g_assert_true (config_value_set (key, add_guest (after, "one", "/one"),
                                           another_value (key), &error));
          expected = g_strdup ("guest one");
        }
      else
        {
          g_assert_true (config_value_set (key, after, another_value (key), &error));
          expected = g_strdup_printf ("%s.%s", key->group, key->key);
        }
      g_assert_no_error (error);

      changes = config_list_changes (before, after);
      assert_list (changes, expected);
      again = config_list_changes (after, after);
      assert_list (again, "");
    }
}

static void
test_guests (void)
{
  g_autoptr (Config) before = load (NULL);
  g_autoptr (Config) after = load (NULL);
  g_auto (GStrv) changes = NULL;

  add_guest (before, "stays", "/stays");
  add_guest (before, "goes", "/goes");
  add_guest (before, "changes", "/changes");
  g_hash_table_insert (add_guest (after, "changes", "/changes")->image_refs, g_strdup ("*"),
                       g_strdup ("image"));
  add_guest (after, "stays", "/stays");
  add_guest (after, "comes", "/comes");

  changes = config_list_changes (before, after);
  assert_list (changes, "guest changes | guest comes | guest goes");
}

static void
test_image_refs (void)
{
  g_autoptr (GuestConfig) a = guest_config_new ();
  g_autoptr (GuestConfig) b = guest_config_copy (a);

  g_assert_true (guest_config_equal (a, b));
  g_hash_table_insert (a->image_refs, g_strdup ("vda"), g_strdup ("x"));
  g_assert_false (guest_config_equal (a, b));
  g_assert_false (guest_config_equal (b, a));
  g_hash_table_insert (b->image_refs, g_strdup ("vdb"), g_strdup ("x"));
  g_assert_false (guest_config_equal (a, b));
  g_hash_table_remove_all (b->image_refs);
  g_hash_table_insert (b->image_refs, g_strdup ("vda"), g_strdup ("y"));
  g_assert_false (guest_config_equal (a, b));
  g_hash_table_insert (b->image_refs, g_strdup ("vda"), g_strdup ("x"));
  g_assert_true (guest_config_equal (a, b));
}

static void
test_fixed (void)
{
  static const char *const overrides[] = {
    "daemon.state=/s", "daemon.transfers=9", "rest.socket=/k", "rest.group=g", "store.folder=/f",
    "snapshot.parents=ignore", NULL
  };
  g_autoptr (Config) before = load (NULL);
  g_autoptr (Config) after = load (overrides);
  g_auto (GStrv) kept = config_keep_fixed (after, before);
  g_auto (GStrv) changes = config_list_changes (before, after);
  g_auto (GStrv) again = config_keep_fixed (after, before);

  assert_list (kept, "daemon.state | rest.socket | rest.group | store.folder");
  g_assert_cmpstr (after->state_folder, ==, before->state_folder);
  g_assert_null (after->socket_group);
  g_assert_cmpuint (after->transfers, ==, 9);
  assert_list (changes, "daemon.transfers | snapshot.parents");
  assert_list (again, "");
}

/* Of a store that goes on what it needs stays, too. */
static void
test_companions (void)
{
  static const char *const overrides[] = {
    "store.kind=glance", "glance.url=http://a:1", "glance.timeout=7s", "rest.listen=127.0.0.1:1",
    "rest.token-file=/t", NULL
  };
  static const char *const moved[] = {
    "store.kind=glance", "glance.url=http://b:1", "glance.timeout=7s", "rest.listen=127.0.0.1:1",
    "rest.token-file=/u", NULL
  };
  g_autoptr (Config) before = load (overrides);
  g_autoptr (Config) without = load (NULL);
  g_autoptr (Config) after = load (moved);
  g_auto (GStrv) kept = config_keep_fixed (without, before);
  g_auto (GStrv) nothing = config_keep_fixed (after, before);

  assert_list (kept, "rest.listen | rest.token-file | store.kind | glance.url | glance.timeout");
  g_assert_cmpstr (without->glance_url, ==, "http://a:1");
  g_assert_cmpstr (without->token_file, ==, "/t");
  assert_list (nothing, "");
  g_assert_cmpstr (after->glance_url, ==, "http://b:1");
}

/* --- what holds --- */

static gboolean
reload (Settings  *settings,
        gpointer   user_data,
        GError   **error)
{
  static const char *const waiting[] = { "rest.socket", NULL };
  Config **next = user_data;

  if (*next == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "line 7 is wrong");
      return FALSE;
    }
  settings_replace (settings, *next, waiting);

  return TRUE;
}

static void
test_settings (void)
{
  static const char *const overrides[] = { "daemon.transfers=9", NULL };
  g_autoptr (Config) first = load (NULL);
  g_autoptr (Config) second = load (overrides);
  g_autoptr (Config) held = NULL;
  g_autoptr (Settings) settings = settings_new (first);
  g_autoptr (GError) error = NULL;
  Config *next = NULL;

  g_assert_false (settings_reload (settings, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  g_clear_error (&error);

  settings_set_reload (settings, reload, &next);
  g_assert_false (settings_reload (settings, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
  g_assert_cmpstr (settings_get_error (settings)->message, ==, "line 7 is wrong");
  g_assert_true (settings_get (settings) == first);
  g_clear_error (&error);

  next = second;
  held = config_ref (settings_get (settings));
  g_clear_pointer (&first, config_unref);
  g_assert_true (settings_reload (settings, &error));
  g_assert_no_error (error);
  g_assert_null (settings_get_error (settings));
  g_assert_cmpuint (settings_get (settings)->transfers, ==, 9);
  g_assert_cmpstr (settings_get_waiting (settings)[0], ==, "rest.socket");
  /* Whoever is in the middle of something has what he began with. */
  g_assert_cmpuint (held->transfers, ==, 2);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/config/change/every-key", test_every_key);
  g_test_add_func ("/config/change/guests", test_guests);
  g_test_add_func ("/config/change/image-refs", test_image_refs);
  g_test_add_func ("/config/change/fixed", test_fixed);
  g_test_add_func ("/config/change/companions", test_companions);
  g_test_add_func ("/config/change/settings", test_settings);

  return g_test_run ();
}
