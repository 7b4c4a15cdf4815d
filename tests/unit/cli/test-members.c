/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which words are numbers of bytes. */

#include "members.h"

#include "error.h"

static void
test_bytes (void)
{
  static const struct { const char *text; gint64 bytes; } good[] = {
    { "0", 0 }, { "max", 0 }, { "1", 1 }, { "4096", 4096 }, { "512B", 512 }, { "1k", 1024 },
    { "500K", 512000 }, { "10M", 10485760 }, { "10MiB", 10485760 }, { "10MB/s", 10485760 },
    { "1.5G", 1610612736 }, { "2T", 2199023255552 }, { "7999999T", 7999999 * (1LL << 40) },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (JsonObject) object = json_object_new ();
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", good[i].text);
      g_assert_true (members_set_bytes (object, "speed", "--speed", good[i].text, &error));
      g_assert_no_error (error);
      g_assert_cmpint (json_object_get_int_member (object, "speed"), ==, good[i].bytes);
    }
}

static void
test_no_bytes (void)
{
  static const char *const bad[] = {
    "", "-1", "+1", " 1", "1 ", "M", "1X", "1MM", "1e5", "0x10", "1.2.3", "nan", "inf", "1Mi/x",
    "8388608T", "99999999999999999999999", "maximum",
  };
  g_autoptr (JsonObject) none = json_object_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (JsonObject) object = json_object_new ();
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", bad[i]);
      g_assert_false (members_set_bytes (object, "speed", "--speed", bad[i], &error));
      g_assert_error (error, CLI_ERROR, CLI_ERROR_USAGE);
      g_assert_cmpuint (json_object_get_size (object), ==, 0);
    }

  g_assert_true (members_set_bytes (none, "speed", "--speed", NULL, NULL));
  g_assert_cmpuint (json_object_get_size (none), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/members/bytes", test_bytes);
  g_test_add_func ("/cli/members/no-bytes", test_no_bytes);
  return g_test_run ();
}
