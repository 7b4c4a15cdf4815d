/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "model.h"
#include "upload-plan.h"

#define OPERATION "0123abcd-4567-4890-abcd-ef0123456789"
#define REF "11111111-1111-4111-8111-111111111111"

typedef struct
{
  Disk       *disk;             /* base <- middle <- active */
  gboolean    is_written;       /* the guest has written to the base */
  GHashTable *known;
  GPtrArray  *uploads;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->disk = model_disk ("a");
  model_add_layer (self->disk, "/d/a.1", "qcow2", 11);
  model_add_layer (self->disk, "/d/a.0", "qcow2", 10);
  model_add_layer (self->disk, "/b/base", "raw", 5);
  self->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       (GDestroyNotify) known_image_free);
  self->uploads = g_ptr_array_new_with_free_func ((GDestroyNotify) upload_plan_free);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  disk_free (self->disk);
  g_hash_table_unref (self->known);
  g_ptr_array_unref (self->uploads);
}

/* @parents: nearest first, separated by blanks; (nullable) */
static void
know (Fixture *self, guint64 ino, const char *image, const char *parents)
{
  g_auto (GStrv) list = g_strsplit (parents != NULL ? parents : "", " ", -1);

  g_hash_table_insert (self->known, upload_layer_key (1, ino),
                       known_image_new (image, (const char *const *) list, TRUE));
}

static gboolean
plan (Fixture *self, const char *request_json, GError **error)
{
  g_autoptr (SnapshotRequest) request = model_request (request_json);
  const char *reference = upload_plan_reference (self->disk, request, self->is_written,
                                                 self->known);

  return upload_plan_disk (self->disk, "/d/a.1", request, reference, "g", "nightly", OPERATION,
                           self->known, self->uploads, error);
}

static UploadPlan *
nth (Fixture *self, guint n)
{
  return g_ptr_array_index (self->uploads, n);
}

/* Nothing is there: bottom up, each naming the one before as its parent. */
static void
test_all_missing (Fixture *self, gconstpointer data)
{
  g_autofree char *chain = NULL;

  g_assert_true (plan (self, "{}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);

  g_assert_cmpstr (nth (self, 0)->path, ==, "/b/base");
  g_assert_null (nth (self, 0)->parent_image);
  g_assert_false (nth (self, 0)->has_backing);
  g_assert_false (nth (self, 0)->is_point);
  g_assert_cmpstr (nth (self, 0)->format, ==, "raw");

  g_assert_cmpstr (nth (self, 1)->path, ==, "/d/a.0");
  g_assert_cmpstr (nth (self, 1)->parent_image, ==, nth (self, 0)->image_id);
  g_assert_true (nth (self, 1)->has_backing);

  g_assert_cmpstr (nth (self, 2)->path, ==, "/d/a.1");
  g_assert_cmpstr (nth (self, 2)->parent_image, ==, nth (self, 1)->image_id);
  g_assert_true (nth (self, 2)->is_point);
  g_assert_cmpstr (nth (self, 2)->name, ==, "nightly");
  chain = g_strdup_printf ("%s,%s", nth (self, 1)->image_id, nth (self, 0)->image_id);
  g_assert_cmpstr (nth (self, 2)->chain, ==, chain);
}

static void
test_all_known (Fixture *self, gconstpointer data)
{
  know (self, 5, "base-image", NULL);
  know (self, 10, "middle-image", "base-image");
  g_assert_true (plan (self, "{\"parents\": \"require\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "middle-image");
  g_assert_cmpstr (nth (self, 0)->chain, ==, "middle-image,base-image");
}

/* The middle's image stands on another base than the one that we would name: it is of no use. */
static void
test_known_over_another_parent (Fixture *self, gconstpointer data)
{
  know (self, 5, "base-image", NULL);
  know (self, 10, "middle-image", "other-base");
  g_assert_true (plan (self, "{}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 2);
  g_assert_cmpstr (nth (self, 0)->path, ==, "/d/a.0");
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "base-image");
}

/* Layers that were merged into the middle have left their images behind, which are needed still. */
static void
test_merged (Fixture *self, gconstpointer data)
{
  know (self, 5, "base-image", NULL);
  know (self, 10, "third-image", "second-image first-image base-image");
  g_assert_true (plan (self, "{\"parents\": \"require\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "third-image");
  g_assert_cmpstr (nth (self, 0)->chain, ==, "third-image,second-image,first-image,base-image");
}

/* One of these has gone from the store: what is in the layer goes up as one. */
static void
test_merged_and_lost (Fixture *self, gconstpointer data)
{
  g_autofree char *chain = NULL;

  know (self, 5, "base-image", NULL);
  know (self, 10, "third-image", "second-image");
  g_assert_true (plan (self, "{}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 2);
  g_assert_cmpstr (nth (self, 0)->path, ==, "/d/a.0");
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "base-image");
  chain = g_strconcat (nth (self, 0)->image_id, ",base-image", NULL);
  g_assert_cmpstr (nth (self, 1)->chain, ==, chain);
}

/* A move into the base was called off: what stands on it is in the store all the same. */
static void
test_spent (Fixture *self, gconstpointer data)
{
  know (self, 5, NULL, NULL);
  know (self, 10, "second-image", "first-image base-image");
  g_assert_true (plan (self, "{\"parents\": \"require\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "second-image");
  g_assert_cmpstr (nth (self, 0)->chain, ==, "second-image,first-image,base-image");
}

/* ... but not over another base than the caller names, and not when nobody knows what is below; or
 * when one of its parents has gone: then all goes up as it is. */
static void
test_spent_in_vain (Fixture *self, gconstpointer data)
{
  static const char *const none[] = { "first-image", NULL };

  model_add_layer (self->disk, "/b/lowest", "raw", 4);
  know (self, 5, NULL, NULL);
  know (self, 10, "second-image", "first-image");
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);
  g_ptr_array_set_size (self->uploads, 0);
  g_hash_table_remove_all (self->known);

  know (self, 5, NULL, NULL);
  know (self, 10, "second-image", "first-image");
  g_assert_true (plan (self, "{}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 4);
  g_ptr_array_set_size (self->uploads, 0);
  g_hash_table_remove_all (self->known);

  know (self, 4, "first-image", NULL);
  know (self, 5, NULL, NULL);
  g_hash_table_insert (self->known, upload_layer_key (1, 10),
                       known_image_new ("second-image", none, FALSE));
  g_assert_true (plan (self, "{}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);
}

/* The base itself has taken layers in: it is not what the caller's image holds any more. */
static void
test_merged_into_base (Fixture *self, gconstpointer data)
{
  g_ptr_array_remove_index (self->disk->layers, 1);
  know (self, 5, "first-image", REF);
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "first-image");
  g_assert_cmpstr (nth (self, 0)->chain, ==, "first-image," REF);

  g_ptr_array_set_size (self->uploads, 0);
  g_assert_true (plan (self, "{\"parents\": \"require\"}", NULL));
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "first-image");
}

/* The guest has written to the base before it was uploaded: that image holds it, and not the one that
 * the base was made from. */
static void
test_base_has_an_image (Fixture *self, gconstpointer data)
{
  know (self, 5, "base-image", NULL);
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 2);
  g_assert_cmpstr (nth (self, 0)->path, ==, "/d/a.0");
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, "base-image");
  g_assert_cmpstr (nth (self, 0)->chain, ==, "base-image");
}

/* ... or that image has lost a parent, or the base is spent: it goes up as it is. */
static void
test_base_has_no_image_of_use (Fixture *self, gconstpointer data)
{
  g_hash_table_insert (self->known, upload_layer_key (1, 5),
                       known_image_new ("base-image", NULL, FALSE));
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);
  g_ptr_array_set_size (self->uploads, 0);
  g_hash_table_remove_all (self->known);

  know (self, 5, NULL, NULL);
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);
}

static void
test_base_is_written (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->is_written = TRUE;
  g_assert_false (plan (self, "{\"image_ref\": \"" REF "\", \"parents\": \"require\"}",
                        &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "/b/base"));

  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 3);
  g_assert_cmpstr (nth (self, 0)->path, ==, "/b/base");
  g_assert_null (nth (self, 0)->parent_image);
}

static void
test_image_ref (Fixture *self, gconstpointer data)
{
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 2);
  g_assert_cmpstr (nth (self, 0)->parent_image, ==, REF);
  g_assert_true (g_str_has_suffix (nth (self, 1)->chain, REF));
}

static void
test_required_but_missing (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  know (self, 5, "base-image", NULL);
  g_assert_false (plan (self, "{\"parents\": \"require\"}", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "/d/a.0"));
}

static void
test_ignored (Fixture *self, gconstpointer data)
{
  g_assert_true (plan (self, "{\"parents\": \"ignore\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_null (nth (self, 0)->parent_image);
  g_assert_true (nth (self, 0)->has_backing);
}

/* What is below a layer that is in no store is not what the one above stands on. */
static void
test_ignored_gap (Fixture *self, gconstpointer data)
{
  know (self, 5, "base-image", NULL);
  g_assert_true (plan (self, "{\"parents\": \"ignore\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_null (nth (self, 0)->parent_image);
  g_assert_cmpstr (nth (self, 0)->chain, ==, "");
}

/* An image over such a gap that names what is below it as its parent is of no use. */
static void
test_ignored_gap_below (Fixture *self, gconstpointer data)
{
  model_add_layer (self->disk, "/b/lowest", "raw", 4);
  know (self, 4, "lowest-image", NULL);
  know (self, 10, "middle-image", "lowest-image");
  g_assert_true (plan (self, "{\"parents\": \"ignore\"}", NULL));
  g_assert_cmpuint (self->uploads->len, ==, 1);
  g_assert_null (nth (self, 0)->parent_image);
}

/* Two disks over one base: it goes up once. */
static void
test_shared_base (Fixture *self, gconstpointer data)
{
  g_autoptr (Disk) other = model_disk ("b");
  g_autoptr (SnapshotRequest) request = model_request ("{}");

  model_add_layer (other, "/d/b", "qcow2", 21);
  model_add_layer (other, "/b/base", "raw", 5);
  g_assert_true (plan (self, "{}", NULL));
  g_assert_true (upload_plan_disk (other, "/d/b.0", request, NULL, "g", "n", OPERATION,
                                   self->known, self->uploads, NULL));
  g_assert_cmpuint (self->uploads->len, ==, 4);
  g_assert_cmpstr (nth (self, 3)->path, ==, "/d/b.0");
  g_assert_cmpstr (nth (self, 3)->parent_image, ==, nth (self, 0)->image_id);
}

static void
test_not_uploadable (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Layer *base = g_ptr_array_index (self->disk->layers, 2);

  base->known = FALSE;
  g_assert_false (plan (self, "{}", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);
  g_ptr_array_set_size (self->uploads, 0);
  g_assert_true (plan (self, "{\"image_ref\": \"" REF "\"}", &error));
  g_assert_no_error (error);

  disk_get_active (self->disk)->has_data_file = TRUE;
  g_assert_false (plan (self, "{\"image_ref\": \"" REF "\"}", &error));
  g_assert_nonnull (strstr (error->message, "external file"));
}

static void
test_ids (void)
{
  g_autofree char *first = upload_image_id (OPERATION, 0, 0);
  g_autofree char *again = upload_image_id (OPERATION, 0, 0);
  g_autofree char *retry = upload_image_id (OPERATION, 0, 1);
  g_autofree char *second = upload_image_id (OPERATION, 1, 0);

  g_assert_true (g_uuid_string_is_valid (first));
  g_assert_cmpstr (first, ==, again);
  g_assert_cmpstr (first, !=, retry);
  g_assert_cmpstr (first, !=, second);
}

#define ADD(name, func) g_test_add ("/upload-plan/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("all-missing", test_all_missing);
  ADD ("all-known", test_all_known);
  ADD ("known-over-another-parent", test_known_over_another_parent);
  ADD ("merged", test_merged);
  ADD ("merged-and-lost", test_merged_and_lost);
  ADD ("spent", test_spent);
  ADD ("spent-in-vain", test_spent_in_vain);
  ADD ("merged-into-base", test_merged_into_base);
  ADD ("base-has-an-image", test_base_has_an_image);
  ADD ("base-has-no-image-of-use", test_base_has_no_image_of_use);
  ADD ("base-is-written", test_base_is_written);
  ADD ("image-ref", test_image_ref);
  ADD ("required-but-missing", test_required_but_missing);
  ADD ("ignored", test_ignored);
  ADD ("ignored-gap", test_ignored_gap);
  ADD ("ignored-gap-below", test_ignored_gap_below);
  ADD ("shared-base", test_shared_base);
  ADD ("not-uploadable", test_not_uploadable);
  g_test_add_func ("/upload-plan/ids", test_ids);
  return g_test_run ();
}
