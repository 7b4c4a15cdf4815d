/* SPDX-License-Identifier: Apache-2.0 */

/* Which points go, and which stay, when chains are kept short. */

#include "chain-model.h"

#include <core/error.h>
#include <string.h>

static void
add (const char *path, void (*func) (ChainModel *, gconstpointer))
{
  g_test_add (path, ChainModel, NULL, chain_model_set_up, func, chain_model_tear_down);
}

static void
assert_shortens (ChainModel *self, const char *request, const char *moves, const char *lost,
                 const char *shorter)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) summary = chain_model_plan (self, &chain_shorten_verb, request, &error);
  g_autofree char *found_moves = NULL;
  g_autofree char *found_lost = NULL;
  g_autofree char *found_shorter = NULL;

  g_assert_no_error (error);
  found_moves = chain_model_moves (summary);
  found_lost = chain_model_list (summary, "points_lost", NULL);
  found_shorter = chain_model_list (summary, "shorter", "disk");
  g_assert_cmpstr (found_moves, ==, moves);
  g_assert_cmpstr (found_lost, ==, lost);
  g_assert_cmpstr (found_shorter, ==, shorter);
}

static void
assert_refused (ChainModel *self, const char *request, AgentError code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (chain_model_plan (self, &chain_shorten_verb, request, &error));
  g_assert_error (error, AGENT_ERROR, (gint) code);
  g_assert_nonnull (strstr (error->message, words));
}

/* disk.0 (p0) <- disk.1 (p1) <- disk.2 (p2) <- disk.3 (p3) <- disk.4 */
static void
four_points (ChainModel *self)
{
  chain_model_disk (self, "disk", 10, 5);
  chain_model_point (self, "p0", "disk", 10);
  chain_model_point (self, "p1", "disk", 11);
  chain_model_point (self, "p2", "disk", 12);
  chain_model_point (self, "p3", "disk", 13);
}

static Point *
point (ChainModel *self, const char *name)
{
  return points_find (self->look->points, name, NULL);
}

static void
test_backup (ChainModel *self, gconstpointer data)
{
  four_points (self);
  /* By the daemon's default; the base stays what it is. */
  assert_shortens (self, "{}", "commit disk.1 disk.2 disk.3", "p1 p2", "");
  assert_shortens (self, "{\"max_chain_length\": 4}", "commit disk.1 disk.2", "p1", "");
  assert_shortens (self, "{\"max_chain_length\": 5}", "", "", "");
}

static void
test_what_stays (ChainModel *self, gconstpointer data)
{
  four_points (self);
  point (self, "p1")->pinned = TRUE;
  assert_shortens (self, "{}", "commit disk.2 disk.3", "p2", "disk");
  g_clear_pointer (&((PointDisk *) g_ptr_array_index (point (self, "p2")->disks, 0))->image_id,
                   g_free);
  assert_shortens (self, "{}", "", "", "disk");
}

/* The branch that a revert has left is newer than the point below the active layer. */
static void
test_newest_of_the_chain (ChainModel *self, gconstpointer data)
{
  four_points (self);
  chain_model_branch (self, "disk", 50, 10);
  chain_model_point (self, "branch", "disk", 50);
  assert_shortens (self, "{\"max_chain_length\": 2}", "commit disk.1 disk.2 disk.3", "p1 p2",
                   "disk");
}

static void
test_others (ChainModel *self, gconstpointer data)
{
  Disk *disk;

  four_points (self);
  chain_model_user (self, 12, "guest other, disk x");
  assert_shortens (self, "{}", "", "", "disk");
  disk = g_ptr_array_index (self->look->inspection->disks, 0);
  g_ptr_array_set_size (self->look->users, 0);
  g_free (((Layer *) g_ptr_array_index (disk->layers, 3))->path);
  ((Layer *) g_ptr_array_index (disk->layers, 3))->path = g_strdup ("/d/template");
  assert_shortens (self, "{}", "commit disk.2 disk.3", "p2", "disk");
}

/* A point goes from all disks as soon as it goes from one. */
static void
test_two_disks (ChainModel *self, gconstpointer data)
{
  Point *p1;

  chain_model_disk (self, "a", 10, 4);
  chain_model_disk (self, "b", 20, 3);
  chain_model_point (self, "p0", "a", 10);
  p1 = chain_model_point (self, "p1", "a", 11);
  chain_model_extend (p1, "b", 20);
  chain_model_extend (chain_model_point (self, "p2", "a", 12), "b", 21);
  assert_shortens (self, "{}", "commit a.1 a.2", "p1", "");
  assert_shortens (self, "{\"disks\": [\"b\"]}", "", "", "");

  /* One that has no image of one of its disks stays in both. */
  g_clear_pointer (&((PointDisk *) g_ptr_array_index (p1->disks, 1))->image_id, g_free);
  assert_shortens (self, "{}", "", "", "a");
}

static void
test_requests (ChainModel *self, gconstpointer data)
{
  four_points (self);
  assert_refused (self, "{\"max_chain_length\": 0}", AGENT_ERROR_INVALID, "max_chain_length");
  assert_refused (self, "{\"max_chain_length\": 201}", AGENT_ERROR_INVALID, "max_chain_length");
  assert_refused (self, "{\"max_chain_length\": \"3\"}", AGENT_ERROR_INVALID, "max_chain_length");
  assert_refused (self, "{\"disks\": [\"x\"]}", AGENT_ERROR_NOT_FOUND, "\"x\"");
  self->config->max_chain_length = 0;
  assert_refused (self, "{}", AGENT_ERROR_INVALID, "nothing limits");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/operations/shorten/backup", test_backup);
  add ("/operations/shorten/what-stays", test_what_stays);
  add ("/operations/shorten/newest-of-the-chain", test_newest_of_the_chain);
  add ("/operations/shorten/others", test_others);
  add ("/operations/shorten/two-disks", test_two_disks);
  add ("/operations/shorten/requests", test_requests);
  return g_test_run ();
}
