/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "backup.h"
#include "image-records.h"
#include "lost-points.h"
#include "model.h"
#include "operation-private.h"
#include "points-json.h"

#define FIRST  "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"
#define THIRD  "33333333-3333-4333-8333-333333333333"
#define FOURTH "44444444-4444-4444-8444-444444444444"

typedef struct
{
  char    *folder;
  Journal *journal;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  self->folder = model_folder ();
  path = g_build_filename (self->folder, "journal", NULL);
  self->journal = journal_open (path, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_object_unref (self->journal);
  model_remove_folder (self->folder);
  g_free (self->folder);
}

static Point *
make_point (const char *id, const char *name, gint64 created_us)
{
  Point *point = point_new ();

  point->id = g_strdup (id);
  point->operation = g_strdup (id);
  point->name = g_strdup (name);
  point->created_us = created_us;
  return point;
}

static PointDisk *
add_disk (Point *point, const char *name, const char *path, guint64 dev, guint64 ino)
{
  PointDisk *disk = point_add_disk (point);

  disk->disk = g_strdup (name);
  disk->path = g_strdup (path);
  disk->dev = dev;
  disk->ino = ino;
  disk->virtual_size = 1 << 26;
  disk->format = g_strdup ("qcow2");
  return disk;
}

static void
add (Fixture *self, const char *guest, Point *point)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (points_add (self->journal, guest, point, &error));
  g_assert_no_error (error);
}

static GPtrArray *
list (Fixture *self, const char *guest)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *points = points_list (self->journal, guest, &error);

  g_assert_no_error (error);
  return points;
}

static const PointDisk *
disk_of (GPtrArray *points, guint point, guint disk)
{
  Point *self = g_ptr_array_index (points, point);

  return g_ptr_array_index (self->disks, disk);
}

/* Two guests, whose points live in files of the same numbers: FIRST and SECOND of "g" share the
 * layer of disk a. */
static void
fill (Fixture *self)
{
  g_autoptr (Point) first = make_point (FIRST, "daily", 10);
  g_autoptr (Point) second = make_point (SECOND, "daily", 20);
  g_autoptr (Point) other = make_point (THIRD, "daily", 5);

  add_disk (first, "a", "/d/a.0", 1, 10);
  add_disk (second, "a", "/d/a.0", 1, 10);
  add_disk (second, "b", "/d/b.0", 1, 20)->image_id = g_strdup (FOURTH);
  second->pinned = TRUE;
  second->metadata = json_from_string ("{\"k\":\"v\"}", NULL);
  add_disk (other, "a", "/d/a.0", 1, 10);
  add (self, "g", second);
  add (self, "g", first);
  add (self, "g", first);
  add (self, "other", other);
}

static void
test_list (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) points = NULL;
  g_autoptr (GError) error = NULL;
  Point *second;

  fill (self);
  points = list (self, "g");
  g_assert_cmpuint (points->len, ==, 2);
  second = g_ptr_array_index (points, 1);
  g_assert_cmpstr (second->id, ==, SECOND);
  g_assert_cmpint (second->created_us, ==, 20);
  g_assert_true (second->pinned);
  g_assert_false (second->quiesced);
  g_assert_cmpuint (second->disks->len, ==, 2);
  g_assert_cmpstr (disk_of (points, 1, 1)->disk, ==, "b");
  g_assert_cmpstr (disk_of (points, 1, 1)->image_id, ==, FOURTH);
  g_assert_cmpuint (disk_of (points, 1, 1)->ino, ==, 20);

  g_assert_true (points_find (points, SECOND, &error) == second);
  g_assert_null (points_find (points, "daily", &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);
  g_assert_null (points_find (points, THIRD, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_ptr_array_remove_index (points, 0);
  g_assert_true (points_find (points, "daily", &error) == second);
}

/* A point loses the disk whose layer is written to, and is none when it was the last. */
static void
test_forget_layer (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) points = NULL, others = NULL;
  g_autoptr (GError) error = NULL;

  fill (self);
  g_assert_true (points_forget_layer (self->journal, "g", 1, 10, &error));
  points = list (self, "g");
  g_assert_cmpuint (points->len, ==, 1);
  g_assert_cmpstr (((Point *) g_ptr_array_index (points, 0))->id, ==, SECOND);
  g_assert_cmpuint (((Point *) g_ptr_array_index (points, 0))->disks->len, ==, 1);
  g_assert_cmpstr (disk_of (points, 0, 0)->disk, ==, "b");
  others = list (self, "other");
  g_assert_cmpuint (others->len, ==, 1);

  g_assert_true (points_forget (self->journal, THIRD, &error));
  g_assert_true (points_forget (self->journal, THIRD, &error));
  g_assert_no_error (error);
  g_ptr_array_unref (others);
  others = list (self, "other");
  g_assert_cmpuint (others->len, ==, 0);
}

static void
test_move_layer (Fixture *self, gconstpointer data)
{
  const FileFacts from = { .dev = 1, .ino = 10, .born_ns = 5 };
  const FileFacts to = { .dev = 1, .ino = 30, .allocated = 4096, .born_ns = 6 };
  g_autoptr (GPtrArray) points = NULL, others = NULL;
  g_autoptr (GError) error = NULL;

  fill (self);
  g_assert_true (points_move_layer (self->journal, "g", &from, "/d/base", "raw", &to, &error));
  g_assert_no_error (error);
  points = list (self, "g");
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpstr (disk_of (points, i, 0)->path, ==, "/d/base");
      g_assert_cmpstr (disk_of (points, i, 0)->format, ==, "raw");
      g_assert_cmpuint (disk_of (points, i, 0)->ino, ==, 30);
      g_assert_cmpint (disk_of (points, i, 0)->allocated, ==, 4096);
    }
  g_assert_cmpuint (disk_of (points, 1, 1)->ino, ==, 20);
  others = list (self, "other");
  g_assert_cmpuint (disk_of (others, 0, 0)->ino, ==, 10);
}

/* A file was taken away by hand, and its number given to the next overlay: what lived in it is not
 * in that. */
static void
test_number_given_again (Fixture *self, gconstpointer data)
{
  g_autofree char *layer = model_image (self->folder, "disk.1", NULL);
  const FileFacts facts = model_look (layer);
  g_autoptr (Point) gone = make_point (FIRST, "gone", 10);
  g_autoptr (Point) half = make_point (SECOND, "half", 20);
  g_autoptr (Backup) job = backup_new ();
  DiskPlan *plan = g_new0 (DiskPlan, 1);
  g_autoptr (GPtrArray) points = NULL;
  g_autoptr (GError) error = NULL;

  add_disk (gone, "a", "/d/a.3", facts.dev, facts.ino);
  add_disk (half, "a", "/d/a.4", facts.dev, 7);
  add_disk (half, "b", "/d/b.0", facts.dev, 8);
  add (self, "g", gone);
  add (self, "g", half);
  plan->disk = g_strdup ("a");
  plan->layer = g_strdup (layer);
  plan->active_format = g_strdup ("qcow2");
  plan->layer_dev = plan->overlay_dev = (gint64) facts.dev;
  plan->layer_ino = (gint64) facts.ino;
  plan->overlay_ino = 7;
  g_ptr_array_add (job->disks, plan);
  job->operation = operation_new (THIRD, "snapshot", "g");
  job->point_us = 30;

  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (points_record (self->journal, job, &error));
      g_assert_no_error (error);
    }
  points = list (self, "g");
  g_assert_cmpuint (points->len, ==, 2);
  g_assert_cmpstr (((Point *) g_ptr_array_index (points, 0))->id, ==, SECOND);
  g_assert_cmpuint (((Point *) g_ptr_array_index (points, 0))->disks->len, ==, 1);
  g_assert_cmpstr (disk_of (points, 0, 0)->disk, ==, "b");
  g_assert_cmpstr (((Point *) g_ptr_array_index (points, 1))->id, ==, THIRD);
  g_assert_cmpstr (disk_of (points, 1, 0)->path, ==, layer);
  g_assert_cmpint (disk_of (points, 1, 0)->born_ns, ==, facts.born_ns);
}

/* The same, where no point is taken on the new file: its birth tells it from the one that was. */
static void
test_born_later (Fixture *self, gconstpointer data)
{
  const FileFacts from = { .dev = 1, .ino = 10, .born_ns = 5 };
  const FileFacts to = { .dev = 1, .ino = 30, .born_ns = 6 };
  const FileFacts renumbered = { .dev = 2, .ino = 30, .born_ns = 6 };
  static const gint64 births[] = { 5, 4, 0 };
  static const char *const ids[] = { FIRST, SECOND, THIRD };
  g_autoptr (GPtrArray) points = NULL;
  g_autoptr (GError) error = NULL;
  PointDisk *disk;

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (Point) point = make_point (ids[i], NULL, i);

      disk = add_disk (point, "a", "/d/a.0", 1, 10);
      disk->born_ns = births[i];
      g_assert_cmpint (point_disk_is_in (disk, "/d/a.0", &from), ==, births[i] != 4);
      add (self, "g", point);
    }
  g_assert_true (points_move_layer (self->journal, "g", &from, "/d/base", "raw", &to, &error));
  g_assert_no_error (error);
  points = list (self, "g");
  g_assert_cmpuint (disk_of (points, 0, 0)->ino, ==, 30);
  g_assert_cmpint (disk_of (points, 0, 0)->born_ns, ==, 6);
  g_assert_cmpuint (disk_of (points, 1, 0)->ino, ==, 10);
  g_assert_cmpint (disk_of (points, 1, 0)->born_ns, ==, 4);
  g_assert_cmpuint (disk_of (points, 2, 0)->ino, ==, 30);

  disk = g_ptr_array_index (((Point *) g_ptr_array_index (points, 0))->disks, 0);
  point_disk_meet (disk, "/d/other", &renumbered);
  g_assert_cmpuint (disk->dev, ==, 1);
  point_disk_meet (disk, "/d/base", &renumbered);
  g_assert_cmpuint (disk->dev, ==, 2);
  disk = g_ptr_array_index (((Point *) g_ptr_array_index (points, 1))->disks, 0);
  point_disk_meet (disk, "/d/a.0", &from);
  g_assert_cmpuint (disk->ino, ==, 0);
}

/* The host was started anew, and the device has another number: the file is the same; another file
 * of that inode is not. */
static void
test_other_device (Fixture *self, gconstpointer data)
{
  g_autofree char *path = model_image (self->folder, "a.0", NULL);
  FileFacts facts = model_look (path);
  g_autoptr (Point) same = make_point (FIRST, "same", 1);
  g_autoptr (Point) other = make_point (SECOND, "other", 2);
  const PointDisk *here = add_disk (same, "a", path, facts.dev + 1, facts.ino);
  const PointDisk *there = add_disk (other, "a", "/elsewhere/a.0", facts.dev + 1, facts.ino);
  g_autoptr (GPtrArray) points = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (point_disk_is_in (here, path, &facts));
  g_assert_false (point_disk_is_in (there, path, &facts));
  add (self, "g", same);
  add (self, "g", other);
  g_assert_true (points_forget_layer (self->journal, "g", facts.dev, facts.ino, &error));
  g_assert_no_error (error);
  points = list (self, "g");
  g_assert_cmpuint (points->len, ==, 1);
  g_assert_cmpstr (((Point *) g_ptr_array_index (points, 0))->id, ==, SECOND);
}

/* --- which came from which --- */

static void
assert_parent (GPtrArray *points, guint index, LayerTree *tree, const char *id, ParentBy by)
{
  ParentBy told;
  const Point *parent = points_find_parent (points, index, tree, &told);

  g_assert_cmpstr (parent != NULL ? parent->id : NULL, ==, id);
  g_assert_cmpint (told, ==, by);
}

/*   base.0 (FIRST) <- a.1 (nothing) <- a.2 (SECOND) <- a.4 active
 *                \-- a.3 (THIRD), a branch left behind                  */
static void
test_parents (Fixture *self, gconstpointer data)
{
  g_autofree char *base = model_image (self->folder, "a.0", NULL);
  g_autofree char *one = model_image (self->folder, "a.1", "a.0");
  g_autofree char *two = model_image (self->folder, "a.2", "a.1");
  g_autofree char *three = model_image (self->folder, "a.3", base);
  g_autoptr (GPtrArray) points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  static const char *const ids[] = { FIRST, SECOND, THIRD };
  const char *const paths[] = { base, two, three };
  g_autoptr (LayerTree) nothing = layer_tree_new ();
  g_autoptr (LayerTree) tree = layer_tree_new ();
  FileFacts used = model_look (two), branch = model_look (three);

  for (guint i = 0; i < 3; i++)
    {
      Point *point = make_point (ids[i], NULL, 10 * i);
      FileFacts facts = model_look (paths[i]);

      add_disk (point, "a", paths[i], facts.dev + 1, facts.ino);
      g_ptr_array_add (points, point);
    }
  assert_parent (points, 0, nothing, NULL, PARENT_BY_TIME);
  assert_parent (points, 2, nothing, SECOND, PARENT_BY_TIME);

  points_look (points, tree);
  g_assert_cmpuint (disk_of (points, 2, 0)->dev, ==, branch.dev);
  g_assert_cmpint (disk_of (points, 2, 0)->allocated, ==, (gint64) branch.allocated);
  assert_parent (points, 0, tree, NULL, PARENT_BY_LAYERS);
  assert_parent (points, 1, tree, FIRST, PARENT_BY_LAYERS);
  assert_parent (points, 2, tree, FIRST, PARENT_BY_LAYERS);

  g_assert_false (layer_tree_knows_use (tree));
  layer_tree_use (tree, used.dev, used.ino);
  g_assert_true (layer_tree_is_used (tree, used.dev, model_look (base).ino));
  g_assert_false (layer_tree_is_used (tree, branch.dev, branch.ino));
}

/* The layer of a point was taken away, and a layer of the chain has its number: the point is in no
 * chain. */
static void
test_gone (Fixture *self, gconstpointer data)
{
  g_autofree char *base = model_image (self->folder, "a.0", NULL);
  g_autofree char *one = model_image (self->folder, "a.1", "a.0");
  g_autoptr (GPtrArray) points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  g_autoptr (LayerTree) tree = layer_tree_new ();
  g_autoptr (Disk) disk = model_disk ("a");
  const char *const paths[] = { one, base };
  static const char *const ids[] = { FIRST, SECOND };

  for (guint i = 0; i < 2; i++)
    {
      Layer *layer = model_add_layer (disk, paths[i], "qcow2", 0);
      Point *point = make_point (ids[i], NULL, i);

      layer->facts = model_look (paths[i]);
      layer->facts.born_ns = 7;
      g_ptr_array_add (points, point);
      add_disk (point, "a", "/gone", layer->facts.dev, layer->facts.ino)->born_ns = i == 0 ? 6 : 7;
    }
  layer_tree_add_disk (tree, disk);
  points_look (points, tree);
  g_assert_cmpuint (disk_of (points, 0, 0)->ino, ==, 0);
  g_assert_cmpuint (disk_of (points, 1, 0)->ino, ==, model_look (base).ino);
}

/* A guest may write any header into a raw disk: it is no chain. */
static void
test_raw_is_a_base (Fixture *self, gconstpointer data)
{
  g_autofree char *base = model_image (self->folder, "a.0", NULL);
  g_autofree char *forged = model_image (self->folder, "a.1", base);
  FileFacts facts = model_look (forged);
  g_autoptr (LayerTree) tree = layer_tree_new ();
  guint64 dev = 0, ino = 0;

  layer_tree_read (tree, forged, NULL);
  g_assert_cmpint (layer_tree_get_below (tree, facts.dev, facts.ino, &dev, &ino), ==,
                   LAYER_BELOW_UNKNOWN);
  layer_tree_read (tree, forged, "raw");
  g_assert_cmpint (layer_tree_get_below (tree, facts.dev, facts.ino, &dev, &ino), ==,
                   LAYER_BELOW_NONE);
}

/* A header that leads in a circle ends somewhere. */
static void
test_circle (Fixture *self, gconstpointer data)
{
  g_autofree char *zero = model_image (self->folder, "a.0", NULL);
  g_autofree char *one = model_image (self->folder, "a.1", "a.0");
  g_autofree char *again = NULL;
  g_autoptr (GPtrArray) points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  g_autoptr (LayerTree) tree = layer_tree_new ();
  FileFacts facts = model_look (one);

  again = model_image (self->folder, "a.0", "a.1");
  g_ptr_array_add (points, make_point (FIRST, NULL, 1));
  add_disk (g_ptr_array_index (points, 0), "a", one, facts.dev, facts.ino);
  points_look (points, tree);
  layer_tree_use (tree, facts.dev, facts.ino);
  g_assert_true (layer_tree_is_used (tree, facts.dev, model_look (zero).ino));
  assert_parent (points, 0, tree, NULL, PARENT_BY_TIME);
}

/* --- JSON --- */

static void
test_json (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) points = NULL;
  g_autoptr (LayerTree) tree = layer_tree_new ();
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (Point) back = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *second, *disk;

  fill (self);
  points = list (self, "g");
  ((Point *) g_ptr_array_index (points, 1))->created_us = G_GINT64_CONSTANT (1700000000000001);
  json = points_to_json (points, tree);
  second = json_array_get_object_element (json_node_get_array (json), 1);
  g_assert_cmpstr (json_object_get_string_member (second, "taken"), ==,
                   "2023-11-14T22:13:20.000001Z");
  g_assert_cmpstr (json_object_get_string_member (second, "parent"), ==, FIRST);
  g_assert_true (json_object_get_boolean_member (second, "pinned"));
  disk = json_array_get_object_element (json_object_get_array_member (second, "disks"), 0);
  g_assert_cmpstr (json_object_get_string_member (disk, "layer"), ==, "/d/a.0");
  g_assert_true (json_object_get_null_member (disk, "in_chain"));
  g_assert_true (json_object_get_null_member (disk, "image_id"));

  back = point_from_json (json_array_get_element (json_node_get_array (json), 1), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (back->id, ==, SECOND);
  g_assert_cmpstr (back->name, ==, "daily");
  g_assert_cmpint (back->created_us, ==, G_GINT64_CONSTANT (1700000000000001));
  g_assert_true (back->pinned);
  g_assert_true (json_node_equal (back->metadata,
                                  ((Point *) g_ptr_array_index (points, 1))->metadata));
  g_assert_cmpstr (((PointDisk *) g_ptr_array_index (back->disks, 1))->image_id, ==, FOURTH);
}

static void
test_bad_json (void)
{
#define HEAD "{\"id\": \"" FIRST "\", \"taken\": \"2023-11-14T22:13:20Z\""
#define DISK "{\"disk\": \"a\", \"layer\": \"/d/a.0\", \"format\": \"qcow2\"}"
  static const char *const bad[] = {
    "7", "{}", "{\"id\": \"no-uuid\"}", HEAD "}", HEAD ", \"disks\": []}",
    HEAD ", \"disks\": [7]}", HEAD ", \"disks\": [{\"disk\": \"a\"}]}",
    HEAD ", \"disks\": [{\"disk\": \"a\", \"layer\": \"a.0\", \"format\": \"qcow2\"}]}",
    HEAD ", \"disks\": [" DISK ", " DISK "]}",
    HEAD ", \"metadata\": {\"k\": 1}, \"disks\": [" DISK "]}",
    "{\"id\": \"" FIRST "\", \"taken\": 5, \"disks\": [" DISK "]}",
  };
  g_autoptr (JsonNode) good = json_from_string (HEAD ", \"disks\": [" DISK "]}", NULL);
  g_autoptr (Point) point = point_from_json (good, NULL);

  g_assert_nonnull (point);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (JsonNode) node = json_from_string (bad[i], NULL);
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", bad[i]);
      g_assert_nonnull (node);
      g_assert_null (point_from_json (node, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

/* --- those that are no more --- */

static Operation *
make_operation (const char *id, const char *kind, const char *plan, const char *result)
{
  g_autoptr (JsonNode) planned = json_from_string (plan, NULL);
  g_autoptr (JsonNode) told = json_from_string (result, NULL);
  Operation *operation = operation_new (id, kind, "g");

  g_clear_pointer (&operation->plan, json_object_unref);
  g_clear_pointer (&operation->result, json_object_unref);
  operation->plan = json_node_dup_object (planned);
  operation->result = json_node_dup_object (told);
  return operation;
}

static void
add_image (Fixture *self, const char *id)
{
  g_autoptr (UploadPlan) upload = g_new0 (UploadPlan, 1);
  g_autoptr (ImageInfo) info = image_info_new ();
  g_autoptr (GError) error = NULL;

  upload->image_id = g_strdup (id);
  upload->disk = g_strdup ("a");
  upload->path = g_strdup ("/d/a.0");
  upload->format = g_strdup ("qcow2");
  info->size = 5;
  g_assert_true (image_records_add (self->journal, "store", "g", upload, &(FileFacts) { 0 }, info,
                                    &error));
  g_assert_no_error (error);
}

static void
assert_explained (Fixture *self, GPtrArray *operations, const char *name, const char *message,
                  const char *hint)
{
  GError *error = NULL;
  g_autofree char *said = NULL;

  agent_set_error (&error, AGENT_ERROR_NOT_FOUND, NULL, "as it was");
  lost_points_explain (operations, self->journal, name, &error);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
  g_assert_cmpstr (error->message, ==, message);
  g_assert_cmpstr (agent_error_get_hint (error), ==, hint);
  g_error_free (error);
}

/* What went with which operation, and what can be had back: images that were deleted cannot. */
static void
test_lost (Fixture *self, gconstpointer data)
{
  g_autoptr (GPtrArray) operations = g_ptr_array_new_with_free_func (g_object_unref);

  add_image (self, "image-a");
  g_ptr_array_add (operations, make_operation (FOURTH, "shorten", "{}",
                                               "{\"points_lost\": [1, \"daily\"]}"));
  g_ptr_array_add (operations, make_operation (THIRD, "delete", "{}",
                                               "{\"points_lost\": [\"daily\", \"mine\"]}"));
  g_ptr_array_add (operations,
                   make_operation (FIRST, "snapshot", "{\"snapshot\": {\"name\": \"daily\"}}",
                                   "{\"point\": \"" FIRST "\", \"disks\": [1,"
                                   " {\"disk\": \"a\", \"image_id\": \"image-a\"},"
                                   " {\"disk\": \"b\", \"image_id\": \"image-b\"},"
                                   " {\"disk\": \"c\"}]}"));
  g_ptr_array_add (operations,
                   make_operation (SECOND, "snapshot", "{\"snapshot\": {\"name\": \"never\"}}",
                                   "{}"));
  for (guint i = 0; i < 2; i++)
    {
      const char *name = i == 0 ? "daily" : FIRST;
      g_autofree char *message =
        g_strdup_printf ("there is no point \"%s\" any more: it was folded away to keep the chain "
                         "short (shorten " FOURTH ")", name);

      assert_explained (self, operations, name, message,
                        "restore what it showed from the store: image image-a (disk a)");
    }
  assert_explained (self, operations, "mine",
                    "there is no point \"mine\" any more: it went with an operation (delete " THIRD
                    ")", "name one of the guest's snapshots");
  assert_explained (self, operations, "never", "as it was", NULL);
  assert_explained (self, operations, SECOND, "as it was", NULL);
  g_ptr_array_remove_range (operations, 0, 2);
  assert_explained (self, operations, "daily", "there is no point \"daily\" any more",
                    "restore what it showed from the store: image image-a (disk a)");
}

#define ADD(name, func) g_test_add ("/points/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("list", test_list);
  ADD ("forget-layer", test_forget_layer);
  ADD ("move-layer", test_move_layer);
  ADD ("number-given-again", test_number_given_again);
  ADD ("born-later", test_born_later);
  ADD ("other-device", test_other_device);
  ADD ("parents", test_parents);
  ADD ("gone", test_gone);
  ADD ("raw-is-a-base", test_raw_is_a_base);
  ADD ("circle", test_circle);
  ADD ("json", test_json);
  ADD ("lost", test_lost);
  g_test_add_func ("/points/bad-json", test_bad_json);
  return g_test_run ();
}
