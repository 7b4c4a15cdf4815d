/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a request for a point becomes an operation: claim the disks, look at them, find out
 * which layers the store has already, plan, submit. */

#include "snapshot.h"

#include <core/error.h>
#include <disk/names.h>
#include <string.h>

#include "guest-errors.h"
#include "image-properties.h"
#include "inspect.h"
#include "known-images.h"
#include "backup.h"

typedef struct
{
  Operations      *operations;
  Guest           *guest;
  RequestKind      kind;
  JsonObject      *request_json;
  char            *idempotency_key;
  gboolean         holds_key;   /* it is the one that others with this key wait for */
  char            *id;          /* the operation's */
  SnapshotRequest *request;
  Claim           *claim;
  char           **claimed;     /* (nullable): the names of the disks that it is on */
  Inspection      *inspection;
  GPtrArray       *chosen;      /* of Disk, of the inspection */
  GPtrArray       *entries;     /* of GPtrArray of NamesEntry, beside @chosen */
  KnownImages     *known;
} Preparation;

static void prepare (GTask *task);

/* Those who repeated the request meanwhile find an operation now, or try themselves. */
static void
release_key (Preparation *self)
{
  g_autoptr (GPtrArray) waiting = NULL;
  g_autofree char *key = NULL;

  if (!self->holds_key)
    return;
  g_hash_table_steal_extended (operations_get_preparing (self->operations), self->idempotency_key,
                               (gpointer *) &key, (gpointer *) &waiting);
  for (guint i = 0; i < waiting->len; i++)
    prepare (g_ptr_array_index (waiting, i));
}

static void
preparation_free (Preparation *self)
{
  release_key (self);
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  json_object_unref (self->request_json);
  g_free (self->idempotency_key);
  g_free (self->id);
  snapshot_request_free (self->request);
  g_clear_object (&self->claim);
  g_strfreev (self->claimed);
  inspection_free (self->inspection);
  g_clear_pointer (&self->chosen, g_ptr_array_unref);
  g_ptr_array_unref (self->entries);
  known_images_free (self->known);
  g_free (self);
}

/* --- may a point be taken of this guest now? --- */

static gboolean
check_guest (Guest *guest, const SnapshotRequest *request, GError **error)
{
  static const char *const not_now[] = {
    "inmigrate", "finish-migrate", "postmigrate", "save-vm", "restore-vm", "colo", NULL
  };
  const char *run_state = guest_get_run_state (guest);

  if (guest_require_client (guest, error) == NULL)
    return FALSE;
  if (run_state != NULL && g_strv_contains (not_now, run_state))
    {
      /* QEMU itself would say yes to a snapshot while it is inmigrate. */
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until the migration has ended",
                       "guest %s is in the state \"%s\"", guest_get_id (guest), run_state);
      return FALSE;
    }
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

static void
add_node_jobs (QmpNode *node, GPtrArray *names)
{
  for (guint i = 0; i < node->jobs->len; i++)
    if (!g_ptr_array_find_with_equal_func (names, g_ptr_array_index (node->jobs, i), g_str_equal,
                                           NULL))
      g_ptr_array_add (names, g_ptr_array_index (node->jobs, i));
}

/* The block jobs that hold a node of the disk's chain. */
static GPtrArray *
jobs_of_disk (QmpGraph *graph, Disk *disk)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      QmpNode *node = qmp_graph_find_node (graph, layer->node);

      if (node != NULL)
        add_node_jobs (node, names);
    }
  return names;
}

static gboolean
collect_jobs (Preparation *self, GStrvBuilder *ending, GError **error)
{
  for (guint i = 0; i < self->chosen->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->chosen, i);
      g_autoptr (GPtrArray) names = jobs_of_disk (self->inspection->graph, disk);

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

static gboolean
plan_uploads (Preparation *self, Disk *disk, const DiskPlan *plan, GPtrArray *uploads,
              GError **error)
{
  const SnapshotRequest *request = self->request;
  const char *guest = guest_get_id (self->guest);
  const ImageInfo *base = g_hash_table_lookup (self->known->bases, disk->name);
  g_autofree char *name = self->chosen->len == 1
    ? g_strdup (request->name) : g_strdup_printf ("%s/%s", request->name, disk->name);

  if (request->image == IMAGE_NONE)
    return TRUE;
  if (request->image == IMAGE_LAYER
      ? !upload_plan_disk (disk, plan->layer, request, guest, name, self->id, self->known->layers,
                           uploads, error)
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

  if (!collect_jobs (self, ending, error))
    return NULL;
  job->jobs = g_strv_builder_end (ending);
  job->name = g_strdup (self->request->name);
  job->quiesce_policy = self->request->quiesce;
  job->was_running = g_strcmp0 (guest_get_run_state (self->guest), "running") == 0;
  job->pid = guest_get_pid (self->guest);
  job->start_time = (gint64) guest_get_start_time (self->guest);
  job->boot_id = backup_dup_boot_id ();
  job->folds = self->kind == REQUEST_IMAGE;
  job->late_policy = limits.cannot_stop ? LATE_LEAVE : self->request->late_policy;
  job->deadline_s = self->request->deadline_s;

  for (guint i = 0; i < self->chosen->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->chosen, i);
      DiskPlan *plan = snapshot_plan_disk (disk, i, g_ptr_array_index (self->entries, i),
                                           self->request, guest, self->id, &limits, error);

      if (plan == NULL)
        return NULL;
      g_ptr_array_add (job->disks, plan);
      if (!plan_uploads (self, disk, plan, job->uploads, error))
        return NULL;
    }
  return g_steal_pointer (&job);
}

static const Workflow *
workflow_of (RequestKind kind)
{
  return kind == REQUEST_IMAGE ? &full_image_workflow : &quick_backup_workflow;
}

static void
submit (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (Backup) job = NULL;
  GError *error = NULL;
  Operation *operation;

  job = make_plan (self, &error);
  if (job == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  backup_save_plan (job, plan);
  operation = engine_submit (operations_get_engine (self->operations),
                             workflow_of (self->kind)->kind, self->id, self->claim,
                             self->request_json, plan, self->idempotency_key, &error);
  if (operation != NULL)
    g_task_return_pointer (task, g_object_ref (operation), g_object_unref);
  else
    g_task_return_error (task, error);
}

static void
on_known (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->known = known_images_finish (result, &error);
  if (self->known != NULL)
    submit (task);
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

static gboolean
check_migration (Preparation *self, GError **error)
{
  if (!self->inspection->migrating)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until the migration has ended",
                   "guest %s is being migrated: what it writes above the point would be lost there",
                   guest_get_id (self->guest));
  return FALSE;
}

/* Only a look at the guest tells which disks are meant; what it saw of them may change until
 * they are claimed. */
static gboolean
choose_and_claim (Preparation *self, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *const *disks;

  g_clear_pointer (&self->chosen, g_ptr_array_unref);
  self->chosen = snapshot_select (self->inspection->disks, self->request, error);
  if (self->chosen == NULL)
    return FALSE;
  for (guint i = 0; i < self->chosen->len; i++)
    g_ptr_array_add (names, ((Disk *) g_ptr_array_index (self->chosen, i))->name);
  g_ptr_array_add (names, NULL);
  disks = (const char *const *) names->pdata;
  if (self->claimed != NULL)
    {
      if (g_strv_equal ((const char *const *) self->claimed, disks))
        return TRUE;
      agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                       "the disks of guest %s changed meanwhile", guest_get_id (self->guest));
      return FALSE;
    }
  if (self->claim == NULL)
    self->claim = engine_claim (operations_get_engine (self->operations),
                                guest_get_id (self->guest), disks, self->id, error);
  else
    claim_narrow (self->claim, disks);
  self->claimed = g_strdupv ((char **) disks);
  return self->claim != NULL;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Preparation *self = g_task_get_task_data (task);
  gboolean was_claimed = self->claim != NULL;
  g_autoptr (GTask) naming = NULL;
  GError *error = NULL;

  g_clear_pointer (&self->inspection, inspection_free);
  self->inspection = inspect_finish (result, &error);
  if (self->inspection == NULL || !check_migration (self, &error)
      || !choose_and_claim (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (!was_claimed)
    {
      inspect_async (self->guest, g_task_get_cancellable (task), on_inspected,
                     g_object_ref (task));
      return;
    }
  naming = g_task_new (NULL, NULL, on_named, g_object_ref (task));
  g_task_set_task_data (naming, self, NULL);
  g_task_run_in_thread (naming, list_names);
}

/* FALSE when another request with the same key is on its way: the task then waits for that one's
 * end. */
static gboolean
take_key (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  GHashTable *preparing = operations_get_preparing (self->operations);
  GPtrArray *waiting;

  if (self->idempotency_key == NULL)
    return TRUE;
  waiting = g_hash_table_lookup (preparing, self->idempotency_key);
  if (waiting != NULL)
    {
      g_ptr_array_add (waiting, g_object_ref (task));
      return FALSE;
    }
  g_hash_table_insert (preparing, g_strdup (self->idempotency_key),
                       g_ptr_array_new_with_free_func (g_object_unref));
  self->holds_key = TRUE;
  return TRUE;
}

static void
prepare (GTask *task)
{
  Preparation *self = g_task_get_task_data (task);
  Engine *engine = operations_get_engine (self->operations);
  GError *error = NULL;
  Operation *repeated;

  if (!take_key (task))
    return;
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
  if (self->request != NULL && check_guest (self->guest, self->request, &error)
      && self->request->disks == NULL)
    self->claim = engine_claim (engine, guest_get_id (self->guest), NULL, self->id, &error);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    inspect_async (self->guest, g_task_get_cancellable (task), on_inspected, g_object_ref (task));
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
 * @error: return location: AGENT_ERROR INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE, TIMEOUT, GUEST,
 *   STORE
 *
 * Returns: (transfer full): the operation, running
 */
Operation *
snapshot_prepare_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
