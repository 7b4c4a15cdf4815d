/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the pivots of an operation as data: how they are written down and read again, and when all
 * of them have come to their end. */

#include "pivot-private.h"

#include <core/error.h>
#include <disk/device-number.h>

#include "fields.h"
#include "guest-errors.h"
#include "told.h"

static const Field pivot_fields[] = {
  FIELD (Pivot, way, FIELD_ENUM),
  FIELD (Pivot, disk, FIELD_STRING),
  FIELD (Pivot, published, FIELD_STRING),
  FIELD (Pivot, unpublish, FIELD_BOOLEAN),
  FIELD (Pivot, from_path, FIELD_STRING),
  FIELD (Pivot, from_dev, FIELD_INT64),
  FIELD (Pivot, from_ino, FIELD_INT64),
  FIELD (Pivot, to_path, FIELD_STRING),
  FIELD (Pivot, to_dev, FIELD_INT64),
  FIELD (Pivot, to_ino, FIELD_INT64),
  FIELD (Pivot, to_node, FIELD_STRING),
  FIELD (Pivot, job, FIELD_STRING),
  FIELD (Pivot, speed, FIELD_INT64),
  FIELD (Pivot, on_error, FIELD_STRING),
  FIELD (Pivot, sync, FIELD_STRING),
  FIELD (Pivot, copy_mode, FIELD_STRING),
  FIELD (Pivot, once, FIELD_BOOLEAN),
  FIELD (Pivot, state, FIELD_ENUM),
  FIELD (Pivot, kept, FIELD_STRING),
  FIELD (Pivot, kept_code, FIELD_ENUM),
  FIELD (Pivot, astray, FIELD_BOOLEAN),
  FIELD (Pivot, limited_device, FIELD_STRING),
  FIELD (Pivot, moved, FIELD_INT64),
  FIELD (Pivot, held_us, FIELD_INT64),
  { NULL }
};

static const Field set_fields[] = {
  FIELD (PivotSet, late_policy, FIELD_ENUM),
  FIELD (PivotSet, deadline_s, FIELD_INT64),
  FIELD (PivotSet, may_halt, FIELD_BOOLEAN),
  { NULL }
};

/**
 * pivot_new:
 *
 * Returns: (transfer full): a pivot whose members are for the caller to fill in
 */
Pivot *
pivot_new (void)
{
  return g_new0 (Pivot, 1);
}

/**
 * pivot_free:
 * @self: (nullable): a pivot
 */
void
pivot_free (Pivot *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->published);
  g_free (self->from_path);
  g_free (self->to_path);
  g_free (self->to_node);
  g_free (self->job);
  g_free (self->on_error);
  g_free (self->sync);
  g_free (self->copy_mode);
  g_free (self->kept);
  g_free (self->limited_device);
  g_free (self);
}

/**
 * pivot_set_init:
 * @self: (out caller-allocates): a set
 * @operation: whose pivots they are; it must outlive the set
 * @peer: the process that the plan was made for
 */
void
pivot_set_init (PivotSet *self, Operation *operation, const Peer *peer)
{
  *self = (PivotSet) {
    .operation = operation,
    .peer = *peer,
    .pivots = g_ptr_array_new_with_free_func ((GDestroyNotify) pivot_free),
  };
}

/**
 * pivot_set_clear:
 * @self: a set, or one that is all zero
 */
void
pivot_set_clear (PivotSet *self)
{
  g_clear_pointer (&self->pivots, g_ptr_array_unref);
}

/**
 * pivot_set_save:
 * @self: a set
 * @plan: an operation's plan
 */
void
pivot_set_save (const PivotSet *self, JsonObject *plan)
{
  g_autoptr (JsonArray) each = json_array_new ();
  g_autoptr (JsonNode) node = fields_to_json (set_fields, self);

  for (guint i = 0; i < self->pivots->len; i++)
    json_array_add_element (each, fields_to_json (pivot_fields,
                                                  g_ptr_array_index (self->pivots, i)));
  json_object_set_array_member (json_node_get_object (node), "each", g_steal_pointer (&each));
  json_object_set_member (plan, "pivots", g_steal_pointer (&node));
}

/* What was found of it before may have changed; but a copy that was finished stays so. */
static void
forget_state (Pivot *pivot)
{
  if (pivot->way != PIVOT_COPY || pivot->state != PIVOT_DONE)
    pivot->state = PIVOT_UNKNOWN;
}

/**
 * pivot_set_load:
 * @self: a set without pivots
 * @plan: what pivot_set_save() has written to; or a plan without pivots
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: whether the plan is whole
 */
gboolean
pivot_set_load (PivotSet *self, JsonObject *plan, GError **error)
{
  JsonNode *node = json_object_get_member (plan, "pivots");
  JsonNode *each;

  if (node == NULL)
    return TRUE;
  if (!fields_from_json (set_fields, self, node, error))
    return FALSE;
  each = json_object_get_member (json_node_get_object (node), "each");
  if (each == NULL || !JSON_NODE_HOLDS_ARRAY (each))
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                       "the journal's plan has no list of pivots");
      return FALSE;
    }
  for (guint i = 0; i < json_array_get_length (json_node_get_array (each)); i++)
    {
      g_autoptr (Pivot) pivot = pivot_new ();

      if (!fields_from_json (pivot_fields, pivot,
                             json_array_get_element (json_node_get_array (each), i), error))
        return FALSE;
      forget_state (pivot);
      g_ptr_array_add (self->pivots, g_steal_pointer (&pivot));
    }
  /* A stop that a pivot was about to order, when we died. */
  self->halted = self->may_halt;
  return TRUE;
}

/**
 * pivot_set_renew_devices:
 * @self: a set that a start of the host ago was written down
 *
 * A file keeps its inode then; its device may get another number.
 */
void
pivot_set_renew_devices (PivotSet *self)
{
  for (guint i = 0; i < self->pivots->len; i++)
    {
      Pivot *pivot = g_ptr_array_index (self->pivots, i);

      device_number_renew (&pivot->from_dev, pivot->from_path, pivot->from_ino, 0);
      device_number_renew (&pivot->to_dev, pivot->to_path, pivot->to_ino, 0);
    }
}

/**
 * pivot_set_settled:
 * @self: a set
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: whether each device is where it is to be, or is to stay
 */
gboolean
pivot_set_settled (const PivotSet *self, GError **error)
{
  for (guint i = 0; i < self->pivots->len; i++)
    {
      const Pivot *pivot = g_ptr_array_index (self->pivots, i);

      if (pivot->state == PIVOT_DONE || pivot->state == PIVOT_KEPT)
        continue;
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "it is tried again when the guest is back",
                       "disk %s has not left %s yet", pivot->disk, pivot->from_path);
      return FALSE;
    }
  return TRUE;
}

/* What copies tells of disks, what merges of moves. */
JsonObject *
pivot_told (PivotSet *set, const Pivot *pivot)
{
  JsonObject *told = told_find (set->operation, "disks", "disk", pivot->disk);

  return told != NULL ? told : told_find (set->operation, "moves", "disk", pivot->disk);
}

void
pivot_keep (PivotSet *set, Pivot *pivot, GError *reason)
{
  g_autoptr (GError) adopted = guest_error_adopt (reason);
  JsonObject *told = pivot_told (set, pivot);

  pivot->state = PIVOT_KEPT;
  /* Whoever looks again finds what the first failure has left, not why it was one. */
  if (pivot->kept != NULL)
    return;

  g_message ("operation %s: disk %s stays on %s: %s", operation_get_id (set->operation),
             pivot->disk, pivot->from_path, adopted->message);
  if (told != NULL)
    json_object_set_string_member (told, "kept", adopted->message);
  pivot->kept = g_strdup (adopted->message);
  pivot->kept_code = (AgentError) adopted->code;
}

void
pivot_step_end (GTask *step, PivotSet *set, GError *error)
{
  pivot_set_save (set, operation_get_plan (set->operation));
  if (error == NULL)
    g_task_return_boolean (step, TRUE);
  else
    g_task_return_error (step, guest_error_name (set->peer.guest, error));
  g_object_unref (step);
}
