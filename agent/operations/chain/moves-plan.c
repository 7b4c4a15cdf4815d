/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how moves become the plan of an operation: which points that costs, which files go, and
 * what people are told of it beforehand. Pure. */

#include "moves.h"

#include <core/error.h>
#include <disk/device-number.h>

#include "../room.h"

#define SLOW_RATE    ((gint64) 16 << 20)        /* bytes a second that any storage manages */
#define DEADLINE_MAX (G_MAXINT / 1000)          /* seconds: as long as a job can be awaited */

const char *const chain_on_error_words[] = { "report", "stop", "enospc", NULL };
/* In the order of LatePolicy. */
const char *const chain_on_deadline_words[] = { "stop", "throttle", "leave", NULL };

/* --- points --- */

static void
add_once (GPtrArray *points, Point *point)
{
  if (!g_ptr_array_find (points, point, NULL))
    g_ptr_array_add (points, point);
}

static gboolean
is_forgotten (const Point *point, const char *const *forget)
{
  return forget != NULL && g_strv_contains (forget, point->id);
}

/* The points that @file holds and that are to stay. */
static void
add_points_in (GPtrArray *points, const ChainAsk *ask, const ChainFile *file,
               const char *const *forget)
{
  const FileFacts facts = chain_file_facts (file);

  for (guint i = 0; i < ask->look->points->len; i++)
    {
      Point *point = g_ptr_array_index (ask->look->points, i);

      if (!is_forgotten (point, forget) && point_is_in (point, file->path, &facts))
        add_once (points, point);
    }
}

/* A commit leaves nothing of what its layers showed, but for the uppermost. Of a stream the files
 * with points stay, as a branch, with all that they stand on. */
static GPtrArray *
judge_points (const ChainAsk *ask, GPtrArray *moves, const char *const *forget, gboolean discard)
{
  GPtrArray *lost = g_ptr_array_new ();

  for (guint i = 0; i < moves->len; i++)
    {
      ChainMove *move = g_ptr_array_index (moves, i);
      gboolean stays = FALSE;

      for (guint j = move->files->len - 1; j-- > 0;)
        {
          ChainFile *file = g_ptr_array_index (move->files, j);
          g_autoptr (GPtrArray) points = g_ptr_array_new ();

          add_points_in (points, ask, file, forget);
          stays = stays || file->stays || (points->len > 0 && !discard);
          if (move->kind == MOVE_STREAM)
            file->stays = stays;
          for (guint k = 0; k < points->len && (move->kind == MOVE_COMMIT || !stays); k++)
            add_once (lost, g_ptr_array_index (points, k));
        }
    }
  return lost;
}

static char *
join_names (GPtrArray *points)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < points->len; i++)
    g_string_append_printf (names, "%s\"%s\"", i > 0 ? ", " : "",
                            ((Point *) g_ptr_array_index (points, i))->name);
  return g_strdup (names->str);
}

static gboolean
check_lost (GPtrArray *lost, gboolean discard, GError **error)
{
  g_autofree char *names = NULL;

  if (lost->len == 0 || discard)
    return TRUE;
  names = join_names (lost);
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "allow it (discard_points), choose other layers, or stream instead",
                   "that would be the end of %s %s", lost->len == 1 ? "the point" : "the points",
                   names);
  return FALSE;
}

/* --- the pivots --- */

static gboolean
read_late_policy (const ChainAsk *ask, LatePolicy *policy, GError **error)
{
  const Config *config = operations_get_config (ask->operations);
  guint index;

  if (!request_word (ask->request, "on_deadline", chain_on_deadline_words, config->on_deadline,
                     &index, error))
    return FALSE;
  /* Its clients write on whatever we do. */
  *policy = guest_get_kind (ask->guest) == GUEST_KIND_STORAGE_DAEMON ? LATE_LEAVE
                                                                     : (LatePolicy) index;
  return TRUE;
}

/* How long a pivot may take when nobody has said so: the bulk of it, and then as long as guests are
 * given to be caught up with. Its guest may write all the while. */
static gint64
default_deadline_s (const ChainAsk *ask, GPtrArray *moves)
{
  gint64 seconds = operations_get_config (ask->operations)->converge_deadline_s;

  for (guint i = 0; i < moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (moves, i);
      gint64 rate = move->speed > 0 ? MIN (move->speed, SLOW_RATE) : SLOW_RATE;

      if (chain_move_pivots (move))
        seconds += MIN (move->estimate / rate, DEADLINE_MAX - seconds);
    }
  return seconds;
}

static Pivot *
pivot_of (const ChainAsk *ask, const ChainMove *move, guint index, const char *on_error)
{
  const ChainFile *from = chain_move_upper (move);
  const ChainFile *to = chain_move_into (move);
  Pivot *pivot = pivot_new ();

  pivot->way = PIVOT_COMMIT;
  pivot->disk = g_strdup (move->disk);
  pivot->published = g_strdup (move->published);
  pivot->from_path = g_strdup (from->path);
  pivot->from_dev = from->dev;
  pivot->from_ino = from->ino;
  pivot->to_path = g_strdup (to->path);
  pivot->to_dev = to->dev;
  pivot->to_ino = to->ino;
  pivot->job = snapshot_node_name (ask->operation, index, CHAIN_MOVE_JOB);
  pivot->speed = move->speed;
  pivot->on_error = g_strdup (on_error);
  return pivot;
}

/* --- room --- */

static const Extents *
map_of (const ChainAsk *ask, const ChainMove *move, guint index)
{
  const ChainFile *file = g_ptr_array_index (move->files, index);

  for (guint i = 0; ask->maps != NULL && i < ask->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (ask->disks, i);
      Layer *layer = g_strcmp0 (disk->name, move->disk) == 0 ? chain_file_find (file, disk, NULL)
                                                             : NULL;

      if (layer != NULL)
        return g_hash_table_lookup (ask->maps, layer);
    }
  return NULL;
}

/* By how much the file grows that takes the data: what it holds already is written over. */
static gint64
growth_of (const ChainAsk *ask, const ChainMove *move)
{
  guint into = move->kind == MOVE_COMMIT ? 0 : move->files->len - 1;
  const Extents *held = map_of (ask, move, into);
  g_autoptr (Extents) coming = extents_new ();

  if (held == NULL)
    return move->estimate;
  for (guint i = 0; i < move->files->len; i++)
    {
      const Extents *map = i != into ? map_of (ask, move, i) : held;

      if (map == NULL)
        return move->estimate;
      if (i != into)
        extents_unite (coming, map);
    }
  extents_subtract (coming, held);
  /* With qcow2's tables: eight bytes for each cluster of 64 KiB, and their counts. */
  return extents_total (coming) + extents_total (coming) / 4096;
}

static void
note_room (const ChainAsk *ask, GPtrArray *moves, JsonObject *plan)
{
  for (guint i = 0; i < moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (moves, i);

      room_need (plan, chain_move_into (move)->path, growth_of (ask, move));
    }
}

/* --- what is told --- */

static JsonNode *
list_paths (GPtrArray *files)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < files->len; i++)
    json_array_add_string_element (list, ((ChainFile *) g_ptr_array_index (files, i))->path);
  json_node_take_array (node, list);
  return node;
}

static JsonNode *
list_staying (const ChainMove *move)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new ();

  for (guint i = 0; i < move->files->len; i++)
    if (((ChainFile *) g_ptr_array_index (move->files, i))->stays)
      g_ptr_array_add (files, g_ptr_array_index (move->files, i));
  return list_paths (files);
}

static JsonNode *
list_lost (GPtrArray *lost, const ChainAsk *ask, const char *const *forget)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < ask->look->points->len; i++)
    {
      Point *point = g_ptr_array_index (ask->look->points, i);

      if (is_forgotten (point, forget) || g_ptr_array_find (lost, point, NULL))
        json_array_add_string_element (list, point->name);
    }
  json_node_take_array (node, list);
  return node;
}

static JsonNode *
tell_move (const ChainMove *move)
{
  JsonNode *files = list_paths (move->files);

  return qmp_args ("disk", "s", move->disk,
                   "kind", "s", move->kind == MOVE_COMMIT ? "commit" : "stream",
                   "files", "n", files,
                   "into", "s", chain_move_into (move)->path,
                   "stay", "n", list_staying (move),
                   "pivot", "b", chain_move_pivots (move),
                   "offline", "b", move->offline,
                   "estimate", "i", move->estimate,
                   NULL);
}

static JsonObject *
summarize (const ChainAsk *ask, GPtrArray *moves, GPtrArray *lost, const char *const *forget,
           GPtrArray *remove)
{
  JsonObject *summary = json_object_new ();
  JsonArray *list = json_array_new ();
  JsonArray *disks = json_array_new ();
  gint64 bytes = 0;

  for (guint i = 0; i < moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (moves, i);

      json_array_add_element (list, tell_move (move));
      bytes += move->estimate;
    }
  for (guint i = 0; i < ask->disks->len; i++)
    json_array_add_element (disks, qmp_args ("disk", "s",
                                             ((Disk *) g_ptr_array_index (ask->disks, i))->name,
                                             NULL));
  json_object_set_array_member (summary, "moves", list);
  json_object_set_array_member (summary, "disks", disks);
  json_object_set_int_member (summary, "bytes", bytes);
  json_object_set_member (summary, "points_lost", list_lost (lost, ask, forget));
  if (remove != NULL)
    json_object_set_member (summary, "remove", list_paths (remove));
  return summary;
}

/* --- the plan --- */

static gboolean
fill (MovesJob *job, const ChainAsk *ask, GPtrArray *moves, const char *const *forget,
      GPtrArray *remove, GError **error)
{
  const Peer peer = {
    .guest = ask->guest,
    .pid = ask->look->offline ? 0 : guest_get_pid (ask->guest),
    .start_time = ask->look->offline ? 0 : (gint64) guest_get_start_time (ask->guest),
  };
  guint index;

  pivot_set_init (&job->pivots, NULL, &peer);
  job->pivots.deadline_s = default_deadline_s (ask, moves);
  if (!request_word (ask->request, "on_error", chain_on_error_words, chain_on_error_words[0],
                     &index, error)
      || !request_number (ask->request, "deadline", 1, MOVES_SECONDS_MAX, "seconds",
                          &job->pivots.deadline_s, error)
      || !read_late_policy (ask, &job->pivots.late_policy, error))
    return FALSE;
  job->on_error = g_strdup (chain_on_error_words[index]);
  job->boot_id = device_number_dup_boot ();
  job->forget = g_strdupv ((char **) forget);
  g_ptr_array_extend (job->moves, moves, NULL, NULL);
  if (remove != NULL)
    g_ptr_array_extend (job->remove, remove, NULL, NULL);
  for (guint i = 0; i < moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (moves, i);

      if (!move->offline && chain_move_pivots (move))
        g_ptr_array_add (job->pivots.pivots, pivot_of (ask, move, i, job->on_error));
    }
  return TRUE;
}

/**
 * chain_moves_plan:
 * @ask: what is planned from
 * @moves: (element-type ChainMove): the moves, in the order in which they are done
 * @forget: (nullable) (array zero-terminated=1): ids of points that are no more once it has begun
 * @remove: (nullable) (element-type ChainFile): files that only go
 * @error: return location: AGENT_ERROR_CONFLICT names the points that would be lost; INVALID
 *
 * Returns: (transfer full): the plan of an operation of moves
 */
JsonObject *
chain_moves_plan (const ChainAsk *ask, GPtrArray *moves, const char *const *forget,
                  GPtrArray *remove, GError **error)
{
  g_autoptr (MovesJob) job = moves_job_new ();
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (GPtrArray) lost = NULL;
  gboolean discard = FALSE;

  if (!request_flag (ask->request, "discard_points", &discard, error))
    return NULL;
  lost = judge_points (ask, moves, forget, discard);
  /* Moves and files belong to the caller. */
  g_ptr_array_set_free_func (job->moves, NULL);
  g_ptr_array_set_free_func (job->remove, NULL);
  if (!check_lost (lost, discard, error) || !fill (job, ask, moves, forget, remove, error))
    return NULL;
  moves_job_save (job, plan);
  json_object_set_object_member (plan, "summary", summarize (ask, moves, lost, forget, remove));
  note_room (ask, moves, plan);
  return g_steal_pointer (&plan);
}
