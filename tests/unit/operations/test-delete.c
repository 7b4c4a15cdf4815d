/* SPDX-License-Identifier: Apache-2.0 */

/* What is merged and what goes when a point is deleted: in the chain, and in branches beside it. */

#include "chain-model.h"

#include <core/error.h>
#include <string.h>

static void
add (const char *path, void (*func) (ChainModel *, gconstpointer))
{
  g_test_add (path, ChainModel, NULL, chain_model_set_up, func, chain_model_tear_down);
}

static JsonObject *
delete_point (ChainModel *self, const char *name)
{
  g_autofree char *request = g_strdup_printf ("{\"point\": \"%s\"}", name);
  g_autoptr (GError) error = NULL;
  JsonObject *summary = chain_model_plan (self, &chain_delete_verb, request, &error);

  g_assert_no_error (error);
  return summary;
}

/* What is done, what goes, and what stays. */
static void
assert_deletes (ChainModel *self, const char *name, const char *moves, const char *remove,
                const char *kept)
{
  g_autoptr (JsonObject) summary = delete_point (self, name);
  g_autofree char *found_moves = chain_model_moves (summary);
  g_autofree char *found_remove = chain_model_list (summary, "remove", NULL);
  g_autofree char *found_kept = chain_model_list (summary, "kept", "path");
  g_autofree char *lost = chain_model_list (summary, "points_lost", NULL);

  g_assert_cmpstr (found_moves, ==, moves);
  g_assert_cmpstr (found_remove, ==, remove);
  g_assert_cmpstr (found_kept, ==, kept);
  g_assert_cmpstr (lost, ==, name);
}

static void
assert_refused (ChainModel *self, const char *request, AgentError code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (chain_model_plan (self, &chain_delete_verb, request, &error));
  g_assert_error (error, AGENT_ERROR, (gint) code);
  g_assert_nonnull (strstr (error->message, words));
}

/* disk.0 (first) <- disk.1 (second) <- disk.2 (third) <- disk.3 */
static void
three_points (ChainModel *self)
{
  chain_model_disk (self, "disk", 10, 4);
  chain_model_point (self, "first", "disk", 10);
  chain_model_point (self, "second", "disk", 11);
  chain_model_point (self, "third", "disk", 12);
}

static void
test_positions (ChainModel *self, gconstpointer data)
{
  three_points (self);
  assert_deletes (self, "first", "commit disk.0 disk.1", "", "");
  assert_deletes (self, "second", "commit disk.1 disk.2", "", "");
  /* The device stays where it is. */
  assert_deletes (self, "third", "stream disk.2 disk.3", "", "");
}

static void
test_nameless_neighbours (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 6);

  chain_model_point (self, "second", "disk", 12);
  chain_model_point (self, "fourth", "disk", 14);
  assert_deletes (self, "second", "commit disk.0 disk.1 disk.2 disk.3 disk.4", "", "");

  /* Somebody's template goes for nobody's sake. */
  g_free (((Layer *) g_ptr_array_index (disk->layers, 4))->path);
  ((Layer *) g_ptr_array_index (disk->layers, 4))->path = g_strdup ("/d/template");
  assert_deletes (self, "second", "commit disk.2 disk.3 disk.4", "", "");
}

static void
test_shared (ChainModel *self, gconstpointer data)
{
  g_autoptr (JsonObject) summary = NULL;
  JsonArray *kept;

  three_points (self);
  chain_model_user (self, 11, "guest other, disk x");
  assert_deletes (self, "first", "", "", "disk.of-10");
  assert_deletes (self, "third", "stream disk.2 disk.3", "", "");
  summary = delete_point (self, "second");
  kept = json_object_get_array_member (summary, "kept");
  g_assert_nonnull (strstr (json_object_get_string_member (json_array_get_object_element (kept, 0),
                                                           "reason"), "guest other, disk x"));
}

static void
test_two_points_in_one_layer (ChainModel *self, gconstpointer data)
{
  three_points (self);
  chain_model_point (self, "twin", "disk", 11);
  assert_deletes (self, "twin", "", "", "disk.of-11");
}

static void
test_smaller_above (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 3);

  chain_model_point (self, "first", "disk", 10);
  chain_model_point (self, "second", "disk", 11);
  ((Layer *) g_ptr_array_index (disk->layers, 1))->virtual_size /= 2;
  assert_deletes (self, "first", "stream disk.0 disk.1", "", "");
}

/* --- branches --- */

/*   disk.0 (root) <- disk.1 (right) <- disk.2
 *                 <- disk.50 (left) <- disk.51 (branch) */
static void
branched (ChainModel *self)
{
  chain_model_disk (self, "disk", 10, 3);
  chain_model_branch (self, "disk", 50, 10);
  chain_model_branch (self, "disk", 51, 50);
  chain_model_point (self, "root", "disk", 10);
  chain_model_point (self, "left", "disk", 50);
  chain_model_point (self, "branch", "disk", 51);
  chain_model_point (self, "right", "disk", 11);
}

static void
forget (ChainModel *self, const char *name)
{
  g_ptr_array_remove (self->look->points, points_find (self->look->points, name, NULL));
}

static void
test_branches (ChainModel *self, gconstpointer data)
{
  branched (self);
  assert_deletes (self, "root", "", "", "disk.of-10");
  assert_deletes (self, "left", "stream disk.50 disk.51", "", "");
  assert_deletes (self, "branch", "", "disk.51", "");
  assert_deletes (self, "right", "stream disk.1 disk.2", "", "");
}

static void
test_branch_moves_offline (ChainModel *self, gconstpointer data)
{
  g_autoptr (JsonObject) summary = NULL;
  JsonObject *move;

  branched (self);
  self->look->offline = FALSE;
  summary = delete_point (self, "left");
  move = json_array_get_object_element (json_object_get_array_member (summary, "moves"), 0);
  g_assert_true (json_object_get_boolean_member (move, "offline"));
  g_assert_false (json_object_get_boolean_member (move, "pivot"));
}

/* What is not shared any more, and holds nobody's point, goes with the last that needed it. */
static void
test_what_was_shared (ChainModel *self, gconstpointer data)
{
  branched (self);
  forget (self, "root");
  forget (self, "left");
  assert_deletes (self, "branch", "commit disk.0 disk.1", "disk.51 disk.50", "");
  assert_deletes (self, "right", "stream disk.1 disk.2", "", "");
}

static void
test_leaf_takes_below (ChainModel *self, gconstpointer data)
{
  branched (self);
  forget (self, "left");
  assert_deletes (self, "branch", "", "disk.51 disk.50", "");

  /* But not what another image stands on, or what has another name. */
  chain_model_branch (self, "disk", 52, 50);
  chain_model_point (self, "other", "disk", 52);
  assert_deletes (self, "branch", "stream disk.50 disk.52", "disk.51", "");
}

static void
test_two_on_it (ChainModel *self, gconstpointer data)
{
  branched (self);
  chain_model_branch (self, "disk", 52, 50);
  chain_model_point (self, "other", "disk", 52);
  assert_deletes (self, "left", "", "", "disk.50");
}

/* What a pivot left behind is found under the name that was told. */
static void
test_nameless_end (ChainModel *self, gconstpointer data)
{
  branched (self);
  links_find (self->look->links, 1, 51)->facts.allocated = 0;
  assert_deletes (self, "left", "commit disk.50 disk.51", "", "");
  forget (self, "branch");
  assert_deletes (self, "left", "stream disk.50 disk.51", "", "");
}

/* What it hides of the larger one below stays hidden. */
static void
test_smaller_in_a_branch (ChainModel *self, gconstpointer data)
{
  branched (self);
  links_find (self->look->links, 1, 51)->facts.allocated = 0;
  assert_deletes (self, "left", "commit disk.50 disk.51", "", "");
  links_find (self->look->links, 1, 51)->virtual_size /= 2;
  assert_deletes (self, "left", "stream disk.50 disk.51", "", "");
  links_find (self->look->links, 1, 51)->encrypted = TRUE;
  assert_deletes (self, "left", "", "", "disk.50");
}

/* They would go with the file, or show something else. */
static void
test_internal_snapshots (ChainModel *self, gconstpointer data)
{
  branched (self);
  links_find (self->look->links, 1, 51)->has_snapshots = TRUE;
  links_find (self->look->links, 1, 11)->has_snapshots = TRUE;
  assert_deletes (self, "branch", "", "", "disk.51");
  assert_deletes (self, "left", "", "", "disk.50");
  assert_deletes (self, "right", "", "", "disk.of-11");
}

/* disk.50 <- disk.51 <- disk.52, disk.53: neither of these is written to. */
static void
test_two_above (ChainModel *self, gconstpointer data)
{
  branched (self);
  chain_model_branch (self, "disk", 52, 51)->facts.allocated = 0;
  chain_model_branch (self, "disk", 53, 51)->facts.allocated = 0;
  chain_model_point (self, "a", "disk", 52);
  chain_model_point (self, "b", "disk", 53);
  links_find (self->look->links, 1, 51)->facts.allocated = 0;
  assert_deletes (self, "left", "stream disk.50 disk.51", "", "");
}

static void
test_foreign_image (ChainModel *self, gconstpointer data)
{
  branched (self);
  chain_model_branch (self, "somebodys", 60, 51);
  assert_deletes (self, "branch", "", "", "disk.51");
  forget (self, "branch");
  /* Not even its header is written to. */
  assert_deletes (self, "left", "stream disk.50 disk.51", "", "");
  chain_model_user (self, 51, "guest other, disk x");
  assert_deletes (self, "left", "", "", "disk.50");
}

/* What an image stands on that nobody can tell may be what its header has in it. */
static void
test_obscure_image (ChainModel *self, gconstpointer data)
{
  ImageLink *obscure;

  branched (self);
  obscure = chain_model_branch (self, "somebodys", 60, 0);
  obscure->backing = g_strdup ("json:{\"file.filename\": \"/d/disk.51\"}");
  assert_deletes (self, "branch", "", "", "disk.51");
  assert_deletes (self, "left", "", "", "disk.50");
}

static void
test_file_is_gone (ChainModel *self, gconstpointer data)
{
  branched (self);
  chain_model_point (self, "lost", "disk", 99);
  assert_deletes (self, "lost", "", "", "disk.of-99");
}

/* --- several disks --- */

static void
test_all_disks (ChainModel *self, gconstpointer data)
{
  Point *point;

  chain_model_disk (self, "a", 10, 3);
  chain_model_disk (self, "b", 20, 3);
  chain_model_point (self, "base", "a", 10);
  chain_model_extend (g_ptr_array_index (self->look->points, 0), "b", 20);
  point = chain_model_point (self, "both", "a", 11);
  chain_model_extend (point, "b", 21);
  chain_model_extend (point, "unplugged", 31);
  assert_deletes (self, "both", "stream a.1 a.2; stream b.1 b.2", "", "unplugged.of-31");
}

static void
test_one_of_two (ChainModel *self, gconstpointer data)
{
  g_autoptr (JsonObject) summary = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *moves = NULL;
  g_autofree char *lost = NULL;

  chain_model_disk (self, "a", 10, 3);
  chain_model_disk (self, "b", 20, 3);
  chain_model_extend (chain_model_point (self, "both", "a", 10), "b", 20);
  chain_model_extend (chain_model_point (self, "later", "a", 11), "b", 21);
  summary = chain_model_plan (self, &chain_delete_verb, "{\"point\": \"both\", \"disks\": [\"b\"]}",
                              &error);
  g_assert_no_error (error);
  moves = chain_model_moves (summary);
  lost = chain_model_list (summary, "points_lost", NULL);
  g_assert_cmpstr (moves, ==, "commit b.0 b.1");
  g_assert_cmpstr (lost, ==, "");

  chain_model_user (self, 20, "guest other, disk x");
  assert_refused (self, "{\"point\": \"both\", \"disks\": [\"b\"]}", AGENT_ERROR_CONFLICT,
                  "guest other");
}

static void
test_requests (ChainModel *self, gconstpointer data)
{
  three_points (self);
  chain_model_point (self, "twice", "disk", 90);
  chain_model_point (self, "twice", "disk", 91);
  assert_refused (self, "{}", AGENT_ERROR_INVALID, "\"point\"");
  assert_refused (self, "{\"point\": 1}", AGENT_ERROR_INVALID, "\"point\"");
  assert_refused (self, "{\"point\": \"first\", \"disks\": []}", AGENT_ERROR_INVALID, "\"disks\"");
  assert_refused (self, "{\"point\": \"nobody\"}", AGENT_ERROR_NOT_FOUND, "nobody");
  assert_refused (self, "{\"point\": \"twice\"}", AGENT_ERROR_CONFLICT, "twice");
  assert_refused (self, "{\"point\": \"first\", \"disks\": [\"x\"]}", AGENT_ERROR_NOT_FOUND,
                  "\"x\"");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/operations/delete/positions", test_positions);
  add ("/operations/delete/nameless-neighbours", test_nameless_neighbours);
  add ("/operations/delete/shared", test_shared);
  add ("/operations/delete/two-points-in-one-layer", test_two_points_in_one_layer);
  add ("/operations/delete/smaller-above", test_smaller_above);
  add ("/operations/delete/branches", test_branches);
  add ("/operations/delete/branch-moves-offline", test_branch_moves_offline);
  add ("/operations/delete/what-was-shared", test_what_was_shared);
  add ("/operations/delete/leaf-takes-below", test_leaf_takes_below);
  add ("/operations/delete/two-on-it", test_two_on_it);
  add ("/operations/delete/nameless-end", test_nameless_end);
  add ("/operations/smaller-in-a-branch", test_smaller_in_a_branch);
  add ("/operations/internal-snapshots", test_internal_snapshots);
  add ("/operations/delete/two-above", test_two_above);
  add ("/operations/delete/foreign-image", test_foreign_image);
  add ("/operations/delete/obscure-image", test_obscure_image);
  add ("/operations/delete/file-is-gone", test_file_is_gone);
  add ("/operations/delete/all-disks", test_all_disks);
  add ("/operations/delete/one-of-two", test_one_of_two);
  add ("/operations/delete/requests", test_requests);
  return g_test_run ();
}
