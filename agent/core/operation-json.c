/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how people see an operation, in JSON. */

#include "operation-private.h"

#include <core/error.h>

/* RFC 3339, UTC, with microseconds. */
static void
set_time (JsonObject *object,
          const char *member,
          gint64      time_us)
{
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *seconds = NULL;
  g_autofree char *text = NULL;

  if (time_us == 0)
    {
      json_object_set_null_member (object, member);
      return;
    }

  time = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
  seconds = g_date_time_format (time, "%Y-%m-%dT%H:%M:%S");
  text = g_strdup_printf ("%s.%06dZ", seconds, (int) (time_us % G_USEC_PER_SEC));
  json_object_set_string_member (object, member, text);
}

static void
set_string (JsonObject *object,
            const char *member,
            const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
  else
    json_object_set_null_member (object, member);
}

static JsonArray *
steps_to_json (Operation *self)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < self->steps->len; i++)
    {
      StepRecord *record = operation_get_record (self, i);
      JsonObject *step;

      /* Of an operation that is over, only what really was. */
      if (record->begun_us == 0 && operation_is_finished (self))
        continue;

      step = json_object_new ();
      json_object_set_string_member (step, "name", record->name);
      json_object_set_string_member (step, "state", step_state_to_string (record->state));
      set_time (step, "begun", record->begun_us);
      set_time (step, "ended", record->ended_us);
      set_string (step, "error", record->error);
      json_array_add_object_element (array, step);
    }

  return array;
}

static JsonArray *
disks_to_json (Operation *self)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; self->disks[i] != NULL; i++)
    json_array_add_string_element (array, self->disks[i]);

  return array;
}

static void
set_error (JsonObject *object,
           Operation  *self)
{
  const GError *shown = self->obstacle != NULL ? self->obstacle : self->error;
  g_autofree char *message = NULL;
  JsonObject *member;

  if (shown == NULL)
    {
      json_object_set_null_member (object, "error");
      return;
    }

  if (shown == self->obstacle && self->error != NULL)
    message = g_strdup_printf ("not finished yet: %s (it failed with: %s)", shown->message,
                               self->error->message);
  else if (shown == self->obstacle)
    message = g_strdup_printf ("not finished yet: %s", shown->message);
  else
    message = g_strdup (shown->message);

  member = json_object_new ();
  json_object_set_string_member (member, "code", agent_error_to_word (shown));
  json_object_set_string_member (member, "message", message);
  set_string (member, "hint", agent_error_get_hint (shown));
  json_object_set_object_member (object, "error", member);
}

/* What was changed while it ran, and what it waits for. */
static void
set_control (JsonObject *object,
             JsonObject *plan)
{
  static const char *const members[] = { "speed", "paused", "waiting" };

  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    if (json_object_has_member (plan, members[i]))
      json_object_set_member (object, members[i], json_object_dup_member (plan, members[i]));
}

/**
 * operation_to_json:
 * @self: the operation
 *
 * Makes the form in which REST and CLI show an operation: id, kind, guest, disks (null: the whole
 * guest), state, step, steps, progress in bytes, error, request, result, and the times created,
 * started and finished. Of the plan only "speed" (bytes a second), "paused" and
 * "waiting" are shown, once they were changed.
 *
 * Returns: (transfer full): an object, to be written out at once: request and result are the
 *   operation's own
 */
JsonNode *
operation_to_json (Operation *self)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonObject *progress = json_object_new ();

  json_object_set_string_member (object, "id", self->id);
  json_object_set_string_member (object, "kind", self->kind);
  json_object_set_string_member (object, "guest", self->guest);

  if (self->disks != NULL)
    json_object_set_array_member (object, "disks", disks_to_json (self));
  else
    json_object_set_null_member (object, "disks");

  json_object_set_string_member (object, "state", operation_state_to_string (self->state));
  set_string (object, "step", operation_get_step (self));
  json_object_set_array_member (object, "steps", steps_to_json (self));

  json_object_set_int_member (progress, "done", self->done);
  json_object_set_int_member (progress, "total", self->total);
  json_object_set_object_member (object, "progress", progress);

  set_control (object, self->plan);
  set_error (object, self);

  json_object_set_object_member (object, "request", json_object_ref (self->request));
  json_object_set_object_member (object, "result", json_object_ref (self->result));

  set_time (object, "created", self->created_us);
  set_time (object, "started", self->started_us);
  set_time (object, "finished", self->finished_us);

  return json_node_init_object (json_node_alloc (), object);
}
