/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "image-properties.h"
#include "model.h"

#define OPERATION "6d6f3a52-25f4-4c3c-8f5e-0f9d6f1f2a3b"
#define BASE      "33333333-3333-4333-8333-333333333333"
#define GUEST     "44444444-4444-4444-8444-444444444444"

typedef struct
{
  Disk      *disk;
  GPtrArray *uploads;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->disk = model_disk ("a");
  model_add_layer (self->disk, "/d/a", "qcow2", 11);
  model_add_layer (self->disk, "/d/a.0", "qcow2", 10);
  model_add_layer (self->disk, "/b/base", "raw", 5);
  self->uploads = g_ptr_array_new_with_free_func ((GDestroyNotify) upload_plan_free);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  disk_free (self->disk);
  g_ptr_array_unref (self->uploads);
}

static UploadPlan *
plan (Fixture *self, const char *json, GError **error)
{
  g_autoptr (SnapshotRequest) request = model_try_image_request (json, error);

  g_assert_nonnull (request);
  if (!upload_plan_full (self->disk, "/d/a.1", request, "nightly", OPERATION, self->uploads, error))
    return NULL;
  return g_ptr_array_index (self->uploads, self->uploads->len - 1);
}

static const char *
property (const ImageInfo *info, const char *name)
{
  return g_hash_table_lookup (info->properties, name);
}

static ImageInfo *
describe (const UploadPlan *upload, const char *metadata)
{
  g_autoptr (JsonNode) node = metadata != NULL ? json_from_string (metadata, NULL) : NULL;

  return image_properties_describe (upload, OPERATION, "g", GUEST,
                                    node != NULL ? json_node_get_object (node) : NULL);
}

/* The whole chain, the active layer by its name for life; nothing of it stays behind. */
static void
test_chain (Fixture *self, gconstpointer data)
{
  UploadPlan *upload = plan (self, "{}", NULL);
  const char *const paths[] = { "/d/a.1", "/d/a.0", "/b/base" };

  g_assert_cmpuint (upload->layers->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpstr (((ImageLayer *) g_ptr_array_index (upload->layers, i))->path, ==, paths[i]);
  g_assert_cmpuint (((ImageLayer *) g_ptr_array_index (upload->layers, 0))->ino, ==, 11);
  g_assert_cmpstr (((ImageLayer *) g_ptr_array_index (upload->layers, 2))->format, ==, "raw");
  g_assert_cmpstr (upload->format, ==, "qcow2");
  g_assert_true (upload->is_point);
  g_assert_false (upload->has_backing);
  g_assert_null (upload->parent_image);
}

static void
test_journal (Fixture *self, gconstpointer data)
{
  UploadPlan *upload = plan (self, "{\"format\": \"raw\"}", NULL);
  g_autoptr (ImageInfo) base = image_info_new ();
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (JsonNode) again = NULL;
  g_autoptr (UploadPlan) read = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  image_info_set (base, "os_type", "linux");
  upload_plan_inherit (upload, base);
  json = upload_plan_to_json (upload);
  before = json_to_string (json, FALSE);
  read = upload_plan_from_json (json, NULL);
  g_assert_nonnull (read);
  g_assert_cmpuint (read->layers->len, ==, 3);
  g_assert_cmpstr (read->format, ==, "raw");
  again = upload_plan_to_json (read);
  after = json_to_string (again, FALSE);
  g_assert_cmpstr (before, ==, after);
}

static void
test_refusals (Fixture *self, gconstpointer data)
{
  Layer *base = g_ptr_array_index (self->disk->layers, 2);
  struct { gboolean *flag; const char *says; } cases[] = {
    { &base->has_data_file, "external file" },
    { &base->encrypted, "encrypted" },
  };
  g_autofree char *path = base->path;
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) refusal = NULL;

      *cases[i].flag = TRUE;
      g_assert_null (plan (self, "{}", &refusal));
      g_assert_error (refusal, AGENT_ERROR, AGENT_ERROR_CONFLICT);
      g_assert_nonnull (strstr (refusal->message, cases[i].says));
      *cases[i].flag = FALSE;
    }
  base->path = NULL;
  g_assert_null (plan (self, "{}", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "no local file"));
}

/* What Nova writes, over what is inherited; the caller's metadata over both, and our names over
 * all. */
static void
test_properties (Fixture *self, gconstpointer data)
{
  UploadPlan *upload = plan (self, "{\"image_ref\": \"" BASE "\"}", NULL);
  g_autoptr (ImageInfo) base = image_info_new ();
  g_autoptr (ImageInfo) info = NULL;

  base->min_ram = 512;
  base->min_disk = 3;
  image_info_set (base, "kernel_id", "k");
  image_info_set (base, "ramdisk_id", "r");
  image_info_set (base, "os_type", "linux");
  image_info_set (base, "image_type", "base");
  image_info_set (base, "hw_qemu_guest_agent", "yes");
  image_info_set (base, "img_signature", "never");
  image_info_set (base, "cinder_encryption_key_id", "never");
  image_info_set (base, "os_glance_importing_to_stores", "never");
  image_info_set (base, "qsnapd_point", "never");
  image_info_set (base, "owner_id", "somebody else");
  image_info_set (base, "user_id", "somebody else");
  image_info_set (base, "instance_uuid", "another guest");
  upload_plan_inherit (upload, base);
  info = describe (upload, "{\"os_type\": \"windows\", \"mine\": \"1\"}");

  g_assert_cmpstr (info->name, ==, "nightly");
  g_assert_cmpstr (info->disk_format, ==, "qcow2");
  g_assert_false (info->hidden);
  g_assert_cmpint (info->min_ram, ==, 512);
  g_assert_cmpint (info->min_disk, ==, 3);
  g_assert_cmpstr (property (info, "kernel_id"), ==, "k");
  g_assert_cmpstr (property (info, "ramdisk_id"), ==, "r");
  g_assert_cmpstr (property (info, "hw_qemu_guest_agent"), ==, "yes");
  g_assert_cmpstr (property (info, "image_type"), ==, "snapshot");
  g_assert_cmpstr (property (info, "image_location"), ==, "snapshot");
  g_assert_cmpstr (property (info, "image_state"), ==, "available");
  g_assert_cmpstr (property (info, "instance_uuid"), ==, GUEST);
  g_assert_cmpstr (property (info, "base_image_ref"), ==, BASE);
  g_assert_cmpstr (property (info, "os_type"), ==, "windows");
  g_assert_cmpstr (property (info, "mine"), ==, "1");
  g_assert_cmpstr (property (info, "qsnapd_kind"), ==, "full");
  g_assert_cmpstr (property (info, "qsnapd_point"), ==, OPERATION);
  g_assert_null (property (info, "qsnapd_parent"));
  g_assert_null (property (info, "img_signature"));
  g_assert_null (property (info, "cinder_encryption_key_id"));
  g_assert_null (property (info, "os_glance_importing_to_stores"));
  /* The store knows whose it is. */
  g_assert_null (property (info, "owner_id"));
  g_assert_null (property (info, "user_id"));
}

/* A disk's size goes up to whole GiB. */
static void
test_min_disk (Fixture *self, gconstpointer data)
{
  UploadPlan *upload = plan (self, "{}", NULL);
  g_autoptr (ImageInfo) info = NULL;

  upload->virtual_size = ((gint64) 4 << 30) + 512;
  info = describe (upload, NULL);
  g_assert_cmpint (info->min_disk, ==, 5);
}

static void
test_too_many (Fixture *self, gconstpointer data)
{
  UploadPlan *upload = plan (self, "{}", NULL);
  g_autoptr (ImageInfo) info = describe (upload, NULL);
  guint room = 128 - 2 - g_hash_table_size (info->properties);
  g_autoptr (JsonObject) metadata = json_object_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i <= room; i++)
    {
      g_autofree char *name = g_strdup_printf ("k%u", i);

      g_assert_true (image_properties_check (upload, metadata, NULL));
      json_object_set_string_member (metadata, name, "v");
    }
  g_assert_false (image_properties_check (upload, metadata, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

#define ADD(name, func) g_test_add ("/full-plan/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("chain", test_chain);
  ADD ("journal", test_journal);
  ADD ("refusals", test_refusals);
  ADD ("properties", test_properties);
  ADD ("min-disk", test_min_disk);
  ADD ("too-many", test_too_many);
  return g_test_run ();
}
