/* SPDX-License-Identifier: Apache-2.0 */

/* What is written down of an image is read again, and nothing else is. */

#include <core/error.h>
#include <image/info.h>
#include <string.h>

#define ID "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"

static ImageInfo *
parse (const char  *text,
       GError     **error)
{
  g_autoptr (JsonNode) json = json_from_string (text, NULL);

  return image_info_from_json (json, error);
}

static void
test_round_trip (void)
{
  g_autoptr (ImageInfo) info = image_info_new ();
  g_autoptr (ImageInfo) copy = NULL;
  g_autoptr (ImageInfo) again = NULL;
  g_autoptr (JsonNode) json = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  info->id = g_strdup (ID);
  info->name = g_strdup ("quote \" and \xc3\xa4");
  info->disk_format = g_strdup ("qcow2");
  info->hidden = TRUE;
  info->min_disk = 4;
  info->min_ram = 8;
  info->status = g_strdup ("active");
  info->size = G_MAXINT64;
  info->md5 = g_strdup ("md5");
  info->sha512 = g_strdup ("sha512");
  info->created_us = 1714979289123456;
  image_info_set (info, "b", "2");
  image_info_set (info, "a", "1");
  image_info_set (info, "c", "3");
  image_info_set (info, "c", NULL);

  copy = image_info_copy (info);
  json = image_info_to_json (copy);
  text = json_to_string (json, FALSE);
  g_assert_nonnull (strstr (text, "\"created_at\":\"2024-05-06T07:08:09.123456Z\""));
  g_assert_nonnull (strstr (text, "\"properties\":{\"a\":\"1\",\"b\":\"2\"}"));

  again = parse (text, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->id, ==, info->id);
  g_assert_cmpstr (again->name, ==, info->name);
  g_assert_cmpstr (again->disk_format, ==, info->disk_format);
  g_assert_cmpint (again->hidden, ==, info->hidden);
  g_assert_cmpint (again->min_disk, ==, info->min_disk);
  g_assert_cmpint (again->min_ram, ==, info->min_ram);
  g_assert_cmpstr (again->status, ==, info->status);
  g_assert_cmpint (again->size, ==, info->size);
  g_assert_cmpstr (again->md5, ==, info->md5);
  g_assert_cmpstr (again->sha512, ==, info->sha512);
  g_assert_cmpint (again->created_us, ==, info->created_us);
  g_assert_cmpuint (g_hash_table_size (again->properties), ==, 2);
  g_assert_cmpstr (g_hash_table_lookup (again->properties, "b"), ==, "2");
}

static void
test_nothing_known (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = parse ("{\"id\": \"x\", \"status\": \"queued\", "
                                        "\"size\": null, \"more\": []}",
                                      &error);

  g_assert_no_error (error);
  g_assert_cmpint (info->size, ==, -1);
  g_assert_null (info->name);
  g_assert_false (info->hidden);
}

static void
test_nonsense (void)
{
  static const char *const texts[] = {
    "[]", "3", "{}", "{\"id\": \"x\"}", "{\"status\": \"x\"}", "{\"id\": 3, \"status\": \"x\"}",
    "{\"id\": \"x\", \"status\": \"y\", \"size\": \"7\"}",
    "{\"id\": \"x\", \"status\": \"y\", \"size\": -7}",
    "{\"id\": \"x\", \"status\": \"y\", \"size\": 7.5}",
    "{\"id\": \"x\", \"status\": \"y\", \"hidden\": 1}",
    "{\"id\": \"x\", \"status\": \"y\", \"created_at\": \"yesterday\"}",
    "{\"id\": \"x\", \"status\": \"y\", \"properties\": []}",
    "{\"id\": \"x\", \"status\": \"y\", \"properties\": {\"a\": 1}}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (parse (texts[i], &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }

  {
    g_autoptr (GError) error = NULL;

    g_assert_null (image_info_from_json (NULL, &error));
    g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
  }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/image/info/round-trip", test_round_trip);
  g_test_add_func ("/image/info/nothing-known", test_nothing_known);
  g_test_add_func ("/image/info/nonsense", test_nonsense);

  return g_test_run ();
}
