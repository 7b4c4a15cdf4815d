/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a request about chains becomes an operation, whatever it asks for: ask the store, look,
 * claim the disks that it means, look again, measure the layers, plan, submit. */

#include "verb.h"

#include <core/error.h>
#include <disk/qemu-img.h>

#include "../document.h"
#include "../lost-points.h"
#include "../prepare-check.h"
#include "../prepare-key.h"
#include "../request-members.h"
#include "../room.h"

#define DRY_RUN        "dry_run"
#define MAPS_DEADLINE_S 60      /* for the maps of all layers; what is left counts as allocated */

static const ChainVerb *const verbs[] = {
  &chain_commit_verb, &chain_delete_verb, &chain_mirror_verb, &chain_restore_verb,
  &chain_revert_verb, &chain_shorten_verb, &chain_stream_verb, NULL
};

typedef struct
{
  Operations      *operations;
  Guest           *guest;
  const ChainVerb *verb;
  JsonObject      *request;
  char            *idempotency_key;
  gboolean         holds_key;   /* see prepare-key.h */
  gboolean         dry_run;
  char            *id;          /* the operation's */
  PreparedClaim    claim;
  gboolean         looked;      /* at disks that were claimed by then */
  QmpClient       *client;      /* (nullable): the link to the guest when it was looked at */
  ChainLook       *look;
  GPtrArray       *disks;       /* of Disk, of @look */
  GPtrArray       *layers;      /* of Layer: those of @disks that have no map yet */
  GHashTable      *maps;        /* (nullable): Layer * -> Extents * */
  ImageInfo       *image;       /* (nullable) */
  JsonObject      *plan;        /* once it is made */
  GCancellable    *cancellable; /* ends all of it; so does that of the request */
  GCancellable    *measuring;   /* ends the maps */
  guint            late;        /* a source that does */
} Preparation;

/* What has come of it: one of both. */
typedef struct
{
  Operation *operation;
  JsonNode  *plan;
} Answer;

static void measure_next (GTask *task);
static void on_looked (GObject *source, GAsyncResult *result, gpointer user_data);
static void prepare (GTask *task);

static void
answer_free (Answer *self)
{
  g_clear_object (&self->operation);
  g_clear_pointer (&self->plan, json_node_unref);
  g_free (self);
}

static void
preparation_free (Preparation *self)
{
  if (self->holds_key)
    prepare_key_release (self->operations, self->idempotency_key);
  g_clear_handle_id (&self->late, g_source_remove);
  g_clear_pointer (&self->maps, g_hash_table_unref);
  image_info_free (self->image);
  g_clear_pointer (&self->plan, json_object_unref);
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  g_clear_pointer (&self->look, chain_look_free);
  g_clear_object (&self->client);
  prepared_claim_clear (&self->claim);
  g_clear_object (&self->measuring);
  g_object_unref (self->cancellable);
  g_free (self->id);
  g_free (self->idempotency_key);
  json_object_unref (self->request);
  g_object_unref (self->guest);
  g_object_unref (self->operations);
  g_free (self);
}

/* --- the plan --- */

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  g_cancellable_cancel (user_data);
}

/* @by: (nullable): cancels @self, too */
static void
let_cancel (GCancellable *self, GCancellable *by)
{
  if (by != NULL && g_cancellable_is_cancelled (by))
    g_cancellable_cancel (self);
  else if (by != NULL)
    g_signal_connect_object (by, "cancelled", G_CALLBACK (on_cancelled), self, 0);
}

/* Whether somebody else wants the disks. */
static gboolean
has_given_way (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GCancellable *request = g_task_get_cancellable (task);

  return g_cancellable_is_cancelled (self->cancellable)
         && (request == NULL || !g_cancellable_is_cancelled (request));
}

/* Takes @error. */
static void
refuse (GTask *task, GError *error)
{
  if (has_given_way (task))
    {
      g_clear_error (&error);
      agent_set_error (&error, AGENT_ERROR_CONFLICT, "ask again once it has ended",
                       "another request wants the same disks, and this one gives way");
    }
  g_task_return_error (task, error);
}

static void
answer (GTask *task, Operation *operation, JsonNode *plan)
{
  Answer *self = g_new0 (Answer, 1);

  self->operation = operation != NULL ? g_object_ref (operation) : NULL;
  self->plan = plan;
  g_task_return_pointer (task, self, (GDestroyNotify) answer_free);
}

static JsonNode *
dup_summary (JsonObject *plan)
{
  JsonNode *summary = json_object_get_member (plan, "summary");

  return summary != NULL ? json_node_copy (summary) : NULL;
}

/* What a request is answered with before it begins, its result begins with. */
static void
tell_summary (Operation *operation, JsonObject *plan)
{
  g_autoptr (JsonNode) summary = dup_summary (plan);
  JsonObjectIter iter;
  const char *member;
  JsonNode *value;

  if (summary == NULL || !JSON_NODE_HOLDS_OBJECT (summary))
    return;
  json_object_iter_init (&iter, json_node_get_object (summary));
  while (json_object_iter_next (&iter, &member, &value))
    json_object_set_member (operation_get_result (operation), member, json_node_copy (value));
}

static void
submit (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;
  Operation *operation;

  if (g_cancellable_set_error_if_cancelled (self->cancellable, &error)
      || !prepare_check_known (self->operations, self->guest, &error))
    {
      refuse (task, error);
      return;
    }
  operation = engine_submit (operations_get_engine (self->operations), self->verb->kind, self->id,
                             self->claim.claim, self->request, self->plan, self->idempotency_key,
                             &error);
  if (operation == NULL)
    {
      refuse (task, error);
      return;
    }
  tell_summary (operation, self->plan);
  answer (task, operation, NULL);
}

static void
on_room (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  JsonNode *summary = json_object_get_member (self->plan, "summary");
  g_autoptr (JsonNode) room = NULL;
  GError *error = NULL;

  if (!room_check_finish (result, &room, &error))
    {
      refuse (task, error);
      return;
    }
  if (!self->dry_run)
    {
      submit (task);
      return;
    }
  if (room != NULL && summary != NULL && JSON_NODE_HOLDS_OBJECT (summary))
    json_object_set_member (json_node_get_object (summary), "room", g_steal_pointer (&room));
  answer (task, NULL, dup_summary (self->plan));
}

static void
make_plan (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  const ChainAsk ask = {
    .operations = self->operations,
    .guest = self->guest,
    .request = self->request,
    .operation = self->id,
    .look = self->look,
    .disks = self->disks,
    .maps = self->maps,
  };
  GError *error = NULL;

  if (prepare_check_same (self->guest, self->client, &error))
    self->plan = self->verb->plan (&ask, &error);
  if (self->plan == NULL)
    refuse (task, error);
  else
    room_check_async (self->operations, self->verb->kind, self->plan, self->cancellable, on_room,
                      g_object_ref (task));
}

/* --- what the layers hold --- */

static gboolean
on_late (gpointer user_data)
{
  Preparation *self = user_data;

  self->late = 0;
  g_cancellable_cancel (self->measuring);
  return G_SOURCE_REMOVE;
}

static void
on_map (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  Layer *layer = g_ptr_array_index (self->layers, self->layers->len - 1);
  g_autoptr (GError) error = NULL;
  Extents *map = qemu_img_map_finish (result, &error);

  if (map != NULL)
    g_hash_table_insert (self->maps, layer, map);
  else
    g_debug ("%s counts as allocated: %s", layer->path, error->message);
  g_ptr_array_set_size (self->layers, (int) self->layers->len - 1);
  measure_next (task);
}

static void
measured (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);

  g_clear_handle_id (&self->late, g_source_remove);
  make_plan (task);
}

static void
measure_next (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  const Layer *layer;

  if (self->layers->len == 0 || g_cancellable_is_cancelled (self->measuring))
    {
      measured (task);
      return;
    }
  layer = g_ptr_array_index (self->layers, self->layers->len - 1);
  qemu_img_map_async (layer->path, layer->format, self->measuring, on_map, g_object_ref (task));
}

static void
measure (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);

  self->maps = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) extents_free);
  self->layers = g_ptr_array_new ();
  for (guint i = 0; i < self->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        if (layer_is_plain (g_ptr_array_index (disk->layers, j)))
          g_ptr_array_add (self->layers, g_ptr_array_index (disk->layers, j));
    }
  self->measuring = g_cancellable_new ();
  let_cancel (self->measuring, self->cancellable);
  self->late = g_timeout_add_seconds (MAPS_DEADLINE_S, on_late, self);
  measure_next (task);
}

/* --- looking --- */

/* QEMU lets two jobs work on one chain as long as they are far enough from each other; what the
 * second one finds there would not be what was planned. */
static gboolean
check_jobs (Preparation *self, GError **error)
{
  QmpGraph *graph = self->look->inspection->graph;

  for (guint i = 0; graph != NULL && i < self->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->disks, i);
      g_autoptr (GPtrArray) names = prepare_jobs_of_disk (graph, disk);

      if (names->len == 0)
        continue;
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait for it, or cancel it",
                       "disk %s: QEMU's block job \"%s\" works on it", disk->name,
                       (const char *) g_ptr_array_index (names, 0));
      return FALSE;
    }
  return TRUE;
}

/* A point that is not there may have been. */
static void
explain_point (Preparation *self, GError **error)
{
  const char *point = document_text (self->request, "point");
  g_autoptr (GPtrArray) operations = NULL;

  if (point == NULL || !g_error_matches (*error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND)
      || points_find (self->look->points, point, NULL) != NULL)
    return;
  operations = engine_list (operations_get_engine (self->operations), guest_get_id (self->guest));
  lost_points_explain (operations, operations_get_journal (self->operations), point, error);
}

static gboolean
choose (Preparation *self, GError **error)
{
  if (!self->look->offline
      && (!prepare_check_guest (self->guest, error)
          || !prepare_check_migration (self->guest, self->look->inspection, error)))
    return FALSE;
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  self->disks = self->verb->disks (self->request, self->look, error);
  if (self->disks == NULL)
    explain_point (self, error);
  return self->disks != NULL;
}

static void
look (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);

  g_set_object (&self->client, guest_get_client (self->guest));
  chain_look_async (self->operations, self->guest, self->cancellable, on_looked,
                    g_object_ref (task));
}

/* The disks are claimed, if they are to be, and nothing has changed since they were. */
static void
go_on (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  /* Those of an operation of ours are named by the claim. */
  if (!check_jobs (self, &error))
    refuse (task, error);
  else if (self->verb->wants_maps)
    measure (task);
  else
    make_plan (task);
}

static void
on_claimed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!prepare_claim_finish (result, &error))
    refuse (task, error);
  else if (!self->looked)
    look (task);
  else
    go_on (task);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  ChainLook *look;
  GError *error = NULL;

  look = chain_look_finish (result, &error);
  if (look == NULL)
    {
      refuse (task, error);
      return;
    }
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  g_clear_pointer (&self->look, chain_look_free);
  self->look = look;
  self->look->image = self->image;
  /* What was seen before may have changed until the disks were claimed. */
  self->looked = self->claim.claim != NULL;
  if (!choose (self, &error))
    refuse (task, error);
  else if (self->dry_run)
    go_on (task);
  else
    prepare_claim_async (&self->claim, self->operations, self->guest, self->disks, self->id,
                         self->cancellable, on_claimed, g_object_ref (task));
}

/* --- what the store has --- */

static void
on_image (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->image = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (self->image != NULL)
    look (task);
  else
    refuse (task, error);
}

static void
ask_store (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);

  image_store_get_async (operations_get_store (self->operations),
                         json_object_get_string_member (self->request, "image"),
                         self->cancellable, on_image, g_object_ref (task));
}

/* --- the request --- */

static gboolean
check_request (Preparation *self, GError **error)
{
  g_auto (GStrv) members = NULL;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  gboolean gives_way = FALSE;

  g_strv_builder_addv (builder, (const char **) self->verb->members);
  g_strv_builder_add (builder, DRY_RUN);
  members = g_strv_builder_end (builder);
  if (!request_has_only (self->request, (const char *const *) members, error)
      || !request_flag (self->request, DRY_RUN, &self->dry_run, error)
      || !request_flag (self->request, REQUEST_GIVES_WAY, &gives_way, error)
      || (self->verb->check != NULL && !self->verb->check (self->request, error)))
    return FALSE;
  if (gives_way)
    self->claim.gives_way = self->cancellable;
  return TRUE;
}

static void
prepare (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;
  Operation *repeated = NULL;

  if (!prepare_key_take (self->operations, self->idempotency_key, task, prepare))
    return;
  self->holds_key = TRUE;
  if (!self->dry_run)
    repeated = engine_repeated (operations_get_engine (self->operations), self->idempotency_key,
                                self->verb->kind, guest_get_id (self->guest), self->request,
                                &error);
  if (repeated != NULL)
    answer (task, repeated, NULL);
  else if (error != NULL
           || (guest_get_client (self->guest) != NULL
               && !prepare_check_guest (self->guest, &error)))
    g_task_return_error (task, error);
  else if (self->verb->wants_image)
    ask_store (task);
  else
    look (task);
}

static const ChainVerb *
find_verb (const char *kind)
{
  for (guint i = 0; verbs[i] != NULL; i++)
    if (g_strcmp0 (verbs[i]->kind, kind) == 0)
      return verbs[i];
  return NULL;
}

/**
 * operations_request_async:
 * @self: the operations
 * @guest: the guest; for what can be done without it, it need not be attached
 * @kind: what is asked for: "commit", "stream", "mirror", "delete", "revert", "shorten", "restore"
 * @request: the request's body
 * @idempotency_key: (nullable): a repeat with the same key gives the same operation
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 */
void
operations_request_async (Operations *self, Guest *guest, const char *kind, JsonObject *request,
                          const char *idempotency_key, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  const ChainVerb *verb = find_verb (kind);
  Preparation *preparation;
  GError *error = NULL;

  if (verb == NULL)
    {
      g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_INVALID,
                               "there is nothing called \"%.40s\" to be asked for", kind);
      return;
    }
  preparation = g_new0 (Preparation, 1);
  preparation->operations = g_object_ref (self);
  preparation->guest = g_object_ref (guest);
  preparation->verb = verb;
  preparation->request = json_object_ref (request);
  preparation->idempotency_key = g_strdup (idempotency_key);
  preparation->id = g_uuid_string_random ();
  preparation->cancellable = g_cancellable_new ();
  let_cancel (preparation->cancellable, cancellable);
  g_task_set_task_data (task, preparation, (GDestroyNotify) preparation_free);
  if (check_request (preparation, &error))
    prepare (task);
  else
    g_task_return_error (task, error);
}

/**
 * operations_request_finish:
 * @self: the operations
 * @result: the result
 * @plan: (out) (optional) (transfer full): what would be done, for a dry run
 * @error: return location: AGENT_ERROR INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE, TIMEOUT, GUEST,
 *   STORE; nothing has been touched then
 *
 * Returns: (transfer full) (nullable): the operation, running; %NULL without error for a dry run
 */
Operation *
operations_request_finish (Operations *self, GAsyncResult *result, JsonNode **plan, GError **error)
{
  Answer *answer = g_task_propagate_pointer (G_TASK (result), error);
  Operation *operation;

  if (plan != NULL)
    *plan = NULL;
  if (answer == NULL)
    return NULL;
  operation = g_steal_pointer (&answer->operation);
  if (plan != NULL)
    *plan = g_steal_pointer (&answer->plan);
  answer_free (answer);
  return operation;
}
