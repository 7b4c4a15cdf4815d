/* SPDX-License-Identifier: Apache-2.0 */

/* What "commit" and "stream" come to, what they refuse, and how far a move is seen to be. */

#include "chain-model.h"

#include <core/error.h>
#include <string.h>

#include "chain/move-run.h"

static void
add (const char *path, void (*func) (ChainModel *, gconstpointer))
{
  g_test_add (path, ChainModel, NULL, chain_model_set_up, func, chain_model_tear_down);
}

static void
assert_plans (ChainModel *self, const ChainVerb *verb, const char *request, const char *moves,
              const char *lost)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) summary = chain_model_plan (self, verb, request, &error);
  g_autofree char *found_moves = NULL;
  g_autofree char *found_lost = NULL;

  g_assert_no_error (error);
  found_moves = chain_model_moves (summary);
  found_lost = chain_model_list (summary, "points_lost", NULL);
  g_assert_cmpstr (found_moves, ==, moves);
  g_assert_cmpstr (found_lost, ==, lost);
}

static void
assert_refused (ChainModel *self, const ChainVerb *verb, const char *request, AgentError code,
                const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (chain_model_plan (self, verb, request, &error));
  g_assert_error (error, AGENT_ERROR, (gint) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

/* disk.0 (p0) <- disk.1 (p1) <- disk.2 (p2) <- disk.3 */
static Disk *
three_points (ChainModel *self)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);

  chain_model_point (self, "p0", "disk", 10);
  chain_model_point (self, "p1", "disk", 11);
  chain_model_point (self, "p2", "disk", 12);
  return disk;
}

static void
test_commit (ChainModel *self, gconstpointer data)
{
  three_points (self);
  assert_plans (self, &chain_commit_verb, "{\"disk\": \"disk\", \"discard_points\": true}",
                "commit disk.0 disk.1 disk.2 disk.3", "p0 p1 p2");
  /* By file name, path and point; what the uppermost shows is kept. */
  assert_plans (self, &chain_commit_verb,
                "{\"disk\": \"disk\", \"top\": \"p2\", \"base\": \"disk.1\","
                " \"discard_points\": true}", "commit disk.1 disk.2", "p1");
  assert_plans (self, &chain_commit_verb,
                "{\"disk\": \"disk\", \"top\": \"/d/disk.1\", \"discard_points\": true}",
                "commit disk.0 disk.1", "p0");
  assert_plans (self, &chain_commit_verb,
                "{\"disk\": \"disk\", \"top\": \"disk\", \"base\": \"p2\","
                " \"discard_points\": true}", "commit disk.2 disk.3", "p2");
}

static void
test_commit_refused (ChainModel *self, gconstpointer data)
{
  const ChainVerb *verb = &chain_commit_verb;
  Disk *disk = three_points (self);

  assert_refused (self, verb, "{}", AGENT_ERROR_INVALID, "\"disk\" is missing");
  assert_refused (self, verb, "{\"disk\": 7}", AGENT_ERROR_INVALID, "\"disk\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"top\": 1}", AGENT_ERROR_INVALID, "\"top\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"speed\": -1}", AGENT_ERROR_INVALID,
                  "\"speed\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"on_error\": \"go\"}", AGENT_ERROR_INVALID,
                  "\"on_error\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"on_deadline\": \"go\"}", AGENT_ERROR_INVALID,
                  "\"on_deadline\"");
  assert_refused (self, verb, "{\"disk\": \"none\"}", AGENT_ERROR_NOT_FOUND, "\"none\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"base\": \"p9\"}", AGENT_ERROR_NOT_FOUND,
                  "\"p9\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"top\": \"p0\", \"base\": \"p1\"}",
                  AGENT_ERROR_CONFLICT, "is not below");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"top\": \"p1\", \"base\": \"p1\"}",
                  AGENT_ERROR_CONFLICT, "is not below");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"top\": \"p1\"}", AGENT_ERROR_CONFLICT,
                  "the point \"p0\"");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"top\": \"p2\"}", AGENT_ERROR_CONFLICT,
                  "the points \"p1\", \"p0\"");
  chain_model_disk (self, "short", 40, 1);
  assert_refused (self, verb, "{\"disk\": \"short\"}", AGENT_ERROR_CONFLICT, "one layer only");
  disk->skipped = g_strdup ("it is read-only");
  assert_refused (self, verb, "{\"disk\": \"disk\"}", AGENT_ERROR_CONFLICT, "read-only");
}

/* disk.0 <- disk.1 <- disk.2 <- disk.3, without points */
static void
assert_in_the_way (ChainModel *self, const char *words)
{
  assert_refused (self, &chain_commit_verb,
                  "{\"disk\": \"disk\", \"top\": \"disk.2\", \"base\": \"disk.1\"}",
                  AGENT_ERROR_CONFLICT, words);
}

static Layer *
layer (Disk *disk, guint number)
{
  return g_ptr_array_index (disk->layers, disk->layers->len - 1 - number);
}

static void
test_in_the_way (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);

  assert_plans (self, &chain_commit_verb,
                "{\"disk\": \"disk\", \"top\": \"disk.2\", \"base\": \"disk.1\"}",
                "commit disk.1 disk.2", "");
  layer (disk, 2)->encrypted = TRUE;
  assert_in_the_way (self, "encrypted");
  layer (disk, 2)->encrypted = FALSE;
  layer (disk, 1)->has_data_file = TRUE;
  assert_in_the_way (self, "another file");
  layer (disk, 1)->has_data_file = FALSE;
  layer (disk, 1)->known = FALSE;
  assert_in_the_way (self, "no local file");
  layer (disk, 1)->known = TRUE;
  layer (disk, 1)->virtual_size *= 2;
  assert_in_the_way (self, "is larger than");
  layer (disk, 1)->virtual_size /= 2;
  layer (disk, 1)->facts.block_device = TRUE;
  layer (disk, 1)->virtual_size /= 2;
  assert_in_the_way (self, "too small");
  layer (disk, 1)->facts.block_device = FALSE;
  chain_model_branch (self, "other", 30, 11);
  assert_in_the_way (self, "other.30");
}

/* A name that may mean several layers is no name; a path is. */
static void
test_same_names (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);
  const char *words = "may be /e/disk.2 or /d/disk.2";

  g_free (layer (disk, 1)->path);
  layer (disk, 1)->path = g_strdup ("/e/disk.2");
  assert_refused (self, &chain_commit_verb, "{\"disk\": \"disk\", \"top\": \"disk.2\"}",
                  AGENT_ERROR_CONFLICT, words);
  assert_refused (self, &chain_stream_verb, "{\"disk\": \"disk\", \"base\": \"disk.2\"}",
                  AGENT_ERROR_CONFLICT, words);
  assert_plans (self, &chain_commit_verb, "{\"disk\": \"disk\", \"top\": \"/e/disk.2\"}",
                "commit disk.0 disk.2", "");
  assert_plans (self, &chain_commit_verb, "{\"disk\": \"disk\", \"top\": \"/d/disk.2\"}",
                "commit disk.0 disk.2 disk.2", "");

  /* The name that the active one is published by is one of its. */
  g_free (layer (disk, 1)->path);
  layer (disk, 1)->path = g_strdup ("/e/disk");
  assert_refused (self, &chain_commit_verb, "{\"disk\": \"disk\", \"top\": \"disk\"}",
                  AGENT_ERROR_CONFLICT, "may be /e/disk or");
  assert_plans (self, &chain_commit_verb, "{\"disk\": \"disk\", \"top\": \"/e/disk\"}",
                "commit disk.0 disk", "");
  g_free (disk->published);
  disk->published = g_strdup (disk_get_active (disk)->path);
  assert_plans (self, &chain_commit_verb,
                "{\"disk\": \"disk\", \"top\": \"disk.3\", \"base\": \"disk.0\"}",
                "commit disk.0 disk disk.2 disk.3", "");
}

static void
test_users_in_the_way (ChainModel *self, gconstpointer data)
{
  chain_model_disk (self, "disk", 10, 4);
  chain_model_user (self, 12, "guest vm2, disk vda");
  assert_in_the_way (self, "guest vm2, disk vda");
}

/* The header of what is above is written, too. */
static void
test_user_above (ChainModel *self, gconstpointer data)
{
  chain_model_disk (self, "disk", 10, 4);
  chain_model_user (self, 13, "guest vm2, disk vda");
  assert_in_the_way (self, "guest vm2, disk vda");
}

/* Of a commit of the top the name has to follow. */
static void
test_name_in_the_way (ChainModel *self, gconstpointer data)
{
  const char *request = "{\"disk\": \"disk\"}";
  const ChainVerb *verb = &chain_commit_verb;
  Disk *disk = chain_model_disk (self, "disk", 10, 3);
  Layer *base = layer (disk, 0);

  assert_plans (self, verb, request, "commit disk.0 disk.1 disk.2", "");
  base->facts.dev = 2;
  assert_refused (self, verb, request, AGENT_ERROR_CONFLICT, "another filesystem");
  base->facts.dev = 1;
  base->facts.block_device = TRUE;
  assert_refused (self, verb, request, AGENT_ERROR_CONFLICT, "block device");
  base->facts.block_device = FALSE;
  g_free (base->format);
  base->format = g_strdup ("raw");
  assert_refused (self, verb, request, AGENT_ERROR_CONFLICT, "would become raw");
  /* Where no name has to follow, that is none of anybody's concern. */
  assert_plans (self, verb, "{\"disk\": \"disk\", \"top\": \"disk.1\"}", "commit disk.0 disk.1",
                "");
  g_clear_pointer (&disk->published, g_free);
  assert_refused (self, verb, "{\"disk\": \"disk\", \"base\": \"disk.0\"}", AGENT_ERROR_CONFLICT,
                  "no path to start it from");
}

static void
assert_stays (ChainModel *self, const char *request, const char *paths)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) summary = chain_model_plan (self, &chain_stream_verb, request, &error);
  JsonObject *move;
  g_autofree char *found = NULL;

  g_assert_no_error (error);
  move = json_array_get_object_element (json_object_get_array_member (summary, "moves"), 0);
  found = chain_model_list (move, "stay", NULL);
  g_assert_cmpstr (found, ==, paths);
}

static void
test_stream (ChainModel *self, gconstpointer data)
{
  const ChainVerb *verb = &chain_stream_verb;

  three_points (self);
  assert_plans (self, verb, "{\"disk\": \"disk\"}", "stream disk.0 disk.1 disk.2 disk.3", "");
  assert_stays (self, "{\"disk\": \"disk\"}", "disk.0 disk.1 disk.2");
  assert_plans (self, verb, "{\"disk\": \"disk\", \"discard_points\": true}",
                "stream disk.0 disk.1 disk.2 disk.3", "p0 p1 p2");
  assert_stays (self, "{\"disk\": \"disk\", \"discard_points\": true}", "");
  assert_plans (self, verb, "{\"disk\": \"disk\", \"base\": \"p1\"}", "stream disk.2 disk.3", "");
  assert_plans (self, verb, "{\"disk\": \"disk\", \"base\": \"p0\", \"into\": \"p2\"}",
                "stream disk.1 disk.2", "");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"base\": \"p2\"}", AGENT_ERROR_CONFLICT,
                  "nothing between");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"into\": \"p0\"}", AGENT_ERROR_CONFLICT,
                  "stands alone already");
  assert_refused (self, verb, "{\"disk\": \"disk\", \"into\": \"p0\", \"base\": \"p1\"}",
                  AGENT_ERROR_CONFLICT, "is not below");
}

/* What stays needs what it stands on. */
static void
test_stream_branches (ChainModel *self, gconstpointer data)
{
  chain_model_disk (self, "disk", 10, 4);
  chain_model_branch (self, "other", 30, 11);
  assert_stays (self, "{\"disk\": \"disk\"}", "disk.0 disk.1");
  chain_model_user (self, 13, "guest vm2, disk vda");
  assert_refused (self, &chain_stream_verb, "{\"disk\": \"disk\"}", AGENT_ERROR_CONFLICT, "vm2");
}

static ImageLink *
link_of (ChainModel *self, guint64 ino)
{
  return links_find (self->look->links, 1, ino);
}

/* Who else was made from what was there before the disk nobody knows. */
static void
test_foreign_base (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);

  g_free (layer (disk, 0)->path);
  layer (disk, 0)->path = g_strdup ("/base/golden");
  assert_stays (self, "{\"disk\": \"disk\"}", "golden");
  assert_stays (self, "{\"disk\": \"disk\", \"base\": \"golden\"}", "");
  assert_refused (self, &chain_commit_verb, "{\"disk\": \"disk\"}", AGENT_ERROR_CONFLICT,
                  "/base/golden has a name of its own");
  assert_refused (self, &chain_commit_verb,
                  "{\"disk\": \"disk\", \"top\": \"disk.2\", \"base\": null}",
                  AGENT_ERROR_CONFLICT, "/base/golden has a name of its own");
  assert_plans (self, &chain_commit_verb, "{\"disk\": \"disk\", \"base\": \"golden\"}",
                "commit golden disk.1 disk.2 disk.3", "");
  g_free (layer (disk, 1)->path);
  layer (disk, 1)->path = g_strdup ("/d/template");
  assert_stays (self, "{\"disk\": \"disk\"}", "golden template");
}

/* They go with their file, and show what is below it; what it shows itself is nothing to them. */
static void
test_internal_snapshots (ChainModel *self, gconstpointer data)
{
  const char *below = "{\"disk\": \"disk\", \"top\": \"disk.1\"}";
  const char *between = "{\"disk\": \"disk\", \"top\": \"disk.2\", \"base\": \"disk.1\"}";
  const char *above = "{\"disk\": \"disk\", \"base\": \"disk.2\"}";
  const char *down = "{\"disk\": \"disk\", \"into\": \"disk.2\"}";
  Disk *disk = chain_model_disk (self, "disk", 10, 4);

  link_of (self, 12)->has_snapshots = TRUE;
  assert_plans (self, &chain_commit_verb, below, "commit disk.0 disk.1", "");
  assert_in_the_way (self, "internal snapshots");
  assert_plans (self, &chain_commit_verb, above, "commit disk.2 disk.3", "");
  assert_refused (self, &chain_stream_verb, down, AGENT_ERROR_CONFLICT, "internal snapshots");
  assert_stays (self, "{\"disk\": \"disk\"}", "disk.0 disk.1 disk.2");
  /* A guest writes what it likes to the beginning of a raw one. */
  g_free (layer (disk, 2)->format);
  layer (disk, 2)->format = g_strdup ("raw");
  assert_plans (self, &chain_commit_verb, between, "commit disk.1 disk.2", "");
}

/* --- the plan --- */

static void
fill_ask (ChainModel *self, ChainAsk *ask, JsonNode *request, GPtrArray *disks)
{
  *ask = (ChainAsk) {
    .operations = self->operations,
    .guest = self->guest,
    .request = json_node_get_object (request),
    .operation = "0f3c7c0e-6d55-4a6c-93ab-5b8a3c1f8f55",
    .look = self->look,
    .disks = disks,
  };
}

static JsonObject *
plan_of (ChainModel *self, const ChainVerb *verb, const char *text)
{
  g_autoptr (JsonNode) request = json_from_string (text, NULL);
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (GError) error = NULL;
  ChainAsk ask;
  JsonObject *plan;

  disks = verb->disks (json_node_get_object (request), self->look, &error);
  g_assert_no_error (error);
  fill_ask (self, &ask, request, disks);
  plan = verb->plan (&ask, &error);
  g_assert_no_error (error);
  return plan;
}

static char *
text_of (const MovesJob *job)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *plan = json_object_new ();

  moves_job_save (job, plan);
  json_node_take_object (node, plan);
  return json_to_string (node, TRUE);
}

static void
test_plan_comes_back (ChainModel *self, gconstpointer data)
{
  g_autoptr (JsonObject) plan = NULL;
  g_autoptr (MovesJob) job = moves_job_new ();
  g_autoptr (MovesJob) again = moves_job_new ();
  g_autoptr (JsonObject) second = json_object_new ();
  g_autofree char *first_text = NULL;
  g_autofree char *second_text = NULL;
  g_autoptr (GError) error = NULL;
  const ChainMove *move;
  const Pivot *pivot;

  three_points (self);
  self->look->offline = FALSE;
  plan = plan_of (self, &chain_commit_verb,
                  "{\"disk\": \"disk\", \"base\": \"disk.2\", \"speed\": 7, \"deadline\": 9,"
                  " \"on_deadline\": \"leave\", \"on_error\": \"stop\", \"discard_points\": true}");
  g_assert_true (moves_job_load (job, plan, &error));
  g_assert_no_error (error);

  move = g_ptr_array_index (job->moves, 0);
  g_assert_cmpint (move->kind, ==, MOVE_COMMIT);
  g_assert_cmpuint (move->files->len, ==, 2);
  g_assert_cmpint (chain_move_into (move)->ino, ==, 12);
  g_assert_cmpint (chain_move_upper (move)->ino, ==, 13);
  g_assert_cmpint (move->below->ino, ==, 11);
  g_assert_null (move->above);
  g_assert_null (move->backing_name);
  g_assert_cmpint (move->speed, ==, 7);
  g_assert_cmpstr (job->on_error, ==, "stop");
  g_assert_true (chain_move_pivots (move));
  g_assert_cmpuint (job->pivots.pivots->len, ==, 1);
  pivot = g_ptr_array_index (job->pivots.pivots, 0);
  g_assert_cmpint (pivot->from_ino, ==, 13);
  g_assert_cmpint (pivot->to_ino, ==, 12);
  g_assert_cmpstr (pivot->job, ==, "qsnap-0f3c7c0e6d55-0-move");
  g_assert_cmpint (job->pivots.deadline_s, ==, 9);
  g_assert_cmpint (job->pivots.late_policy, ==, LATE_LEAVE);

  moves_job_save (job, second);
  g_assert_true (moves_job_load (again, second, &error));
  first_text = text_of (job);
  second_text = text_of (again);
  g_assert_cmpstr (first_text, ==, second_text);
}

/* However slow it is to be, the time that is given to it is one. */
static void
test_slow_plan (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);
  g_autoptr (JsonObject) plan = NULL;
  g_autoptr (MovesJob) job = moves_job_new ();

  self->look->offline = FALSE;
  for (guint i = 0; i < 4; i++)
    layer (disk, i)->allocated = G_MAXINT64 / 8;
  plan = plan_of (self, &chain_commit_verb, "{\"disk\": \"disk\", \"speed\": 1}");
  g_assert_true (moves_job_load (job, plan, NULL));
  g_assert_cmpint (job->pivots.deadline_s, ==, G_MAXINT / 1000);
}

static void
test_intermediate_plan (ChainModel *self, gconstpointer data)
{
  g_autoptr (JsonObject) commit = NULL;
  g_autoptr (JsonObject) stream = NULL;
  g_autoptr (MovesJob) down = moves_job_new ();
  g_autoptr (MovesJob) up = moves_job_new ();
  const ChainMove *move;

  three_points (self);
  commit = plan_of (self, &chain_commit_verb,
                    "{\"disk\": \"disk\", \"top\": \"p2\", \"base\": \"p1\","
                    " \"discard_points\": true}");
  g_assert_true (moves_job_load (down, commit, NULL));
  move = g_ptr_array_index (down->moves, 0);
  g_assert_cmpint (move->above->ino, ==, 13);
  g_assert_cmpstr (move->backing_name, ==, "disk.1");
  g_assert_cmpstr (move->backing_format, ==, "qcow2");
  g_assert_cmpuint (down->pivots.pivots->len, ==, 0);

  stream = plan_of (self, &chain_stream_verb, "{\"disk\": \"disk\", \"base\": \"p0\"}");
  g_assert_true (moves_job_load (up, stream, NULL));
  move = g_ptr_array_index (up->moves, 0);
  g_assert_cmpint (chain_move_into (move)->ino, ==, 13);
  g_assert_cmpstr (move->backing_name, ==, "disk.0");
  g_assert_cmpuint (up->pivots.pivots->len, ==, 0);
}

/* QEMU would call all that is above a name of another kind by its whole chain. */
static void
test_deep_names (ChainModel *self, gconstpointer data)
{
  static const struct { const char *base; const char *name; } cases[] = {
    { "disk.10", "/d/disk.10" }, { "disk.30", "disk.30" },
  };

  chain_model_disk (self, "disk", 10, 64);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *request = g_strdup_printf ("{\"disk\": \"disk\", \"base\": \"%s\","
                                                  " \"top\": \"disk.%u\"}", cases[i % 2].base,
                                                  i % 2 == 0 ? 12u : 32u);
      g_autoptr (MovesJob) job = moves_job_new ();
      g_autoptr (JsonObject) plan = NULL;

      self->look->offline = i >= 2;
      plan = plan_of (self, &chain_commit_verb, request);
      g_assert_true (moves_job_load (job, plan, NULL));
      g_assert_cmpstr (((ChainMove *) g_ptr_array_index (job->moves, 0))->backing_name, ==,
                       i == 0 ? cases[0].name : cases[i % 2].base);
    }
}

static void
assert_backing (ChainModel *self, const char *name)
{
  g_autoptr (MovesJob) job = moves_job_new ();
  g_autoptr (JsonObject) plan = plan_of (self, &chain_stream_verb,
                                         "{\"disk\": \"disk\", \"base\": \"disk.0\","
                                         " \"into\": \"disk.2\"}");

  g_assert_true (moves_job_load (job, plan, NULL));
  g_assert_cmpstr (((ChainMove *) g_ptr_array_index (job->moves, 0))->backing_name, ==, name);
}

/* What is beside a file is not beside every name by which it may be opened. */
static void
test_names_that_lead_elsewhere (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 4);
  const char *commit = "{\"disk\": \"disk\", \"base\": \"/d/disk.1\"}";

  assert_backing (self, "disk.0");
  link_of (self, 12)->backing_relative = FALSE;
  assert_backing (self, "/d/disk.0");
  link_of (self, 12)->backing_relative = TRUE;
  layer (disk, 2)->linked = TRUE;
  assert_backing (self, "/d/disk.0");

  assert_plans (self, &chain_commit_verb, commit, "commit disk.1 disk.2 disk.3", "");
  layer (disk, 3)->linked = TRUE;
  assert_refused (self, &chain_commit_verb, commit, AGENT_ERROR_CONFLICT, "from its own folder");
  layer (disk, 3)->linked = FALSE;
  g_free (disk->published);
  disk->published = g_strdup ("/e/disk");
  assert_refused (self, &chain_commit_verb, commit, AGENT_ERROR_CONFLICT, "from its own folder");
  link_of (self, 11)->backing_relative = FALSE;
  assert_plans (self, &chain_commit_verb, commit, "commit disk.1 disk.2 disk.3", "");
}

/* What is not fit to be a plan is said to be so. */
static void
test_broken_plans (ChainModel *self, gconstpointer data)
{
  static const struct { const char *member; const char *value; } broken[] = {
    { "moves", "7" },
    { "moves", "[7]" },
    { "moves", "[{}]" },
    { "moves", "[{\"disk\": \"d\", \"kind\": 0, \"files\": []}]" },
    { "moves", "[{\"disk\": \"d\", \"kind\": 0,"
               " \"files\": [{\"path\": \"/a\", \"format\": \"raw\"}]}]" },
    { "moves", "[{\"disk\": \"d\", \"kind\": 9,"
               " \"files\": [{\"path\": \"/a\", \"format\": \"raw\"},"
               " {\"path\": \"/b\", \"format\": \"raw\"}]}]" },
    { "moves", "[{\"disk\": \"d\", \"kind\": 0, \"files\": [{\"path\": \"/a\"}, {\"path\": 5}]}]" },
    { "remove", "{}" },
    { "remove", "[{}]" },
    { "forget", "null" },
  };

  three_points (self);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autoptr (JsonObject) plan = plan_of (self, &chain_stream_verb, "{\"disk\": \"disk\"}");
      g_autoptr (MovesJob) job = moves_job_new ();
      g_autoptr (GError) error = NULL;

      json_object_set_member (plan, broken[i].member, json_from_string (broken[i].value, NULL));
      g_assert_false (moves_job_load (job, plan, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
    }
}

/* --- moves next to each other --- */

static void
test_neighbours (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 5);
  g_autoptr (JsonNode) request = json_from_string ("{}", NULL);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (GPtrArray) planned = g_ptr_array_new ();
  g_autoptr (GPtrArray) moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);
  PlannedMove lower = { MOVE_COMMIT, 0, 1, 0 };
  PlannedMove upper = { MOVE_STREAM, 2, 3, 0 };
  g_autoptr (GError) error = NULL;
  ChainAsk ask;
  const ChainMove *move;

  g_ptr_array_add (disks, disk);
  fill_ask (self, &ask, request, disks);
  g_ptr_array_add (planned, &lower);
  g_ptr_array_add (planned, &upper);
  g_assert_true (chain_moves_of_disk (&ask, disk, planned, moves, &error));
  g_assert_no_error (error);
  move = g_ptr_array_index (moves, 0);
  g_assert_cmpint (move->above->ino, ==, 12);
  /* disk.1 is gone by then. */
  move = g_ptr_array_index (moves, 1);
  g_assert_cmpint (move->below->ino, ==, 10);
  g_assert_cmpstr (move->backing_name, ==, "disk.0");

  /* The other way round disk.2 is. */
  g_ptr_array_set_size (moves, 0);
  planned->pdata[0] = &upper;
  planned->pdata[1] = &lower;
  g_assert_true (chain_moves_of_disk (&ask, disk, planned, moves, &error));
  move = g_ptr_array_index (moves, 0);
  g_assert_cmpint (move->below->ino, ==, 11);
  move = g_ptr_array_index (moves, 1);
  g_assert_cmpint (move->above->ino, ==, 13);

  upper.first = 1;
  g_assert_false (chain_moves_of_disk (&ask, disk, planned, moves, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_cmpuint (moves->len, ==, 2);
}

/* What another move merges too is its own affair. */
static void
test_shared_above (ChainModel *self, gconstpointer data)
{
  Disk *disk = chain_model_disk (self, "disk", 10, 6);
  g_autoptr (JsonNode) request = json_from_string ("{}", NULL);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (GPtrArray) planned = g_ptr_array_new ();
  g_autoptr (MovesJob) job = moves_job_new ();
  PlannedMove lower = { MOVE_COMMIT, 1, 2, 0 };
  PlannedMove upper = { MOVE_COMMIT, 3, 4, 0 };
  g_autoptr (GError) error = NULL;
  ChainAsk ask;

  g_ptr_array_add (disks, disk);
  fill_ask (self, &ask, request, disks);
  g_ptr_array_add (planned, &lower);
  g_assert_true (chain_moves_of_disk (&ask, disk, planned, job->moves, &error));
  g_assert_false (moves_job_shares_above (job, 0));
  g_ptr_array_set_size (job->moves, 0);
  g_ptr_array_add (planned, &upper);
  g_assert_true (chain_moves_of_disk (&ask, disk, planned, job->moves, &error));
  g_assert_true (moves_job_shares_above (job, 0));
  g_assert_false (moves_job_shares_above (job, 1));
}

/* --- how far a move is --- */

static void
assert_stands (ChainModel *self, const ChainMove *move, MoveStand stand)
{
  Disk *disk = NULL;

  g_assert_cmpint (move_stand_in (move, self->look->inspection->disks, &disk), ==, stand);
  g_assert_true (stand == MOVE_LOST || disk != NULL);
}

static void
take_out (Disk *disk, guint number)
{
  g_ptr_array_remove_index (disk->layers, disk->layers->len - 1 - number);
}

static void
test_stand_of_commit (ChainModel *self, gconstpointer data)
{
  Disk *disk = three_points (self);
  g_autoptr (MovesJob) job = moves_job_new ();
  g_autoptr (JsonObject) plan = NULL;
  const ChainMove *move;

  plan = plan_of (self, &chain_commit_verb,
                  "{\"disk\": \"disk\", \"top\": \"p2\", \"discard_points\": true}");
  g_assert_true (moves_job_load (job, plan, NULL));
  move = g_ptr_array_index (job->moves, 0);
  assert_stands (self, move, MOVE_DUE);
  take_out (disk, 1);
  assert_stands (self, move, MOVE_LOST);
  take_out (disk, 1);
  assert_stands (self, move, MOVE_MERGED);
  take_out (disk, 0);
  assert_stands (self, move, MOVE_LOST);
}

static void
test_stand_of_stream (ChainModel *self, gconstpointer data)
{
  Disk *disk = three_points (self);
  g_autoptr (MovesJob) job = moves_job_new ();
  g_autoptr (JsonObject) plan = NULL;
  const ChainMove *move;

  plan = plan_of (self, &chain_stream_verb, "{\"disk\": \"disk\", \"base\": \"p0\"}");
  g_assert_true (moves_job_load (job, plan, NULL));
  move = g_ptr_array_index (job->moves, 0);
  assert_stands (self, move, MOVE_DUE);
  /* Somebody has put a layer on top: the move is not of the top any more. */
  g_ptr_array_insert (disk->layers, 0, NULL);
  disk->layers->pdata[0] = g_new0 (Layer, 1);
  assert_stands (self, move, MOVE_LOST);
  g_free (disk->layers->pdata[0]);
  disk->layers->pdata[0] = NULL;
  memmove (disk->layers->pdata, disk->layers->pdata + 1,
           (disk->layers->len - 1) * sizeof (gpointer));
  disk->layers->len--;
  take_out (disk, 1);
  take_out (disk, 1);
  assert_stands (self, move, MOVE_MERGED);
}

/* --- after a death of ours --- */

static void
assert_decides (const char *last, gboolean ended, RecoveryAction action, const char *step)
{
  Recovery recovery = moves_decide (NULL, last, ended);

  g_assert_cmpint (recovery.action, ==, action);
  g_assert_cmpstr (recovery.step, ==, step);
  g_assert_nonnull (recovery.reason);
}

static void
test_decide (void)
{
  const Workflow *workflow = &chain_commit_workflow;

  assert_decides (NULL, FALSE, RECOVERY_UNDO, NULL);
  assert_decides ("forget-points", FALSE, RECOVERY_RESUME, "forget-points");
  assert_decides ("forget-points", TRUE, RECOVERY_RESUME, "run-moves");
  for (const Step *step = workflow->steps + 1; step->name != NULL; step++)
    {
      assert_decides (step->name, FALSE, RECOVERY_RESUME, "run-moves");
      assert_decides (step->name, TRUE, RECOVERY_RESUME, "run-moves");
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/moves/commit", test_commit);
  add ("/moves/commit-refused", test_commit_refused);
  add ("/moves/in-the-way", test_in_the_way);
  add ("/moves/same-names", test_same_names);
  add ("/moves/users-in-the-way", test_users_in_the_way);
  add ("/moves/user-above", test_user_above);
  add ("/moves/stream", test_stream);
  add ("/moves/stream-branches", test_stream_branches);
  add ("/moves/foreign-base", test_foreign_base);
  add ("/moves/internal-snapshots", test_internal_snapshots);
  add ("/moves/names-that-lead-elsewhere", test_names_that_lead_elsewhere);
  add ("/moves/plan-comes-back", test_plan_comes_back);
  add ("/moves/slow-plan", test_slow_plan);
  add ("/moves/intermediate-plan", test_intermediate_plan);
  add ("/moves/deep-names", test_deep_names);
  add ("/moves/broken-plans", test_broken_plans);
  add ("/moves/neighbours", test_neighbours);
  add ("/moves/shared-above", test_shared_above);
  add ("/moves/name-in-the-way", test_name_in_the_way);
  add ("/moves/stand-of-commit", test_stand_of_commit);
  add ("/moves/stand-of-stream", test_stand_of_stream);
  g_test_add_func ("/moves/decide", test_decide);
  return g_test_run ();
}
