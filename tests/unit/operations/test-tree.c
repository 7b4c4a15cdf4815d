/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "chain/look-files.h"
#include "disk-private.h"
#include "model.h"
#include "tree-check.h"
#include "tree-json.h"

#define FIRST  "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"
#define BRANCH "33333333-3333-4333-8333-333333333333"
#define IMAGE  "44444444-4444-4444-8444-444444444444"

/*   base <- a.0 (FIRST) <- a.1 (SECOND) <- a.2, active
 *                      \-- a.3 (BRANCH)
 *    \-- stranger                                        */
typedef struct
{
  char      *folder;
  char      *published;
  GPtrArray *paths;             /* base, a.0, a.1, a.2, a.3, stranger */
  ChainLook  look;
  LayerTree *tree;
} Fixture;

static const char *
path_of (Fixture *self, guint index)
{
  return g_ptr_array_index (self->paths, index);
}

static void
add_layer (Fixture *self, Disk *disk, guint index)
{
  FileFacts facts = model_look (path_of (self, index));

  model_add_layer (disk, path_of (self, index), "qcow2", facts.ino)->facts = facts;
}

static void
add_point (Fixture *self, const char *id, guint index)
{
  Point *point = point_new ();
  PointDisk *disk = point_add_disk (point);
  FileFacts facts = model_look (path_of (self, index));

  point->id = g_strdup (id);
  point->operation = g_strdup (id);
  point->name = g_strdup ("point");
  point->created_us = self->look.points->len + 1;
  disk->disk = g_strdup ("a");
  disk->path = g_strdup (path_of (self, index));
  disk->dev = facts.dev;
  disk->ino = facts.ino;
  disk->virtual_size = 1 << 26;
  disk->format = g_strdup ("qcow2");
  g_ptr_array_add (self->look.points, point);
}

static void
look_at_all (Fixture *self)
{
  const char *const folders[] = { self->folder, NULL };
  Disk *disk = model_disk ("a");
  LayerUser *user = g_new0 (LayerUser, 1);
  FileFacts base = model_look (path_of (self, 0));
  g_autoptr (GError) error = NULL;

  g_free (disk->published);
  disk->published = g_strdup (self->published);
  for (guint i = 4; i-- > 0;)
    add_layer (self, disk, i);
  self->look.inspection = g_new0 (Inspection, 1);
  self->look.inspection->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  g_ptr_array_add (self->look.inspection->disks, disk);
  self->look.points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  add_point (self, FIRST, 1);
  add_point (self, SECOND, 2);
  add_point (self, BRANCH, 4);
  self->look.links = links_scan (folders, &error);
  g_assert_no_error (error);
  self->look.users = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_user_free);
  user->dev = base.dev;
  user->ino = base.ino;
  user->who = g_strdup ("guest vm2, disk vda");
  g_ptr_array_add (self->look.users, user);
  self->tree = layer_tree_new ();
  layer_tree_add_disk (self->tree, disk);
  layer_tree_add_links (self->tree, self->look.links);
}

static void
set_up (Fixture *self, gconstpointer data)
{
  static const char *const backings[] = { NULL, "base", "a.0", "a.1", "a.0", "base" };
  static const char *const names[] = { "base", "a.0", "a.1", "a.2", "a.3", "stranger" };

  self->folder = model_folder ();
  self->published = g_build_filename (self->folder, "a", NULL);
  self->paths = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_ptr_array_add (self->paths, model_image (self->folder, names[i], backings[i]));
  look_at_all (self);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  layer_tree_free (self->tree);
  g_ptr_array_unref (self->look.inspection->disks);
  g_free (self->look.inspection);
  g_ptr_array_unref (self->look.points);
  g_ptr_array_unref (self->look.links);
  g_ptr_array_unref (self->look.users);
  g_ptr_array_unref (self->paths);
  model_remove_folder (self->folder);
  g_free (self->folder);
  g_free (self->published);
}

static JsonNode *
tell (Fixture *self)
{
  g_autoptr (JsonNode) record = json_from_string (
      "{\"id\": \"" IMAGE "\", \"store\": \"folder\", \"disk\": \"a\", \"format\": \"qcow2\","
      " \"size\": 1, \"created\": \"2023-11-14T22:13:20Z\"}", NULL);
  JsonArray *images = json_array_new ();

  json_object_set_string_member (json_node_get_object (record), "layer", path_of (self, 1));
  json_array_add_element (images, json_node_copy (record));
  return tree_to_json (&self->look, "g", self->tree, images);
}

/* The layers of the document's only disk. */
static JsonArray *
layers_of (JsonNode *document)
{
  JsonArray *disks = json_object_get_array_member (json_node_get_object (document), "disks");

  return json_object_get_array_member (json_array_get_object_element (disks, 0), "layers");
}

static void
assert_layer (Fixture *self, JsonNode *document, guint place, guint index, const char *point)
{
  JsonObject *layer = json_array_get_object_element (layers_of (document), place);
  JsonArray *points = json_object_get_array_member (layer, "points");

  g_assert_cmpstr (json_object_get_string_member (layer, "path"), ==, path_of (self, index));
  g_assert_cmpint (json_object_get_int_member (layer, "virtual_size"), ==, 1 << 26);
  g_assert_cmpint (json_object_get_boolean_member (layer, "in_chain"), ==, index < 4);
  g_assert_cmpint (json_object_get_boolean_member (layer, "active"), ==, index == 3);
  g_assert_cmpuint (json_array_get_length (points), ==, point != NULL);
  if (point != NULL)
    g_assert_cmpstr (json_array_get_string_element (points, 0), ==, point);
}

static void
test_document (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  JsonArray *layers = layers_of (document);
  JsonObject *layer;

  g_assert_cmpuint (json_array_get_length (layers), ==, 5);
  assert_layer (self, document, 0, 3, NULL);
  assert_layer (self, document, 1, 2, SECOND);
  assert_layer (self, document, 2, 1, FIRST);
  assert_layer (self, document, 3, 0, NULL);
  assert_layer (self, document, 4, 4, BRANCH);

  layer = json_array_get_object_element (layers, 2);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (layer, "children")), ==,
                    2);
  g_assert_cmpstr (json_object_get_string_member (layer, "backing"), ==, path_of (self, 0));
  layer = json_array_get_object_element (layers, 4);
  g_assert_cmpstr (json_object_get_string_member (layer, "backing"), ==, path_of (self, 1));
  layer = json_array_get_object_element (layers, 3);
  g_assert_true (json_object_get_null_member (layer, "backing"));
  g_assert_cmpstr (json_array_get_string_element (json_object_get_array_member (layer, "users"),
                                                  0), ==, "guest vm2, disk vda");
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (layer, "children")), ==,
                    2);
}

/* Layers were taken away by hand, and their numbers given to newer files; of another one the device
 * has got another number. */
static void
test_other_numbers (Fixture *self, gconstpointer data)
{
  PointDisk *disks[3];
  g_autoptr (JsonNode) document = NULL;
  ImageLink *link = links_find (self->look.links, model_look (path_of (self, 4)).dev,
                                model_look (path_of (self, 4)).ino);
  Layer *layer = ((Disk *) g_ptr_array_index (self->look.inspection->disks, 0))->layers->pdata[1];

  for (guint i = 0; i < 3; i++)
    disks[i] = g_ptr_array_index (((Point *) g_ptr_array_index (self->look.points, i))->disks, 0);
  disks[0]->dev++;
  for (guint i = 1; i < 3; i++)
    {
      g_free (disks[i]->path);
      disks[i]->path = g_strdup ("/gone");
      disks[i]->born_ns = 6;
    }
  layer->facts.born_ns = link->facts.born_ns = 7;
  chain_look_meet_points (&self->look);
  g_assert_cmpuint (disks[0]->dev, ==, model_look (path_of (self, 1)).dev);
  g_assert_cmpuint (disks[1]->ino, ==, 0);
  g_assert_cmpuint (disks[2]->ino, ==, 0);
  document = tell (self);
  assert_layer (self, document, 1, 2, NULL);
  assert_layer (self, document, 2, 1, FIRST);
  assert_layer (self, document, 4, 4, NULL);
}

/* A medium that no snapshot concerns is none of the guest's disks here. */
static void
test_skipped (Fixture *self, gconstpointer data)
{
  Disk *floppy = model_disk ("floppy");
  g_autoptr (JsonNode) document = NULL;

  add_layer (self, floppy, 5);
  floppy->skipped = g_strdup ("it is a floppy");
  g_ptr_array_add (self->look.inspection->disks, floppy);
  document = tell (self);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (
                        json_node_get_object (document), "disks")), ==, 1);
}

static void
assert_refused (Fixture *self, JsonNode *document, AgentError code, const char *says)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Adoption) adoption = tree_check_parse (json_node_get_object (document), &error);

  if (adoption != NULL)
    g_assert_false (tree_check_files (adoption, &self->look, &error));
  g_assert_error (error, AGENT_ERROR, (gint) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, says));
}

static void
test_round_trip (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  g_autoptr (GError) error = NULL;
  g_autoptr (Adoption) adoption = tree_check_parse (json_node_get_object (document), &error);

  g_assert_no_error (error);
  g_assert_true (tree_check_files (adoption, &self->look, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (adoption->files->len, ==, 5);
  g_assert_cmpuint (adoption->images->len, ==, 1);
  g_assert_true (adoption_is_proven (adoption, adoption_find_file (adoption, path_of (self, 1))));
  g_assert_cmpuint (adoption->points->len, ==, self->look.points->len);
  for (guint i = 0; i < adoption->points->len; i++)
    {
      const Point *taken = g_ptr_array_index (adoption->points, i);
      const Point *own = g_ptr_array_index (self->look.points, i);
      const PointDisk *there = g_ptr_array_index (taken->disks, 0);
      const PointDisk *here = g_ptr_array_index (own->disks, 0);

      g_assert_cmpstr (taken->id, ==, own->id);
      g_assert_cmpint (taken->created_us, ==, own->created_us);
      g_assert_cmpstr (there->path, ==, here->path);
      g_assert_cmpuint (there->dev, ==, here->dev);
      g_assert_cmpuint (there->ino, ==, here->ino);
      g_assert_cmpint (there->virtual_size, ==, here->virtual_size);
    }
}

/* The files were in another folder there; "folder" says where they are now. */
static void
test_other_folder (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) here = tell (self);
  g_autofree char *text = json_to_string (here, FALSE);
  g_auto (GStrv) parts = g_strsplit (text, self->folder, -1);
  g_autofree char *moved = g_strjoinv ("/there", parts);
  g_autoptr (JsonNode) document = json_from_string (moved, NULL);
  g_autoptr (Adoption) adoption = NULL;
  g_autoptr (GError) error = NULL;

  assert_refused (self, document, AGENT_ERROR_CONFLICT, "/there/");
  json_object_set_string_member (json_node_get_object (document), "folder", self->folder);
  adoption = tree_check_parse (json_node_get_object (document), &error);
  g_assert_no_error (error);
  g_assert_true (tree_check_files (adoption, &self->look, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (((PointDisk *) g_ptr_array_index (
                       ((Point *) g_ptr_array_index (adoption->points, 0))->disks, 0))->path, ==,
                   path_of (self, 1));
}

/* A merge leaves name, size and header of a file as they are. */
static void
test_written_to (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  JsonObject *layer = json_array_get_object_element (layers_of (document), 3);
  g_autoptr (Adoption) adoption = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (json_object_get_string_member (layer, "path"), ==, path_of (self, 0));
  json_object_set_string_member (layer, "changed", "2023-11-14T22:13:20.000001Z");
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "was written to after");
  json_object_remove_member (layer, "changed");
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "does not tell when");

  /* What the caller vouches for is no proof of what is below the layer of an image. */
  json_object_set_boolean_member (json_node_get_object (document), "unchanged", TRUE);
  adoption = tree_check_parse (json_node_get_object (document), &error);
  g_assert_no_error (error);
  g_assert_true (tree_check_files (adoption, &self->look, &error));
  g_assert_no_error (error);
  g_assert_true (adoption_find_file (adoption, path_of (self, 1))->unchanged);
  g_assert_false (adoption_is_proven (adoption, adoption_find_file (adoption, path_of (self, 1))));
}

/* What has images only is not refused: it goes up again. */
static void
test_image_of_other_data (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  JsonObject *layer = json_array_get_object_element (layers_of (document), 2);
  g_autoptr (Adoption) adoption = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (json_object_get_string_member (layer, "path"), ==, path_of (self, 1));
  json_object_set_int_member (layer, "size", 7);
  json_object_set_array_member (json_node_get_object (document), "points", json_array_new ());
  adoption = tree_check_parse (json_node_get_object (document), &error);
  g_assert_no_error (error);
  g_assert_true (tree_check_files (adoption, &self->look, &error));
  g_assert_no_error (error);
  g_assert_false (adoption_is_proven (adoption, adoption_find_file (adoption, path_of (self, 1))));
  g_assert_true (adoption_is_proven (adoption, adoption_find_file (adoption, path_of (self, 0))));
}

/* What no point and no image stands on may have stayed behind. */
static void
test_left_behind (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  JsonObject *medium = json_object_new ();
  g_autoptr (Adoption) adoption = NULL;
  g_autoptr (GError) error = NULL;

  json_object_set_string_member (medium, "path", "/media/floppy.img");
  json_object_set_string_member (medium, "format", "raw");
  json_object_set_int_member (medium, "virtual_size", 1474560);
  json_array_add_object_element (layers_of (document), medium);
  adoption = tree_check_parse (json_node_get_object (document), &error);
  g_assert_no_error (error);
  g_assert_true (tree_check_files (adoption, &self->look, &error));
  g_assert_no_error (error);
}

static void
test_other_files (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  g_autofree char *other = model_image (self->folder, "a.3", "base");

  assert_refused (self, document, AGENT_ERROR_CONFLICT, "is not the layer below it");
  g_free (other);
  other = model_image (self->folder, "a.3", NULL);
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "is told to have one");
  g_assert_true (g_file_set_contents (other, "text", -1, NULL));
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "a.3");
}

/* Whoever has a point can have its layer deleted: no file of anybody else's. */
static void
test_files_of_others (Fixture *self, gconstpointer data)
{
  g_autoptr (JsonNode) document = tell (self);
  g_autofree char *folder = model_folder ();
  g_autofree char *foreign = model_image (folder, "precious", NULL);
  JsonObject *layer = json_object_new ();
  JsonObject *point, *disk;

  json_object_set_string_member (layer, "path", foreign);
  json_object_set_string_member (layer, "format", "qcow2");
  json_object_set_int_member (layer, "virtual_size", 1 << 26);
  json_array_add_object_element (layers_of (document), layer);
  point = json_array_get_object_element (
      json_object_get_array_member (json_node_get_object (document), "points"), 0);
  disk = json_array_get_object_element (json_object_get_array_member (point, "disks"), 0);
  json_object_set_string_member (disk, "layer", foreign);
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "no folder where layers of this guest are");

  json_object_set_string_member (disk, "layer", path_of (self, 3));
  assert_refused (self, document, AGENT_ERROR_CONFLICT, "a guest writes to it");
  json_object_set_string_member (disk, "layer", "/nowhere");
  assert_refused (self, document, AGENT_ERROR_INVALID, "no layer");
  json_object_set_string_member (disk, "layer", path_of (self, 1));
  json_object_set_string_member (disk, "disk", "b");
  assert_refused (self, document, AGENT_ERROR_INVALID, "no disk");
  model_remove_folder (folder);
}

static void
test_bad_documents (Fixture *self, gconstpointer data)
{
  static const char *const bad[] = {
    "{}", "{\"disks\": []}", "{\"disks\": [7], \"points\": []}",
    "{\"disks\": [{\"layers\": [7]}], \"points\": []}",
    "{\"disks\": [{\"layers\": [{\"path\": \"a\", \"format\": \"raw\", \"virtual_size\": 1}]}],"
    " \"points\": []}",
    "{\"disks\": [{\"layers\": [{\"path\": \"/a\", \"format\": \"vmdk\", \"virtual_size\": 1}]}],"
    " \"points\": []}",
    "{\"disks\": [], \"points\": [7]}", "{\"disks\": [], \"points\": [], \"images\": [7]}",
    "{\"disks\": [], \"points\": [], \"images\": [{}]}",
    "{\"disks\": [], \"points\": [], \"folder\": \"here\"}",
    "{\"disks\": [], \"points\": [], \"folder\": 7}",
    "{\"disks\": [], \"points\": [], \"what\": 7}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (JsonNode) document = json_from_string (bad[i], NULL);

      g_test_message ("%s", bad[i]);
      g_assert_nonnull (document);
      assert_refused (self, document, AGENT_ERROR_INVALID, "");
    }
}

#define ADD(name, func) g_test_add ("/tree/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("document", test_document);
  ADD ("other-numbers", test_other_numbers);
  ADD ("skipped", test_skipped);
  ADD ("round-trip", test_round_trip);
  ADD ("other-folder", test_other_folder);
  ADD ("written-to", test_written_to);
  ADD ("image-of-other-data", test_image_of_other_data);
  ADD ("left-behind", test_left_behind);
  ADD ("other-files", test_other_files);
  ADD ("files-of-others", test_files_of_others);
  ADD ("bad-documents", test_bad_documents);
  return g_test_run ();
}
