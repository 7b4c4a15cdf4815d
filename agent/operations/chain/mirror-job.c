/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a mirror from end to end: make the target, copy while the guest writes, and end with a copy
 * or with a guest that has moved to it. The steps themselves are in the files that mirror.h
 * names. */

#include "mirror.h"

#include <core/error.h>
#include <disk/device-number.h>

#include "../fields.h"

/* From "copy" on everything begins by looking. While the job ends, the guest's I/O stands still. */
static const Step mirror_steps[] = {
  /* name             starts           when          cleans up after  held   needed if */
  { "create-target",  mirror_create,   STEP_FORWARD, NULL,            FALSE, NULL },
  { "open-target",    mirror_open,     STEP_FORWARD, NULL,            FALSE, NULL },
  { "copy",           mirror_copy,     STEP_ALWAYS,  "open-target",   FALSE, NULL },
  { "freeze",         mirror_freeze,   STEP_FORWARD, NULL,            TRUE,  NULL },
  { "end-copy",       mirror_end,      STEP_ALWAYS,  "open-target",   TRUE,  NULL },
  { "go-on",          mirror_go_on,    STEP_ALWAYS,  "open-target",   TRUE,  NULL },
  { "thaw",           mirror_thaw,     STEP_ALWAYS,  "freeze",        TRUE,  NULL },
  { "speed-up",       mirror_speed_up, STEP_ALWAYS,  "open-target",   FALSE, NULL },
  { "close-target",   mirror_close,    STEP_ALWAYS,  "create-target", FALSE, NULL },
  { "check",          mirror_check,    STEP_FORWARD, NULL,            FALSE, NULL },
  { NULL }
};

static const Field job_fields[] = {
  FIELD (MirrorJob, disk, FIELD_STRING),
  FIELD (MirrorJob, target, FIELD_ENUM),
  FIELD (MirrorJob, path, FIELD_STRING),
  FIELD (MirrorJob, nbd_host, FIELD_STRING),
  FIELD (MirrorJob, nbd_port, FIELD_STRING),
  FIELD (MirrorJob, nbd_export, FIELD_STRING),
  FIELD (MirrorJob, format, FIELD_STRING),
  FIELD (MirrorJob, like, FIELD_STRING),
  FIELD (MirrorJob, backing_name, FIELD_STRING),
  FIELD (MirrorJob, backing_format, FIELD_STRING),
  FIELD (MirrorJob, backing_node, FIELD_STRING),
  FIELD (MirrorJob, detect_zeroes, FIELD_STRING),
  FIELD (MirrorJob, cache_direct, FIELD_BOOLEAN),
  FIELD (MirrorJob, cache_no_flush, FIELD_BOOLEAN),
  FIELD (MirrorJob, virtual_size, FIELD_INT64),
  FIELD (MirrorJob, device_size, FIELD_INT64),
  FIELD (MirrorJob, file_known, FIELD_BOOLEAN),
  FIELD (MirrorJob, node, FIELD_STRING),
  FIELD (MirrorJob, file_node, FIELD_STRING),
  FIELD (MirrorJob, boot_id, FIELD_STRING),
  FIELD (MirrorJob, quiesce_policy, FIELD_ENUM),
  FIELD (MirrorJob, may_freeze, FIELD_BOOLEAN),
  FIELD (MirrorJob, pivots.peer.pid, FIELD_INT64),
  FIELD (MirrorJob, pivots.peer.start_time, FIELD_INT64),
  { NULL }
};

MirrorJob *
mirror_job_new (void)
{
  MirrorJob *self = g_new0 (MirrorJob, 1);

  pivot_set_init (&self->pivots, NULL, &(Peer) { 0 });
  return self;
}

void
mirror_job_free (MirrorJob *self)
{
  if (self == NULL)
    return;
  pivot_set_clear (&self->pivots);
  g_clear_object (&self->quiesce);
  g_clear_object (&self->guest);
  g_clear_object (&self->operations);
  g_clear_object (&self->operation);
  g_free (self->disk);
  g_free (self->path);
  g_free (self->nbd_host);
  g_free (self->nbd_port);
  g_free (self->nbd_export);
  g_free (self->format);
  g_free (self->like);
  g_free (self->backing_name);
  g_free (self->backing_format);
  g_free (self->backing_node);
  g_free (self->detect_zeroes);
  g_free (self->node);
  g_free (self->file_node);
  g_free (self->boot_id);
  g_strfreev (self->left_nodes);
  g_free (self);
}

/**
 * mirror_job_pivot:
 * @self: a job with a plan
 *
 * Returns: (transfer none): its pivot; of a copy that is kept, one that ends where it began
 */
Pivot *
mirror_job_pivot (const MirrorJob *self)
{
  return g_ptr_array_index (self->pivots.pivots, 0);
}

/**
 * mirror_job_save:
 * @self: a job
 * @plan: an operation's plan
 */
void
mirror_job_save (const MirrorJob *self, JsonObject *plan)
{
  g_autoptr (JsonArray) nodes = json_array_new ();

  for (guint i = 0; self->left_nodes != NULL && self->left_nodes[i] != NULL; i++)
    json_array_add_string_element (nodes, self->left_nodes[i]);
  json_object_set_member (plan, "mirror", fields_to_json (job_fields, self));
  json_object_set_array_member (plan, "left_nodes", g_steal_pointer (&nodes));
  pivot_set_save (&self->pivots, plan);
}

/**
 * mirror_job_load:
 * @self: a new job
 * @plan: what mirror_job_save() has written to
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: whether the plan is whole
 */
gboolean
mirror_job_load (MirrorJob *self, JsonObject *plan, GError **error)
{
  JsonNode *node = json_object_get_member (plan, "mirror");
  JsonNode *nodes = json_object_get_member (plan, "left_nodes");
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  if (node != NULL && !fields_from_json (job_fields, self, node, error))
    return FALSE;
  if (!pivot_set_load (&self->pivots, plan, error))
    return FALSE;
  if (node == NULL || nodes == NULL || !JSON_NODE_HOLDS_ARRAY (nodes)
      || self->pivots.pivots->len != 1)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan is none of a mirror");
      return FALSE;
    }
  for (guint i = 0; i < json_array_get_length (json_node_get_array (nodes)); i++)
    {
      JsonNode *each = json_array_get_element (json_node_get_array (nodes), i);

      if (JSON_NODE_HOLDS_VALUE (each) && json_node_get_value_type (each) == G_TYPE_STRING)
        g_strv_builder_add (names, json_node_get_string (each));
    }
  self->left_nodes = g_strv_builder_end (names);
  return TRUE;
}

static gpointer
job_new (Operation *operation, gpointer environment, GError **error)
{
  g_autoptr (MirrorJob) self = mirror_job_new ();
  Operations *operations = environment;
  Guest *guest = guest_registry_find (operations_get_guests (operations),
                                      operation_get_guest (operation), NULL);

  self->operation = g_object_ref (operation);
  self->operations = g_object_ref (operations);
  self->guest = guest != NULL ? g_object_ref (guest) : NULL;
  if (!mirror_job_load (self, operation_get_plan (operation), error))
    return NULL;
  if (!device_number_holds (self->boot_id))
    pivot_set_renew_devices (&self->pivots);
  self->pivots.operation = operation;
  self->pivots.peer.guest = self->guest;
  self->pivots.cancellable = operation_get_cancellable (operation);
  return g_steal_pointer (&self);
}

static void
job_free (gpointer job)
{
  mirror_job_free (job);
}

/* Nothing is known before that QEMU and the files will not say. */
static void
gather_facts (GTask *step, gpointer job)
{
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

/**
 * mirror_decide:
 * @job: the job
 * @last_step: (nullable): the last step that had begun
 * @ended: whether it had ended
 *
 * Pure.
 *
 * Returns: the decision
 */
Recovery
mirror_decide (gpointer job, const char *last_step, gboolean ended)
{
  static const char *const before[] = { "create-target", "open-target", NULL };

  if (last_step == NULL || g_strv_contains (before, last_step))
    return (Recovery) { RECOVERY_UNDO, NULL, "the copy had not begun" };
  return (Recovery) { RECOVERY_RESUME, "copy", "the copy had begun" };
}

const Workflow chain_mirror_workflow = {
  .kind = "mirror",
  .steps = mirror_steps,
  .job_new = job_new,
  .job_free = job_free,
  .gather_facts = gather_facts,
  .decide = mirror_decide,
  .patient_from = "copy",
};
