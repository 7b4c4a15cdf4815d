/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "model.h"

#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"

static void
test_defaults (void)
{
  g_autoptr (SnapshotRequest) request = model_request ("{}");

  g_assert_true (g_str_has_prefix (request->name, "snapshot-"));
  g_assert_null (request->disks);
  g_assert_cmpint (request->quiesce, ==, QUIESCE_NONE);
  g_assert_cmpint (request->image, ==, IMAGE_LAYER);
  g_assert_false (request->first_disk);
  g_assert_cmpint (request->parents, ==, PARENTS_UPLOAD);
  g_assert_false (request->allow_format_change);
  g_assert_false (request->end_jobs);
  g_assert_false (request->keep);
  g_assert_cmpint (request->max_chain_length, ==, 3);
  g_assert_null (snapshot_request_image_ref (request, "any"));
}

static void
test_everything (void)
{
  g_autoptr (SnapshotRequest) request = model_request (
      "{\"name\": \"Grüße\", \"disks\": [\"a\", \"b\"], \"quiesce\": \"require\","
      " \"image\": \"none\","
      " \"parents\": \"ignore\", \"metadata\": {\"k\": \"v\"}, \"allow_format_change\": true,"
      " \"end_jobs\": true, \"keep\": true, \"max_chain_length\": 0,"
      " \"overlay_folder\": \"/o\", \"image_ref\": {\"a\": \"" UUID_A "\"}}");

  g_assert_cmpstr (request->name, ==, "Grüße");
  g_assert_cmpuint (g_strv_length (request->disks), ==, 2);
  g_assert_cmpint (request->quiesce, ==, QUIESCE_REQUIRE);
  g_assert_cmpint (request->image, ==, IMAGE_NONE);
  g_assert_cmpint (request->parents, ==, PARENTS_IGNORE);
  g_assert_cmpstr (json_object_get_string_member (request->metadata, "k"), ==, "v");
  g_assert_true (request->allow_format_change);
  g_assert_true (request->end_jobs);
  g_assert_true (request->keep);
  g_assert_cmpint (request->max_chain_length, ==, 0);
  g_assert_cmpstr (request->overlay_folder, ==, "/o");
  g_assert_cmpstr (snapshot_request_image_ref (request, "a"), ==, UUID_A);
  g_assert_null (snapshot_request_image_ref (request, "b"));
}

/* What the request says of a disk goes before what stands for all. */
static void
test_image_refs_of_the_guest (void)
{
  g_autoptr (Config) config = config_load (NULL, NULL, NULL);
  g_autoptr (GuestConfig) guest = guest_config_new ();
  g_autoptr (JsonNode) node = json_from_string ("{\"image_ref\": {\"a\": \"" UUID_B "\"}}", NULL);
  g_autoptr (SnapshotRequest) request = NULL;

  if (guest->image_refs == NULL)
    guest->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (guest->image_refs, g_strdup ("*"), g_strdup (UUID_A));
  guest->max_chain_length = 7;
  request = snapshot_request_parse (json_node_get_object (node), REQUEST_SNAPSHOT, config, guest,
                                    NULL);
  g_assert_cmpstr (snapshot_request_image_ref (request, "a"), ==, UUID_B);
  g_assert_cmpstr (snapshot_request_image_ref (request, "b"), ==, UUID_A);
  g_assert_cmpint (request->max_chain_length, ==, 7);
}

static void
test_refusals (void)
{
  static const struct { const char *json, *says; } cases[] = {
    { "{\"nam\": \"x\"}", "\"nam\" is not known" },
    { "{\"name\": 1}", "\"name\" must be a string" },
    { "{\"name\": \"\"}", "1 to 255 bytes" },
    { "{\"disks\": []}", "\"disks\" must be \"all\", or a list" },
    { "{\"disks\": \"a\"}", "\"disks\" must be \"all\", or a list" },
    { "{\"disks\": [1]}", "must hold strings" },
    { "{\"quiesce\": \"maybe\"}", "none, try, require" },
    { "{\"quiesce\": true}", "\"quiesce\" must be a string" },
    { "{\"image\": \"whole\"}", "none, layer, full" },
    { "{\"format\": \"raw\"}", "of use for a full image only" },
    { "{\"image\": \"full\", \"format\": \"vmdk\"}", "qcow2, raw" },
    { "{\"deadline\": 5}", "\"deadline\" is not known" },
    { "{\"parents\": \"x\"}", "upload, require, ignore" },
    { "{\"metadata\": []}", "object of strings" },
    { "{\"metadata\": {\"k\": 1}}", "\"k\" must be a string" },
    { "{\"metadata\": {\"\": \"v\"}}", "must be a string of at most" },
    { "{\"metadata\": {\"qsnapd_parent\": \"v\"}}", "goes by" },
    { "{\"metadata\": {\"os_hidden\": \"true\"}}", "goes by" },
    { "{\"metadata\": {\"is_public\": \"true\"}}", "goes by" },
    { "{\"metadata\": {\"hash_algo\": \"md5\"}}", "goes by" },
    { "{\"metadata\": {\"os_glance_import_task\": \"x\"}}", "goes by" },
    { "{\"end_jobs\": \"yes\"}", "true or false" },
    { "{\"keep\": 1}", "true or false" },
    { "{\"max_chain_length\": 201}", "0 to 200" },
    { "{\"max_chain_length\": -1}", "0 to 200" },
    { "{\"overlay_folder\": \"relative\"}", "absolute path" },
    { "{\"image_ref\": \"not-a-uuid\"}", "UUID" },
    { "{\"image_ref\": {\"a\": 7}}", "UUID" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SnapshotRequest) request = model_try_request (cases[i].json, &error);

      g_assert_null (request);
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, cases[i].says));
    }
}

static void
test_long_names (void)
{
  g_autofree char *longest = g_strnfill (255, 'n');
  g_autofree char *fits = g_strdup_printf ("{\"name\": \"%s\"}", longest);
  g_autofree char *longer = g_strdup_printf ("{\"name\": \"%sn\"}", longest);
  g_autoptr (SnapshotRequest) request = model_request (fits);
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (request->name, ==, longest);
  g_assert_null (model_try_request (longer, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

/* Metadata is counted in characters, as Nova counts it. */
static void
test_long_metadata (void)
{
  g_autoptr (GString) longest = g_string_new (NULL);
  g_autofree char *fits = NULL;
  g_autofree char *longer = NULL;
  g_autoptr (SnapshotRequest) request = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 255; i++)
    g_string_append (longest, "\303\244");
  fits = g_strdup_printf ("{\"metadata\": {\"k\": \"%s\"}}", longest->str);
  longer = g_strdup_printf ("{\"metadata\": {\"k\": \"%sx\"}}", longest->str);
  request = model_request (fits);
  g_assert_cmpstr (json_object_get_string_member (request->metadata, "k"), ==, longest->str);
  g_assert_null (model_try_request (longer, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

static void
test_image_defaults (void)
{
  g_autoptr (SnapshotRequest) request = model_try_image_request ("{}", NULL);

  g_assert_nonnull (request);
  g_assert_true (g_str_has_prefix (request->name, "image-"));
  g_assert_true (request->first_disk);
  g_assert_cmpint (request->image, ==, IMAGE_FULL);
  g_assert_cmpstr (request->format, ==, "qcow2");
  g_assert_cmpint (request->deadline_s, ==, 300);
  g_assert_cmpint (request->late_policy, ==, LATE_STOP);
}

static void
test_image_everything (void)
{
  g_autoptr (SnapshotRequest) request = model_try_image_request (
      "{\"disks\": \"all\", \"format\": \"raw\", \"deadline\": 7, \"on_deadline\": \"leave\"}",
      NULL);

  g_assert_nonnull (request);
  g_assert_null (request->disks);
  g_assert_false (request->first_disk);
  g_assert_cmpstr (request->format, ==, "raw");
  g_assert_cmpint (request->deadline_s, ==, 7);
  g_assert_cmpint (request->late_policy, ==, LATE_LEAVE);
}

static void
test_image_refusals (void)
{
  static const struct { const char *json, *says; } cases[] = {
    { "{\"image\": \"full\"}", "\"image\" is not known" },
    { "{\"parents\": \"upload\"}", "\"parents\" is not known" },
    { "{\"deadline\": 0}", "seconds from 1 to 86400" },
    { "{\"deadline\": 86401}", "seconds from 1 to 86400" },
    { "{\"deadline\": \"5\"}", "seconds from 1 to 86400" },
    { "{\"on_deadline\": \"panic\"}", "stop, throttle, leave" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (model_try_image_request (cases[i].json, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, cases[i].says));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/snapshot-request/defaults", test_defaults);
  g_test_add_func ("/snapshot-request/everything", test_everything);
  g_test_add_func ("/snapshot-request/image-refs-of-the-guest", test_image_refs_of_the_guest);
  g_test_add_func ("/snapshot-request/refusals", test_refusals);
  g_test_add_func ("/snapshot-request/long-names", test_long_names);
  g_test_add_func ("/snapshot-request/long-metadata", test_long_metadata);
  g_test_add_func ("/snapshot-request/image-defaults", test_image_defaults);
  g_test_add_func ("/snapshot-request/image-everything", test_image_everything);
  g_test_add_func ("/snapshot-request/image-refusals", test_image_refusals);
  return g_test_run ();
}
