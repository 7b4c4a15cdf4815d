/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a request for a point becomes an operation: claim the disks, look at them, find out
 * which layers the store has already, plan, submit. */

#include "snapshot.h"

#include <core/error.h>
#include <disk/device-number.h>
#include <disk/names.h>

#include "guest-errors.h"
#include "image-properties.h"
#include "image-removal.h"
#include "known-disks.h"
#include "known-images.h"
#include "backup.h"
#include "points.h"
#include "prepare-check.h"
#include "prepare-key.h"
#include "room.h"

typedef struct
{
  Operations      *operations;
  Guest           *guest;
  RequestKind      kind;
  JsonObject      *request_json;
  char            *idempotency_key;
  gboolean         holds_key;   /* see prepare-key.h */
  char            *id;          /* the operation's */
  SnapshotRequest *request;
  PreparedClaim    claim;
  gboolean         looked;      /* at disks that were claimed by then */
  QmpClient       *client;      /* (nullable): the link to the guest when it was looked at */
  Inspection      *inspection;
  GPtrArray       *chosen;      /* of Disk, of the inspection */
  GPtrArray       *entries;     /* of GPtrArray of NamesEntry, beside @chosen */
  GPtrArray       *points;      /* of Point: the guest's */
  KnownImages     *known;
  JsonObject      *plan;        /* once it is made */
} Preparation;

static void
preparation_free (Preparation *self)
{
  if (self->holds_key)
    prepare_key_release (self->operations, self->idempotency_key);
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  json_object_unref (self->request_json);
  g_free (self->idempotency_key);
  g_free (self->id);
  snapshot_request_free (self->request);
  prepared_claim_clear (&self->claim);
  g_clear_object (&self->client);
  inspection_free (self->inspection);
  g_clear_pointer (&self->chosen, g_ptr_array_unref);
  g_ptr_array_unref (self->entries);
  g_clear_pointer (&self->points, g_ptr_array_unref);
  known_images_free (self->known);
  g_clear_pointer (&self->plan, json_object_unref);
  g_free (self);
}

/* --- may a point be taken of this guest now? --- */

static gboolean
check_guest (Guest *guest, const SnapshotRequest *request, GError **error)
{
  if (!prepare_check_guest (guest, error))
    return FALSE;
  if (!qmp_features_has_command (guest_get_features (guest), "blockdev-reopen"))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "QEMU 6.1 and later have it",
                       "the QEMU of guest %s has no blockdev-reopen", guest_get_id (guest));
      return FALSE;
    }
  if (request->quiesce == QUIESCE_REQUIRE && guest_get_config (guest)->agent == NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "attach the guest with its agent's socket",
                       "guest %s is to be quiesced, but the socket of its guest agent is not known",
                       guest_get_id (guest));
      return FALSE;
    }
  return TRUE;
}

static gboolean
collect_jobs (Preparation *self, GStrvBuilder *ending, GError **error)
{
  for (guint i = 0; i < self->chosen->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->chosen, i);
      g_autoptr (GPtrArray) names = prepare_jobs_of_disk (self->inspection->graph, disk);

      for (guint j = 0; j < names->len; j++)
        {
          const char *name = g_ptr_array_index (names, j);

          if (!self->request->end_jobs)
            {
              agent_set_error (error, AGENT_ERROR_CONFLICT,
                               "wait for it, or have it ended first (end_jobs)",
                               "disk %s: QEMU's block job \"%s\" works on it", disk->name, name);
              return FALSE;
            }
          g_strv_builder_add (ending, name);
        }
    }
  return TRUE;
}

/* --- the plan --- */

/* Whether the guest has written to the file at the bottom: it has been the active layer, or one was
 * merged into it. */
static gboolean
is_base_written (Preparation *self, Disk *disk, GPtrArray *entries)
{
  const Layer *base = g_ptr_array_index (disk->layers, disk->layers->len - 1);
  g_autofree char *published = snapshot_plan_published (disk, self->request,
                                                        guest_get_id (self->guest));
  NamesChoice names = { 0 };

  if (!base->known)
    return FALSE;
  names_choose (published, base->facts.dev, base->facts.ino, entries, &names);
  names_choice_clear (&names);
  return names.layer_exists || points_find_in (self->points, base->path, &base->facts) != NULL;
}

static gboolean
plan_layers (Preparation *self, Disk *disk, const DiskPlan *plan, GPtrArray *entries,
             const char *name, GPtrArray *uploads, GError **error)
{
  const SnapshotRequest *request = self->request;
  GHashTable *layers = self->known->layers;
  const char *reference = upload_plan_reference (disk, request,
                                                 is_base_written (self, disk, entries), layers);

  if (reference != NULL && !g_hash_table_contains (self->known->bases, disk->name))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "name an image that is there and active",
                       "image_ref: the store has no image %s", reference);
      return FALSE;
    }
  return upload_plan_disk (disk, plan->layer, request, reference, guest_get_id (self->guest), name,
                           self->id, layers, uploads, error);
}

static gboolean
plan_uploads (Preparation *self, Disk *disk, const DiskPlan *plan, GPtrArray *entries,
              GPtrArray *uploads, GError **error)
{
  const SnapshotRequest *request = self->request;
  const ImageInfo *base = g_hash_table_lookup (self->known->bases, disk->name);
  g_autofree char *name = self->chosen->len == 1
    ? g_strdup (request->name) : g_strdup_printf ("%s/%s", request->name, disk->name);

  if (request->image == IMAGE_NONE)
    return TRUE;
  if (request->image == IMAGE_LAYER
      ? !plan_layers (self, disk, plan, entries, name, uploads, error)
      : !upload_plan_full (disk, plan->layer, request, name, self->id, uploads, error))
    return FALSE;
  /* The point's own comes last. */
  if (base != NULL)
    upload_plan_inherit (g_ptr_array_index (uploads, uploads->len - 1), base);
  return image_properties_check (g_ptr_array_index (uploads, uploads->len - 1), request->metadata,
                                 error);
}

static Backup *
make_plan (Preparation *self, GError **error)
{
  g_autoptr (Backup) job = backup_new ();
  g_autoptr (GStrvBuilder) ending = g_strv_builder_new ();
  const char *guest = guest_get_id (self->guest);
  PeerLimits limits = {
    .reopen_kills = self->inspection->reopen_kills,
    .cannot_stop = guest_get_kind (self->guest) == GUEST_KIND_STORAGE_DAEMON,
  };

  if (!prepare_check_same (self->guest, self->client, error)
      || !collect_jobs (self, ending, error))
    return NULL;
  job->jobs = g_strv_builder_end (ending);
  job->name = g_strdup (self->request->name);
  job->quiesce_policy = self->request->quiesce;
  job->was_running = g_strcmp0 (guest_get_run_state (self->guest), "running") == 0;
  job->pid = guest_get_pid (self->guest);
  job->start_time = (gint64) guest_get_start_time (self->guest);
  job->boot_id = device_number_dup_boot ();
  job->folds = self->kind == REQUEST_IMAGE;
  job->pivots.late_policy = limits.cannot_stop ? LATE_LEAVE : self->request->late_policy;
  job->pivots.deadline_s = self->request->deadline_s;

  for (guint i = 0; i < self->chosen->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->chosen, i);
      GPtrArray *entries = g_ptr_array_index (self->entries, i);
      DiskPlan *plan = snapshot_plan_disk (disk, i, entries, self->request, guest, self->id,
                                           &limits, error);

      if (plan == NULL)
        return NULL;
      g_ptr_array_add (job->disks, plan);
      if (!plan_uploads (self, disk, plan, entries, job->uploads, error))
        return NULL;
    }
  return g_steal_pointer (&job);
}

static const Workflow *
workflow_of (RequestKind kind)
{
  return kind == REQUEST_IMAGE ? &full_image_workflow : &quick_backup_workflow;
}

/* Bytes of the chain that the store will be sent. */
static gint64
size_of_upload (const UploadPlan *upload, Disk *disk)
{
  gint64 size = 0;

  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known
          && (upload->layers != NULL || file_facts_are (&layer->facts, upload->dev, upload->ino)))
        size += (gint64) MIN (layer->facts.allocated, (guint64) G_MAXINT64 - (guint64) size);
    }
  return size;
}

/* Overlays are empty at first; what a guest will write to them nobody knows. */
static void
note_room (const Preparation *self, const Backup *job)
{
  const Config *config = operations_get_config (self->operations);

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      room_need (self->plan, disk->overlay, room_of_overlay (disk->virtual_size));
    }
  for (guint i = 0; g_str_equal (config->store, "folder") && i < job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      Disk *disk = disks_find (self->inspection->disks, upload->disk);

      if (disk != NULL)
        room_need (self->plan, config->store_folder, size_of_upload (upload, disk));
    }
}

/* --- points that need not stay --- */

static gboolean
is_in_long_chain (const Preparation *self, const Point *point)
{
  for (guint i = 0; i < self->chosen->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->chosen, i);

      for (guint j = 0; disk->layers->len + 1 > self->request->max_chain_length
                        && j < disk->layers->len; j++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, j);

          if (layer->known && point_is_in (point, layer->path, &layer->facts))
            return TRUE;
        }
    }
  return FALSE;
}

/* Once this one is in the store, chains that are too long then are shortened by themselves
 * (chain/keeper.c). Which points go with it shows only then: the cheapest. */
static void
tell_points (const Preparation *self, Operation *operation)
{
  g_autoptr (JsonArray) told = json_array_new ();

  if (self->kind != REQUEST_SNAPSHOT || self->request->image == IMAGE_NONE
      || self->request->max_chain_length == 0)
    return;
  for (guint i = 0; i < self->points->len; i++)
    {
      const Point *point = g_ptr_array_index (self->points, i);

      if (point_may_be_folded (point) && is_in_long_chain (self, point))
        json_array_add_string_element (told, point->name != NULL ? point->name : point->id);
    }
  if (json_array_get_length (told) > 0)
    json_object_set_array_member (operation_get_result (operation), "may_be_folded",
                                  g_steal_pointer (&told));
}

/* --- submitting --- */

/* From here on nobody may delete them, and nobody has begun to since we asked for them. */
static gboolean
check_parents (Preparation *self, GError **error)
{
  g_autoptr (Backup) job = backup_new ();

  if (!backup_load_plan (job, self->plan, error))
    return FALSE;
  for (guint i = 0; i < job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);

      if (upload->parent_image != NULL
          && image_removal_has_begun (self->operations, upload->parent_image))
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                           "image %s, which this one would need, is being deleted",
                           upload->parent_image);
          return FALSE;
        }
    }
  return TRUE;
}

static void
submit (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;
  Operation *operation = NULL;

  if (prepare_check_known (self->operations, self->guest, &error)
      && check_parents (self, &error))
    operation = engine_submit (operations_get_engine (self->operations),
                               workflow_of (self->kind)->kind, self->id, self->claim.claim,
                               self->request_json, self->plan, self->idempotency_key, &error);
  if (operation == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  tell_points (self, operation);
  g_task_return_pointer (task, g_object_ref (operation), g_object_unref);
}

static void
on_room (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (room_check_finish (result, NULL, &error))
    submit (task);
  else
    g_task_return_error (task, error);
}

static void
check_room (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  g_autoptr (Backup) job = NULL;
  GError *error = NULL;

  self->points = points_list (operations_get_journal (self->operations),
                              guest_get_id (self->guest), &error);
  if (self->points != NULL)
    job = make_plan (self, &error);
  if (job == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  self->plan = json_object_new ();
  backup_save_plan (job, self->plan);
  note_room (self, job);
  room_check_async (self->operations, workflow_of (self->kind)->kind, self->plan,
                    g_task_get_cancellable (task), on_room, g_object_ref (task));
}

static void
on_known (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->known = known_images_finish (result, &error);
  if (self->known != NULL)
    check_room (task);
  else
    g_task_return_error (task, error);
}

/* --- looking --- */

static void
on_named (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (task, error);
      return;
    }
  known_images_async (self->operations, self->chosen, self->request, g_task_get_cancellable (task),
                      on_known, g_object_ref (task));
}

static void
list_names (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Preparation *self = task_data;
  GError *error = NULL;

  for (guint i = 0; i < self->chosen->len; i++)
    {
      g_autofree char *published = snapshot_plan_published (g_ptr_array_index (self->chosen, i),
                                                            self->request,
                                                            guest_get_id (self->guest));
      GPtrArray *entries = names_list (published, &error);

      if (entries == NULL)
        {
          g_task_return_error (task, error);
          return;
        }
      g_ptr_array_add (self->entries, entries);
    }
  g_task_return_boolean (task, TRUE);
}

static void inspect (GTask *task);

/* --- claiming --- */

/* Only a look at the guest tells which disks are meant. */
static void
on_claimed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  g_autoptr (GTask) naming = NULL;
  GError *error = NULL;

  if (!prepare_claim_finish (result, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (!self->looked)
    {
      inspect (task);
      return;
    }
  naming = g_task_new (NULL, NULL, on_named, g_object_ref (task));
  g_task_set_task_data (naming, self, NULL);
  g_task_run_in_thread (naming, list_names);
}

/* @disks: (nullable) (element-type Disk): those that are meant; NULL: nobody has looked yet */
static void
claim (GTask *task, GPtrArray *disks)
{
  Preparation *self = g_task_get_task_data (task);

  prepare_claim_async (&self->claim, self->operations, self->guest, disks, self->id,
                       g_task_get_cancellable (task), on_claimed, g_object_ref (task));
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  g_clear_pointer (&self->chosen, g_ptr_array_unref);
  g_clear_pointer (&self->inspection, inspection_free);
  self->inspection = known_disks_inspect_finish (result, &error);
  if (self->inspection != NULL
      && prepare_check_migration (self->guest, self->inspection, &error))
    self->chosen = snapshot_select (self->inspection->disks, self->request, &error);
  if (self->chosen == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  /* What was seen of disks that were claimed is still so. */
  self->looked = self->claim.claim != NULL;
  claim (task, self->chosen);
}

static void
inspect (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);

  g_set_object (&self->client, guest_get_client (self->guest));
  known_disks_inspect_async (self->operations, self->guest, g_task_get_cancellable (task),
                             on_inspected, g_object_ref (task));
}

static void
prepare (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  Engine *engine = operations_get_engine (self->operations);
  GError *error = NULL;
  Operation *repeated;

  if (!prepare_key_take (self->operations, self->idempotency_key, task, prepare))
    return;
  self->holds_key = TRUE;
  repeated = engine_repeated (engine, self->idempotency_key, workflow_of (self->kind)->kind,
                              guest_get_id (self->guest), self->request_json, &error);
  if (repeated != NULL)
    {
      g_task_return_pointer (task, g_object_ref (repeated), g_object_unref);
      return;
    }
  if (error == NULL)
    self->request = snapshot_request_parse (self->request_json, self->kind,
                                            operations_get_config (self->operations),
                                            guest_get_config (self->guest), &error);
  if (self->request == NULL || !check_guest (self->guest, self->request, &error))
    g_task_return_error (task, error);
  else if (self->request->disks == NULL)
    claim (task, NULL);
  else
    inspect (task);
}

/**
 * snapshot_prepare_async:
 * @operations: the operations
 * @guest: the guest
 * @kind: what is asked for
 * @request: the request's body
 * @idempotency_key: (nullable): the same key and request give the same operation
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 */
void
snapshot_prepare_async (Operations *operations, Guest *guest, RequestKind kind,
                        JsonObject *request, const char *idempotency_key,
                        GCancellable *cancellable, GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Preparation *self = g_new0 (Preparation, 1);

  self->operations = g_object_ref (operations);
  self->guest = g_object_ref (guest);
  self->kind = kind;
  self->request_json = json_object_ref (request);
  self->idempotency_key = g_strdup (idempotency_key);
  self->id = g_uuid_string_random ();
  self->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref);
  g_task_set_task_data (task, self, (GDestroyNotify) preparation_free);
  prepare (task);
}

/**
 * snapshot_prepare_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR INVALID, NOT_FOUND, CONFLICT, NO_SPACE, UNAVAILABLE,
 *   TIMEOUT, GUEST, STORE
 *
 * Returns: (transfer full): the operation, running
 */
Operation *
snapshot_prepare_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
