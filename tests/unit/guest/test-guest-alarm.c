/* SPDX-License-Identifier: Apache-2.0 */
#include <guest/alarm.h>

#define NOW G_GINT64_CONSTANT (1795176000000000)        /* 2026-11-20T12:00:00Z */

static GPtrArray *
read_text (const char *text)
{
  g_autoptr (JsonNode) blocks = text != NULL ? json_from_string (text, NULL) : NULL;

  return guest_alarms_read (blocks, NOW);
}

static const GuestAlarm *
first_of (GPtrArray *alarms)
{
  return g_ptr_array_index (alarms, 0);
}

static void
test_no_space (void)
{
  g_autoptr (GPtrArray) alarms = read_text (
    "[{\"device\": \"drive0\", \"io-status\": \"ok\", \"inserted\": {\"file\": \"/a\"}},"
    " {\"device\": \"\", \"qdev\": \"/machine/peripheral/disk1/virtio-backend\","
    "  \"io-status\": \"nospace\","
    "  \"inserted\": {\"file\": \"/srv/web/disk.2\", \"node-name\": \"n\"}},"
    " {\"device\": \"floppy0\"}]");

  g_assert_cmpuint (alarms->len, ==, 1);
  g_assert_true (first_of (alarms)->no_space);
  g_assert_cmpstr (first_of (alarms)->disk, ==, "disk1");
  g_assert_cmpstr (first_of (alarms)->node, ==, "n");
  g_assert_cmpstr (first_of (alarms)->path, ==, "/srv/web/disk.2");
  g_assert_cmpint (first_of (alarms)->since_us, ==, NOW);
}

/* By the id of its drive where there is one; and an error of another kind. */
static void
test_io_error (void)
{
  g_autoptr (GPtrArray) alarms = read_text (
    "[{\"device\": \"drive0\", \"qdev\": \"disk0\", \"io-status\": \"failed\"},"
    " {\"device\": \"\", \"qdev\": \"disk1\", \"io-status\": \"failed\"}]");

  g_assert_cmpuint (alarms->len, ==, 2);
  g_assert_false (first_of (alarms)->no_space);
  g_assert_cmpstr (first_of (alarms)->disk, ==, "drive0");
  g_assert_null (first_of (alarms)->path);
  g_assert_cmpstr (((GuestAlarm *) g_ptr_array_index (alarms, 1))->disk, ==, "disk1");
}

/* A file that only a description names. */
static void
test_described (void)
{
  g_autoptr (GPtrArray) alarms = read_text (
    "[{\"device\": \"a\", \"io-status\": \"nospace\", \"inserted\": {\"file\":"
    "  \"json:{\\\"driver\\\": \\\"throttle\\\", \\\"file\\\": {\\\"driver\\\": \\\"qcow2\\\","
    "   \\\"backing\\\": {\\\"filename\\\": \\\"/b\\\"},"
    "   \\\"file\\\": {\\\"filename\\\": \\\"/a\\\"}}}\"}},"
    " {\"device\": \"b\", \"io-status\": \"nospace\", \"inserted\":"
    "  {\"file\": \"json:{\\\"file\\\": []}\"}},"
    " {\"device\": \"c\", \"io-status\": \"nospace\", \"inserted\": {\"file\": \"json:[\"}}]");

  g_assert_cmpuint (alarms->len, ==, 3);
  g_assert_cmpstr (first_of (alarms)->path, ==, "/a");
  g_assert_null (((GuestAlarm *) g_ptr_array_index (alarms, 1))->path);
  g_assert_null (((GuestAlarm *) g_ptr_array_index (alarms, 2))->path);
}

/* A name that nests without an end is no way to end us. */
static void
test_too_deep (void)
{
  for (gsize depth = 10000; depth <= 1000000; depth *= 10)
    {
      g_autofree char *nest = g_strnfill (depth, '[');
      g_autofree char *text = g_strdup_printf ("[{\"device\": \"a\", \"io-status\": \"failed\","
                                               "  \"inserted\": {\"file\": \"json:%s\"}}]", nest);
      g_autoptr (GPtrArray) alarms = read_text (text);

      g_assert_cmpuint (alarms->len, ==, 1);
      g_assert_cmpstr (first_of (alarms)->disk, ==, "a");
      g_assert_null (first_of (alarms)->path);
    }
}

static void
test_too_many (void)
{
  g_autoptr (GString) text = g_string_new ("[");
  g_autoptr (GPtrArray) alarms = NULL;

  for (guint i = 0; i < 1000; i++)
    g_string_append (text, "{\"device\": \"a\", \"io-status\": \"failed\"},");
  text->str[text->len - 1] = ']';
  alarms = read_text (text->str);

  g_assert_cmpuint (alarms->len, ==, 64);
}

/* It stands, whatever the answer is worth. */
static void
test_nobody_tells (void)
{
  const char *const answers[] = {
    NULL, "[]", "{}", "[1, \"x\", null]", "[{\"io-status\": 7, \"inserted\": []}]",
    "[{\"device\": \"drive0\", \"io-status\": \"ok\"}]",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autoptr (GPtrArray) alarms = read_text (answers[i]);

      g_assert_cmpuint (alarms->len, ==, 1);
      g_assert_false (first_of (alarms)->no_space);
      g_assert_null (first_of (alarms)->disk);
    }
}

static void
test_json (void)
{
  g_autoptr (GPtrArray) alarms = read_text (
    "[{\"device\": \"drive0\", \"io-status\": \"nospace\", \"inserted\": {\"file\": \"/a\"}}]");
  g_autoptr (JsonNode) json = guest_alarms_to_json (alarms);
  JsonObject *alarm = json_array_get_object_element (json_node_get_array (json), 0);

  g_assert_cmpstr (json_object_get_string_member (alarm, "kind"), ==, "no-space");
  g_assert_cmpstr (json_object_get_string_member (alarm, "disk"), ==, "drive0");
  g_assert_cmpstr (json_object_get_string_member (alarm, "since"), ==, "2026-11-20T12:00:00Z");
  g_assert_true (json_object_get_null_member (alarm, "node"));
  g_assert_nonnull (g_strstr_len (json_object_get_string_member (alarm, "message"), -1, "/a"));
  g_assert_nonnull (g_strstr_len (json_object_get_string_member (alarm, "hint"), -1, "resume"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/alarm/no-space", test_no_space);
  g_test_add_func ("/alarm/io-error", test_io_error);
  g_test_add_func ("/alarm/described", test_described);
  g_test_add_func ("/alarm/too-deep", test_too_deep);
  g_test_add_func ("/alarm/too-many", test_too_many);
  g_test_add_func ("/alarm/nobody-tells", test_nobody_tells);
  g_test_add_func ("/alarm/json", test_json);

  return g_test_run ();
}
