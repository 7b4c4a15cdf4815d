/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <string.h>

#include "image-records.h"
#include "model.h"

#define BASE   "00000000-0000-4000-8000-000000000000"
#define FIRST  "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"
#define THIRD  "33333333-3333-4333-8333-333333333333"

typedef struct
{
  char    *folder;
  Journal *journal;
} Fixture;

static Journal *
open_journal (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;
  Journal *journal = journal_open (path, &error);

  g_assert_no_error (error);
  return journal;
}

static void
set_up (Fixture *self, gconstpointer data)
{
  self->folder = model_folder ();
  self->journal = open_journal (self->folder, "journal");
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_object_unref (self->journal);
  model_remove_folder (self->folder);
  g_free (self->folder);
}

/* A layer's file as it is after its @change-th change. */
static FileFacts
file (guint64 ino, gint64 change)
{
  return (FileFacts) { .dev = 1, .ino = ino, .size = 65536, .mtime_ns = change };
}

static void
add (Fixture *self, const char *id, const char *parent, const char *path, FileFacts facts)
{
  g_autoptr (ImageInfo) info = image_info_new ();
  g_autoptr (GError) error = NULL;
  UploadPlan upload = {
    .image_id = (char *) id, .disk = (char *) "a", .path = (char *) path,
    .format = (char *) "qcow2", .parent_image = (char *) parent,
  };

  info->size = 65536;
  info->md5 = g_strdup ("00");
  g_assert_true (image_records_add (self->journal, "folder", "g", &upload, &facts, info, &error));
  g_assert_no_error (error);
}

static void
assert_images (Journal *journal, FileFacts facts, const char *ids)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) found = image_records_of_layer (journal, "folder", &facts, &error);
  g_autofree char *all = NULL;

  g_assert_no_error (error);
  all = g_strjoinv (" ", found);
  g_assert_cmpstr (all, ==, ids);
}

static void
assert_parents (Journal *journal, const char *id, const char *ids)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) found = image_records_parents (journal, id, &error);
  g_autofree char *all = NULL;

  g_assert_no_error (error);
  all = g_strjoinv (" ", found);
  g_assert_cmpstr (all, ==, ids);
}

static void
move (Fixture *self, FileFacts from, const char *path, FileFacts to)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (image_records_move_layer (self->journal, &from, path, &to, &error));
  g_assert_no_error (error);
}

static void
assert_spent (Fixture *self, FileFacts facts, gboolean expected)
{
  g_autoptr (GError) error = NULL;
  gboolean spent;

  g_assert_true (image_records_is_spent (self->journal, "folder", &facts, &spent, &error));
  g_assert_no_error (error);
  g_assert_cmpint (spent, ==, expected);
}

/* base <- 1 <- 2 <- 3 becomes base <- 1+2 <- 3: the header of 3 is written anew. */
static void
test_commit (Fixture *self, gconstpointer data)
{
  add (self, FIRST, BASE, "/d/a.1", file (1, 1));
  add (self, SECOND, FIRST, "/d/a.2", file (2, 1));
  add (self, THIRD, SECOND, "/d/a.3", file (3, 1));
  assert_parents (self->journal, THIRD, SECOND " " FIRST " " BASE);

  for (guint again = 0; again < 2; again++)
    {
      move (self, file (2, 1), "/d/a.1", file (1, 2));
      move (self, file (3, 1), "/d/a.3", file (3, 2));
    }
  assert_images (self->journal, file (1, 2), SECOND);
  assert_images (self->journal, file (1, 1), FIRST);
  assert_images (self->journal, file (2, 1), "");
  assert_images (self->journal, file (3, 2), THIRD);
  assert_parents (self->journal, THIRD, SECOND " " FIRST " " BASE);
}

/* A move into 1 is called off, twice; then it is done. */
static void
test_called_off (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  FileFacts was = file (1, 1);

  add (self, FIRST, BASE, "/d/a.1", was);
  add (self, SECOND, FIRST, "/d/a.2", file (2, 1));
  assert_spent (self, was, FALSE);
  for (gint64 change = 2; change < 4; change++)
    {
      FileFacts is = file (1, change);

      is.size += 65536;
      g_assert_true (image_records_spend_layer (self->journal, &was, &is, &error));
      g_assert_no_error (error);
      assert_spent (self, is, TRUE);
      assert_spent (self, was, FALSE);
      assert_images (self->journal, is, "");
      assert_images (self->journal, was, "");
      was = is;
    }
  assert_parents (self->journal, SECOND, FIRST " " BASE);
  move (self, file (2, 1), "/d/a.1", file (1, 4));
  assert_images (self->journal, file (1, 4), SECOND);
  assert_spent (self, file (1, 4), FALSE);
}

/* A device that is written to looks as it did. */
static void
test_device (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  FileFacts device = file (1, 1), other = file (3, 1);

  add (self, FIRST, NULL, "/dev/x", device);
  add (self, SECOND, FIRST, "/d/a.1", file (2, 1));
  add (self, THIRD, NULL, "/dev/y", other);
  /* A commit into it: what was seen in the layer above is. */
  g_assert_true (image_records_spend_layer (self->journal, &device, &device, &error));
  assert_spent (self, device, TRUE);
  assert_images (self->journal, device, "");
  move (self, file (2, 1), "/dev/x", device);
  assert_images (self->journal, device, SECOND);
  /* The guest itself. */
  g_assert_true (image_records_forget_layer (self->journal, 1, 1, &error));
  g_assert_no_error (error);
  assert_images (self->journal, device, "");
  assert_spent (self, device, FALSE);
  assert_images (self->journal, other, THIRD);
  assert_parents (self->journal, SECOND, FIRST);
}

/* An inode gets used again: a file that an image was made of long ago is not the one that is
 * there. */
static void
test_reused_inode (Fixture *self, gconstpointer data)
{
  add (self, FIRST, NULL, "/d/a.1", file (2, 1));
  move (self, file (2, 7), "/d/a.1", file (1, 2));
  assert_images (self->journal, file (1, 2), "");
  assert_images (self->journal, file (2, 1), FIRST);
}

static void
test_broken_chain (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  add (self, FIRST, BASE, "/d/a.1", file (1, 1));
  add (self, SECOND, FIRST, "/d/a.2", file (2, 1));
  g_assert_true (image_records_remove (self->journal, FIRST, &error));
  assert_parents (self->journal, SECOND, FIRST);
  assert_parents (self->journal, BASE, "");

  /* Nobody makes such a chain; whoever follows it comes to an end. */
  add (self, FIRST, SECOND, "/d/a.1", file (1, 1));
  {
    g_auto (GStrv) parents = image_records_parents (self->journal, SECOND, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (g_strv_length (parents), ==, IMAGE_PARENTS_MAX);
  }
}

/* To another host and back: parents without layers go along. */
static void
test_told (Fixture *self, gconstpointer data)
{
  g_autoptr (Journal) other = open_journal (self->folder, "other");
  g_autoptr (JsonArray) told = json_array_new ();
  g_autoptr (GError) error = NULL;
  FileFacts there = file (1, 2), here = file (71, 72);

  add (self, FIRST, BASE, "/d/a.1", file (1, 1));
  add (self, SECOND, FIRST, "/d/a.2", file (2, 1));
  move (self, file (2, 1), "/d/a.1", there);
  g_assert_true (image_records_tell (self->journal, "folder", "/d/a.1", &there, told, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (json_array_get_length (told), ==, 2);

  for (guint i = 0; i < 2; i++)
    {
      JsonObject *record = json_array_get_object_element (told, i);
      gboolean is_layer = !json_object_get_null_member (record, "layer");

      g_assert_true (image_record_check (record, &error));
      g_assert_cmpint (is_layer, ==, i == 0);
      g_assert_true (image_records_take (other, "g", record, is_layer ? "/e/a.1" : NULL,
                                         is_layer ? &here : NULL, &error));
      g_assert_no_error (error);
    }
  assert_images (other, here, SECOND);
  assert_parents (other, SECOND, FIRST " " BASE);

  /* Where it is known already, it is told its new place; a parent keeps the layer that it has. */
  g_assert_true (image_records_take (self->journal, "g", json_array_get_object_element (told, 0),
                                     "/e/a.1", &here, &error));
  g_assert_true (image_records_take (self->journal, "g", json_array_get_object_element (told, 1),
                                     NULL, NULL, &error));
  assert_images (self->journal, here, SECOND);
  assert_images (self->journal, there, "");
  assert_images (self->journal, file (1, 1), FIRST);
}

static void
test_bad_records (void)
{
  static const char *const bad[] = {
    "{}", "{\"id\": \"x\"}",
    "{\"id\": \"" FIRST "\", \"store\": \"folder\", \"disk\": \"a\", \"format\": \"qcow2\","
    " \"size\": -1, \"created\": \"2023-11-14T22:13:20Z\"}",
    "{\"id\": \"" FIRST "\", \"store\": \"folder\", \"disk\": \"a\", \"format\": \"qcow2\","
    " \"size\": 1, \"created\": \"yesterday\"}",
    "{\"id\": \"" FIRST "\", \"store\": \"folder\", \"disk\": \"a\", \"format\": \"qcow2\","
    " \"size\": 1, \"created\": \"2023-11-14T22:13:20Z\", \"parent\": \"../x\"}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (JsonNode) node = json_from_string (bad[i], NULL);
      g_autoptr (GError) error = NULL;

      g_assert_nonnull (node);
      g_assert_false (image_record_check (json_node_get_object (node), &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

#define ADD(name, func) g_test_add ("/image-records/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("commit", test_commit);
  ADD ("called-off", test_called_off);
  ADD ("device", test_device);
  ADD ("reused-inode", test_reused_inode);
  ADD ("broken-chain", test_broken_chain);
  ADD ("told", test_told);
  g_test_add_func ("/image-records/bad-records", test_bad_records);
  return g_test_run ();
}
