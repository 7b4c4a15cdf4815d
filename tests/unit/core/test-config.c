/* SPDX-License-Identifier: Apache-2.0 */

#include "config-private.h"
#include "support.h"

#include <core/error.h>

#include <string.h>

/* Loads @text; fails with the message, where the file's own path is FILE. */
static Config *
load_text (const char         *text,
           const char *const  *overrides,
           char              **message)
{
  g_autofree char *folder = folder_new ();
  g_autofree char *path = g_build_filename (folder, "qsnapd.conf", NULL);
  g_autoptr (GError) error = NULL;
  Config *config;

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  config = config_load (path, overrides, &error);
  g_assert_true ((config == NULL) == (error != NULL));
  *message = NULL;

  if (error != NULL)
    {
      g_autoptr (GString) shown = g_string_new (error->message);

      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_string_replace (shown, path, "FILE", 0);
      *message = g_string_free (g_steal_pointer (&shown), FALSE);
    }

  folder_remove (folder);

  return config;
}

static void
test_defaults (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Config) config = config_load (NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (config->state_folder, ==, "/var/lib/qsnapd");
  g_assert_cmpuint (config->transfers, ==, 2);
  g_assert_cmpstr (config->log_level, ==, "info");
  g_assert_cmpstr (config->socket, ==, "/run/qsnapd/qsnapd.sock");
  g_assert_null (config->socket_group);
  g_assert_null (config->listen);
  g_assert_null (config->token_file);
  g_assert_cmpstr (config->store, ==, "folder");
  g_assert_cmpstr (config->store_folder, ==, "/var/lib/qsnapd/images");
  g_assert_null (config->glance_url);
  g_assert_null (config->glance_token_file);
  g_assert_null (config->glance_cloud);
  g_assert_null (config->glance_clouds_file);
  g_assert_null (config->glance_ca_file);
  g_assert_cmpuint (config->reserve, ==, 1 << 30);
  g_assert_cmpuint (config->glance_timeout_s, ==, 60);
  g_assert_cmpuint (config->glance_deadline_s, ==, 86400);
  g_assert_cmpstr (config->quiesce, ==, "none");
  g_assert_cmpuint (config->freeze_timeout_ms, ==, 10000);
  g_assert_cmpuint (config->thaw_after_ms, ==, 15000);
  g_assert_cmpstr (config->parents, ==, "upload");
  g_assert_cmpuint (g_strv_length (config->watch), ==, 0);
  g_assert_cmpuint (config->guests->len, ==, 0);
}

static void
test_every_key (void)
{
  g_autofree char *message = NULL;
  g_autoptr (Config) config = load_text (
    "[daemon]\nstate = /s\ntransfers=64\nlog = debug\nmax-chain-length = 200\n"
    "scan-folders = /images;/more images\nreserve = 5 GiB\nwait-for-room = 1min\n"
    "[rest]\nsocket=/x.sock\ngroup = kvm\nlisten = [::1]:8080\ntoken-file = /t\n"
    "[store]\nkind = glance\nfolder = /f\n"
    "[glance]\nurl = https://images.example:9292\ntoken-file = /g\nca-file = /ca\ntimeout = 2min\n"
    "deadline = 3h\n"
    "[snapshot]\nquiesce = require\nfreeze-timeout = 500ms\nthaw-after = 3000\nparents = ignore\n"
    "[watch]\nsockets = /run/a; /run/b/*.sock ;\n"
    "[guest web 1]\nmonitor = host:4444\nagent = /a\n"
    "uuid = 0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55\noverlay-folder = /o\n"
    "allow-format-change = yes\nmax-chain-length = 0\nimage-ref = one\nimage-ref.vd.b = two\n",
    NULL, &message);
  g_autoptr (GuestConfig) copy = NULL;

  g_assert_cmpstr (message, ==, NULL);
  g_assert_cmpstr (config->state_folder, ==, "/s");
  g_assert_cmpuint (config->transfers, ==, 64);
  g_assert_cmpuint (config->max_chain_length, ==, 200);
  g_assert_cmpstr (config->log_level, ==, "debug");
  g_assert_cmpuint (g_strv_length (config->scan_folders), ==, 2);
  g_assert_cmpstr (config->scan_folders[1], ==, "/more images");
  g_assert_cmpuint (config->reserve, ==, G_GUINT64_CONSTANT (5) << 30);
  g_assert_cmpuint (config->wait_for_room_s, ==, 60);
  g_assert_cmpstr (config->socket, ==, "/x.sock");
  g_assert_cmpstr (config->socket_group, ==, "kvm");
  g_assert_cmpstr (config->listen, ==, "[::1]:8080");
  g_assert_cmpstr (config->token_file, ==, "/t");
  g_assert_cmpstr (config->store, ==, "glance");
  g_assert_cmpstr (config->store_folder, ==, "/f");
  g_assert_cmpstr (config->glance_url, ==, "https://images.example:9292");
  g_assert_cmpstr (config->glance_token_file, ==, "/g");
  g_assert_cmpstr (config->glance_ca_file, ==, "/ca");
  g_assert_cmpuint (config->glance_timeout_s, ==, 120);
  g_assert_cmpuint (config->glance_deadline_s, ==, 3 * 60 * 60);
  g_assert_cmpstr (config->quiesce, ==, "require");
  g_assert_cmpuint (config->freeze_timeout_ms, ==, 500);
  g_assert_cmpuint (config->thaw_after_ms, ==, 3000);
  g_assert_cmpstr (config->parents, ==, "ignore");
  g_assert_cmpuint (g_strv_length (config->watch), ==, 2);
  g_assert_cmpstr (config->watch[1], ==, "/run/b/*.sock");
  g_assert_cmpuint (config->guests->len, ==, 1);

  copy = guest_config_copy (g_ptr_array_index (config->guests, 0));
  g_clear_pointer (&config, config_unref);
  g_assert_cmpstr (copy->id, ==, "web 1");
  g_assert_cmpstr (copy->monitor, ==, "host:4444");
  g_assert_cmpstr (copy->agent, ==, "/a");
  g_assert_cmpstr (copy->uuid, ==, "0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55");
  g_assert_cmpstr (copy->overlay_folder, ==, "/o");
  g_assert_true (copy->allow_format_change);
  g_assert_cmpint (copy->max_chain_length, ==, 0);
  g_assert_cmpstr (g_hash_table_lookup (copy->image_refs, "*"), ==, "one");
  g_assert_cmpstr (g_hash_table_lookup (copy->image_refs, "vd.b"), ==, "two");
}

/* A cloud knows where everything is. */
static void
test_cloud (void)
{
  g_autofree char *message = NULL;
  g_autoptr (Config) config = load_text ("[store]\nkind = glance\n[glance]\ncloud = our cloud\n"
                                         "clouds-file = /c\n", NULL, &message);

  g_assert_cmpstr (message, ==, NULL);
  g_assert_cmpstr (config->glance_cloud, ==, "our cloud");
  g_assert_cmpstr (config->glance_clouds_file, ==, "/c");
  g_assert_null (config->glance_url);
}

/* Each wrong file, and how the complaint about it begins. */
static const struct
{
  const char *name;
  const char *text;
  const char *complaint;
} wrong_files[] = {
  { "unknown-group", "\n[deamon]\n",
    "FILE:2: there is no group [deamon]; there are: [daemon], [rest], [store], [glance], "
    "[snapshot], [watch], [guest NAME]" },
  { "unknown-key", "[daemon]\n# a comment\ntransfer = 3\n",
    "FILE:3: [daemon] has no key 'transfer'; it has: state, transfers, storage-daemon, "
    "max-chain-length, log" },
  { "unknown-guest-key", "[guest a]\nmonitor = /m\nqmp = /q\n",
    "FILE:3: [guest a] has no key 'qmp'; it has: monitor, agent, uuid, overlay-folder, "
    "allow-format-change, max-chain-length, image-ref, image-ref.DISK" },
  { "no-bytes", "[daemon]\nreserve = 10 %\n",
    "FILE:2: reserve = 10 %: the value is not a number of bytes" },
  { "too-many-bytes", "[daemon]\nreserve = 8388608T\n",
    "FILE:2: reserve = 8388608T: the value is not a number of bytes" },
  { "half-a-unit", "[daemon]\nreserve = 1Gi\n",
    "FILE:2: reserve = 1Gi: the value is not a number of bytes" },
  { "chain-too-long", "[daemon]\nmax-chain-length = 201\n",
    "FILE:2: max-chain-length = 201: the value is not a number from 0 to 200" },
  { "guest-chain-too-long", "[guest a]\nmonitor = /m\nmax-chain-length = -1\n",
    "FILE:3: max-chain-length = -1: the value is not a number from 0 to 200" },
  { "too-small", "[daemon]\ntransfers = 0\n",
    "FILE:2: transfers = 0: the value is not a number from 1 to 64" },
  { "too-large", "[daemon]\ntransfers = 18446744073709551617\n", "FILE:2: transfers = 1844" },
  { "no-number", "[daemon]\ntransfers = two\n", "FILE:2: transfers = two: the value is not" },
  { "negative", "[daemon]\ntransfers = -1\n", "FILE:2: transfers = -1: the value is not" },
  { "count-with-unit", "[daemon]\ntransfers = 2s\n", "FILE:2: transfers = 2s: the value is not" },
  { "unit", "[snapshot]\nthaw-after = 3 days\n",
    "FILE:2: thaw-after = 3 days: the value is not a number from 1 to 600000 ms" },
  { "half-seconds", "[glance]\ntimeout = 1500ms\n",
    "FILE:2: timeout = 1500ms: the value is not a number from 1 to 86400 s (whole seconds" },
  { "word", "[snapshot]\nquiesce = maybe\n",
    "FILE:2: quiesce = maybe: the value is none of: none try require" },
  { "relative", "[daemon]\nstate = var/lib\n",
    "FILE:2: state = var/lib: the value is not an absolute path" },
  { "empty", "[daemon]\nlog =\n",
    "FILE:2: log = : the value is empty; without this line it is info" },
  { "address", "[rest]\ntoken-file = /t\nlisten = ::1:80\n",
    "FILE:3: listen = ::1:80: the value is not HOST:PORT" },
  { "port", "[rest]\ntoken-file = /t\nlisten = a:65536\n",
    "FILE:3: listen = a:65536: the value is not HOST:PORT" },
  { "url", "[glance]\nurl = images.example\n",
    "FILE:2: url = images.example: the value is not an http:// or https:// address" },
  { "boolean", "[guest a]\nmonitor = /m\nallow-format-change = 1\n",
    "FILE:3: allow-format-change = 1: the value is neither true nor false" },
  { "uuid", "[guest a]\nmonitor = /m\nuuid = 17\n",
    "FILE:3: uuid = 17: the value is not a UUID" },
  { "monitor", "[guest a]\nmonitor = m\n",
    "FILE:2: monitor = m: the value is neither an absolute path nor HOST:PORT" },
  { "watch", "[watch]\nsockets = /a;b\n",
    "FILE:2: sockets = /a;b: the value is not a list of absolute paths parted by ';': "
    "there is 'b'" },
  { "image-ref", "[guest a]\nmonitor = /m\nimage-ref. = x\n", "FILE:3: image-ref. = x: the id of" },
  { "no-monitor", "\n\n[guest a]\nagent = /a\n", "FILE:3: [guest a] needs a 'monitor'" },
  { "guest-without-name", "[guest]\nmonitor = /m\n", "FILE:1: there is no group [guest]" },
  { "guest-twice", "[guest a]\nmonitor = /m\n[guest  a]\nmonitor = /m\n",
    "FILE:3: [guest a] is there a second time, first at FILE:1" },
  { "key-twice", "[daemon]\nlog = info\n[rest]\n[daemon]\nlog = debug\n",
    "FILE:5: 'log' of [daemon] is set a second time, first in line 2" },
  { "listen-alone", "[rest]\nlisten = a:1\n", "FILE:2: [rest] listen needs a 'token-file'" },
  { "listen-with-idle-cloud", "[rest]\nlisten = a:1\n[glance]\ncloud = c\n",
    "FILE:2: [rest] listen needs a 'token-file', or the store 'glance' with a 'cloud'" },
  { "glance-alone", "[store]\nkind = glance\n",
    "FILE:2: the store 'glance' needs a 'url' or a 'cloud' in [glance]" },
  { "cloud-and-token", "[glance]\ncloud = c\ntoken-file = /t\n",
    "FILE:3: [glance] has both a 'cloud' and a 'token-file': take one" },
  { "clouds-without-cloud", "[glance]\nclouds-file = /c\n",
    "FILE:2: [glance] has a 'clouds-file', but no 'cloud'" },
  { "no-group", "log = info\n", "FILE:1: a [group] must stand before log = info" },
  { "no-key", "[daemon]\nlog info\n", "FILE:2: neither [group] nor key = value: log info" },
  { "open-group", "[daemon\n", "FILE:1: a group is written [name], not [daemon" },
  { "not-utf8", "[daemon]\nlog = \xff\n", "FILE is no configuration" },
};

static void
test_wrong_file (gconstpointer data)
{
  gsize i = GPOINTER_TO_SIZE (data);
  g_autofree char *message = NULL;

  g_assert_null (load_text (wrong_files[i].text, NULL, &message));

  if (!g_str_has_prefix (message, wrong_files[i].complaint))
    g_error ("\"%s\" was expected, \"%s\" came", wrong_files[i].complaint, message);
}

static void
test_overrides (void)
{
  static const char *const good[] = {
    "daemon.transfers=5", "store.folder=/a=b", "rest.group=", NULL
  };
  static const char *const bad[] = { "daemon.transfers=0", NULL };
  static const char *const unknown[] = { "daemon.state=/s", "nobody.knows=1", NULL };
  static const char *const shapeless[] = { "transfers=3", NULL };
  static const char *const guest[] = { "guest a.monitor=/m", NULL };
  static const char text[] = "[daemon]\ntransfers = 3\nlog = error\n[rest]\ngroup = g\n";
  g_autofree char *message = NULL;
  g_autoptr (Config) config = load_text (text, good, &message);

  g_assert_cmpuint (config->transfers, ==, 5);
  g_assert_cmpstr (config->log_level, ==, "error");
  g_assert_cmpstr (config->store_folder, ==, "/a=b");
  g_assert_null (config->socket_group);

  g_assert_null (load_text ("", bad, &message));
  g_assert_cmpstr (message, ==, "option daemon.transfers=0: transfers = 0: the value is not a "
                                "number from 1 to 64");
  g_free (message);
  g_assert_null (load_text ("", unknown, &message));
  g_assert_true (g_str_has_prefix (message, "option nobody.knows=1: there is no group [nobody]"));
  g_free (message);
  g_assert_null (load_text ("", shapeless, &message));
  g_assert_cmpstr (message, ==, "option transfers=3: wanted is group.key=value");
  g_free (message);
  g_assert_null (load_text ("", guest, &message));
  g_assert_cmpstr (message, ==, "option guest a.monitor=/m: wanted is group.key=value");
}

static void
test_no_file (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (config_load ("/nonexistent/qsnapd.conf", NULL, &error));
  assert_error_says (error, AGENT_ERROR_NOT_FOUND, "/nonexistent/qsnapd.conf");
}

static char *
read_shipped (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "..", "..", "data", "qsnapd.conf",
                                                 NULL);
  g_autoptr (GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);

  return text;
}

/* What @key is in @settings, in a form that can be compared. */
static char *
show_value (const ConfigKey *key,
            gconstpointer    settings)
{
  gconstpointer field = (const guint8 *) settings + key->offset;

  switch (key->type)
    {
    case CONFIG_BOOLEAN:
    case CONFIG_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
      return g_strdup_printf ("%u", *(const guint *) field);
    case CONFIG_OPTIONAL_COUNT:
      return g_strdup_printf ("%d", *(const gint *) field);
    case CONFIG_BYTES:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, *(const guint64 *) field);
    case CONFIG_PATHS:
      return g_strjoinv (";", *(char ***) field);
    default:
      return g_strdup (*(char *const *) field);
    }
}

/* The shipped file says of each key what its default is; so it must be the default. */
static void
test_shipped_file (void)
{
  g_autofree char *shipped = read_shipped ();
  g_autoptr (GRegex) commented = g_regex_new ("^#(?=[a-z])", G_REGEX_MULTILINE, 0, NULL);
  g_autofree char *text = g_regex_replace_literal (commented, shipped, -1, 0, "", 0, NULL);
  g_autofree char *message = NULL;
  g_autoptr (Config) config = load_text (text, NULL, &message);
  g_autoptr (Config) defaults = config_load (NULL, NULL, NULL);

  g_assert_cmpstr (message, ==, NULL);
  g_assert_cmpstr (text, !=, shipped);
  g_assert_cmpuint (config->guests->len, ==, 0);

  for (const ConfigKey *key = config_keys; key->group != NULL; key++)
    {
      g_autofree char *value = NULL;
      g_autofree char *expected = NULL;

      if (g_str_equal (key->group, "guest"))
        continue;

      value = show_value (key, config);
      expected = show_value (key, defaults);
      g_assert_cmpstr (value, ==, expected);
    }
}

static void
test_shipped_file_names_all (void)
{
  g_autofree char *shipped = read_shipped ();

  for (const ConfigKey *key = config_keys; key->group != NULL; key++)
    {
      gboolean is_guest = g_str_equal (key->group, "guest");
      g_autofree char *header = g_strdup_printf (is_guest ? "[%s NAME]\n" : "\n[%s]\n", key->group);
      g_autofree char *line = g_strdup_printf (is_guest ? "\n#   %s =" : "\n#%s =", key->key);
      const char *group = strstr (shipped, header);
      const char *next = group != NULL ? strstr (group + 1, "\n[") : NULL;
      const char *found = group != NULL ? strstr (group, line) : NULL;

      if (found == NULL || (next != NULL && found > next))
        g_error ("the shipped file does not explain %s of [%s]", key->key, key->group);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/config/defaults", test_defaults);
  g_test_add_func ("/config/every-key", test_every_key);
  g_test_add_func ("/config/cloud", test_cloud);
  g_test_add_func ("/config/overrides", test_overrides);
  g_test_add_func ("/config/no-file", test_no_file);
  g_test_add_func ("/config/shipped-file", test_shipped_file);
  g_test_add_func ("/config/shipped-file-names-all", test_shipped_file_names_all);

  for (gsize i = 0; i < G_N_ELEMENTS (wrong_files); i++)
    {
      g_autofree char *path = g_strconcat ("/config/wrong/", wrong_files[i].name, NULL);

      g_test_add_data_func (path, GSIZE_TO_POINTER (i), test_wrong_file);
    }

  return g_test_run ();
}
