/* SPDX-License-Identifier: Apache-2.0 */

/* What counts as being in the store. */

#include <core/error.h>

#include "chain-model.h"
#include "image-records.h"
#include "image-removal.h"
#include "known-images.h"

#define OPERATION "0123abcd-4567-4890-abcd-ef0123456789"
#define BASE      10            /* inodes */
#define MIDDLE    11

typedef struct
{
  ChainModel model;
  Disk      *disk;              /* base <- middle <- active */
  GPtrArray *ids;               /* of char *: the image that stands alone, the one on that... */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  chain_model_set_up (&self->model, data);
  self->disk = chain_model_disk (&self->model, "a", BASE, 3);
  self->ids = g_ptr_array_new_with_free_func (g_free);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_ptr_array_unref (self->ids);
  chain_model_tear_down (&self->model, data);
}

static const char *
nth (Fixture *self, guint n)
{
  return g_ptr_array_index (self->ids, n);
}

static void
put_into_store (Fixture *self, const ImageInfo *info)
{
  g_autoptr (JsonNode) json = image_info_to_json (info);
  g_autofree char *text = json_to_string (json, FALSE);
  g_autofree char *path = g_strdup_printf ("%s/%s.json", self->model.folder, info->id);
  g_autofree char *bytes = g_strdup_printf ("%s/%s.qcow2", self->model.folder, info->id);

  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  g_assert_true (g_file_set_contents_full (bytes, "x", 1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* One more image, on the one before; @ino: of the layer that it holds; 0: that has gone. */
static void
add_image (Fixture *self, guint64 ino)
{
  FileFacts facts = { .dev = 1, .ino = ino, .size = 1024 * 1024 };
  UploadPlan upload = { .disk = (char *) "a", .path = (char *) "/d/a", .format = (char *) "qcow2" };
  g_autoptr (ImageInfo) info = image_info_new ();
  g_autoptr (GError) error = NULL;

  upload.parent_image = self->ids->len > 0 ? g_ptr_array_index (self->ids, self->ids->len - 1)
                                           : NULL;
  upload.image_id = upload_image_id (OPERATION, self->ids->len, 0);
  g_ptr_array_add (self->ids, upload.image_id);
  info->id = g_strdup (upload.image_id);
  info->name = g_strdup ("n");
  info->disk_format = g_strdup ("qcow2");
  info->status = g_strdup ("active");
  info->size = 1;
  put_into_store (self, info);
  g_assert_true (image_records_add (self->model.journal, "folder", "vm", &upload, &facts, info,
                                    &error));
  g_assert_no_error (error);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
begin (Fixture *self, GAsyncResult **result)
{
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (SnapshotRequest) request = model_request ("{}");

  g_ptr_array_add (disks, self->disk);
  known_images_async (self->model.operations, disks, request, NULL, keep_result, result);
}

/* Takes @result. */
static KnownImages *
end (GAsyncResult **result)
{
  g_autoptr (GError) error = NULL;
  KnownImages *known;

  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  known = known_images_finish (*result, &error);
  g_assert_no_error (error);
  g_clear_object (result);
  return known;
}

static const KnownImage *
of_layer (KnownImages *known, guint64 ino)
{
  g_autofree char *key = upload_layer_key (1, ino);

  return g_hash_table_lookup (known->layers, key);
}

static void
test_known (Fixture *self, gconstpointer data)
{
  g_autoptr (KnownImages) known = NULL;
  GAsyncResult *result = NULL;

  add_image (self, BASE);
  add_image (self, MIDDLE);
  begin (self, &result);
  known = end (&result);
  g_assert_cmpstr (of_layer (known, BASE)->image_id, ==, nth (self, 0));
  g_assert_true (of_layer (known, BASE)->whole);
  g_assert_cmpstr (of_layer (known, MIDDLE)->image_id, ==, nth (self, 1));
  g_assert_cmpstr (of_layer (known, MIDDLE)->parents[0], ==, nth (self, 0));
  g_assert_true (of_layer (known, MIDDLE)->whole);
}

/* The store still has it when it is asked, and is told to delete it right afterwards. */
static void
test_being_deleted (Fixture *self, gconstpointer data)
{
  g_autoptr (KnownImages) known = NULL;
  GAsyncResult *result = NULL;

  add_image (self, BASE);
  add_image (self, MIDDLE);
  begin (self, &result);
  image_removal_begin (self->model.operations, nth (self, 0));
  known = end (&result);
  g_assert_null (of_layer (known, BASE));
  g_assert_cmpstr (of_layer (known, MIDDLE)->image_id, ==, nth (self, 1));
  g_assert_false (of_layer (known, MIDDLE)->whole);
}

static void
test_deletion (Fixture *self, gconstpointer data)
{
  Operations *operations = self->model.operations;
  g_autoptr (GError) refused = agent_error_new (AGENT_ERROR_CONFLICT, NULL, "it is in use");
  g_autoptr (GError) unknown = agent_error_new (AGENT_ERROR_TIMEOUT, NULL, "no answer");

  g_assert_false (image_removal_has_begun (operations, "a"));
  image_removal_begin (operations, "a");
  g_assert_true (image_removal_has_begun (operations, "a"));
  image_removal_end (operations, "a", refused);
  g_assert_false (image_removal_has_begun (operations, "a"));

  image_removal_begin (operations, "a");
  image_removal_end (operations, "a", unknown);
  g_assert_true (image_removal_has_begun (operations, "a"));
  image_removal_end (operations, "a", NULL);
  g_assert_true (image_removal_has_begun (operations, "a"));
}

/* An image that has as many parents as can be followed is nobody's parent. */
static void
test_many_parents (Fixture *self, gconstpointer data)
{
  g_autoptr (KnownImages) known = NULL;
  GAsyncResult *result = NULL;

  g_assert_true (journal_begin (self->model.journal, NULL));
  add_image (self, BASE);
  while (self->ids->len < IMAGE_PARENTS_MAX)
    add_image (self, self->ids->len == IMAGE_PARENTS_MAX - 1 ? MIDDLE : 0);
  g_assert_true (journal_commit (self->model.journal, NULL));
  begin (self, &result);
  known = end (&result);
  g_assert_cmpuint (g_strv_length (of_layer (known, MIDDLE)->parents), ==, IMAGE_PARENTS_MAX - 1);
  g_assert_true (of_layer (known, MIDDLE)->whole);
  known_images_free (g_steal_pointer (&known));

  add_image (self, MIDDLE);
  begin (self, &result);
  known = end (&result);
  g_assert_cmpuint (g_strv_length (of_layer (known, MIDDLE)->parents), ==, 0);
  g_assert_false (of_layer (known, MIDDLE)->whole);
}

#define ADD(name, func) g_test_add ("/known-images/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("known", test_known);
  ADD ("being-deleted", test_being_deleted);
  ADD ("deletion", test_deletion);
  ADD ("many-parents", test_many_parents);
  return g_test_run ();
}
