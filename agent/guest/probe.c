/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the first talk with a monitor: from its address to who it is. Jobs are asked for first, and
 * the block graph never: asking for it kills a QEMU in which a stream job stands concluded. */

#include "probe.h"

#include <string.h>

/* QEMU's own names are short; whatever is longer comes from somebody else. */
#define TEXT_LENGTH_MAX 1024

static const char no_uuid[] = "00000000-0000-0000-0000-000000000000";

typedef struct
{
  QmpFeatureCache *cache;
  GuestProbe      *probe;
  guint            question;
} Talk;

/**
 * guest_probe_free:
 * @self: (nullable): a probe
 *
 * Closes the link, if nobody has taken it.
 */
void
guest_probe_free (GuestProbe *self)
{
  if (self == NULL)
    return;

  if (self->listener != NULL)
    {
      g_clear_signal_handler (&self->event_handler, self->listener);
      qmp_listener_close (self->listener);
    }
  if (self->client != NULL)
    qmp_client_close (self->client);

  g_clear_object (&self->listener);
  g_clear_object (&self->client);
  g_clear_object (&self->features);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self->run_state);
  g_free (self);
}

static void
talk_free (Talk *talk)
{
  g_clear_object (&talk->cache);
  guest_probe_free (talk->probe);
  g_free (talk);
}

/* --- Reading what it says --- */

/* A member that is a text, or is not there. */
static gboolean
read_text (JsonNode    *reply,
           const char  *member,
           char       **text,
           GError     **error)
{
  JsonNode *node = NULL;

  g_clear_pointer (text, g_free);

  if (JSON_NODE_HOLDS_OBJECT (reply))
    node = json_object_get_member (json_node_get_object (reply), member);
  else
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "the reply is no object");
      return FALSE;
    }

  if (node == NULL)
    return TRUE;

  if (json_node_get_value_type (node) != G_TYPE_STRING ||
      strlen (json_node_get_string (node)) > TEXT_LENGTH_MAX)
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "\"%s\" of the reply is no text of at most %d bytes", member, TEXT_LENGTH_MAX);
      return FALSE;
    }

  *text = json_node_dup_string (node);

  return TRUE;
}

static gboolean
read_uuid (GuestProbe  *self,
           JsonNode    *reply,
           GError     **error)
{
  g_autofree char *text = NULL;

  if (!read_text (reply, "UUID", &text, error))
    return FALSE;

  if (text == NULL || !g_uuid_string_is_valid (text))
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "the reply has no valid UUID");
      return FALSE;
    }

  if (strcmp (text, no_uuid) != 0)
    self->uuid = g_ascii_strdown (text, -1);

  return TRUE;
}

static gboolean
read_name (GuestProbe  *self,
           JsonNode    *reply,
           GError     **error)
{
  if (!read_text (reply, "name", &self->name, error))
    return FALSE;

  if (self->name != NULL && self->name[0] == '\0')
    g_clear_pointer (&self->name, g_free);

  return TRUE;
}

/**
 * guest_read_run_state:
 * @reply: what query-status returned
 * @error: return location
 *
 * Returns: (transfer full): the run state; %NULL with QMP_ERROR_PROTOCOL
 */
char *
guest_read_run_state (JsonNode  *reply,
                      GError   **error)
{
  g_autofree char *status = NULL;

  if (!read_text (reply, "status", &status, error))
    return NULL;

  if (status == NULL)
    g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "the reply has no status");

  return g_steal_pointer (&status);
}

static gboolean
read_status (GuestProbe  *self,
             JsonNode    *reply,
             GError     **error)
{
  g_free (self->run_state);
  self->run_state = guest_read_run_state (reply, error);

  return self->run_state != NULL;
}

/* In this order; a storage daemon knows none of them. */
static const struct
{
  const char *command;
  gboolean  (*read) (GuestProbe *self, JsonNode *reply, GError **error);
} questions[] = {
  { "query-uuid",   read_uuid   },
  { "query-name",   read_name   },
  { "query-status", read_status },
};

/**
 * guest_event_moves_run_state:
 * @event: an event
 *
 * Returns: whether query-status may answer another thing since @event
 */
gboolean
guest_event_moves_run_state (const QmpEvent *event)
{
  static const char *const names[] = {
    "GUEST_CRASHLOADED", "GUEST_PANICKED", "MIGRATION", "POWERDOWN", "RESET", "RESUME", "SHUTDOWN",
    "STOP", "SUSPEND", "SUSPEND_DISK", "WAKEUP", "WATCHDOG", NULL
  };

  return g_strv_contains (names, event->name);
}

/* --- The talk --- */

static void ask_next (GTask *task);

static void
on_event (QmpListener    *listener,
          const QmpEvent *event,
          gpointer        user_data)
{
  GuestProbe *probe = user_data;

  if (guest_event_moves_run_state (event))
    probe->run_state_stale = TRUE;
}

static void
on_answer (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  Talk *talk = g_task_get_task_data (task);
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL || !questions[talk->question].read (talk->probe, reply, &error))
    {
      g_prefix_error (&error, "%s: ", questions[talk->question].command);
      g_task_return_error (task, error);
      return;
    }

  talk->question++;
  ask_next (g_steal_pointer (&task));
}

/* @task: (transfer full), here and below */
static void
ask_next (GTask *task)
{
  g_autoptr (GTask) hold = task;
  Talk *talk = g_task_get_task_data (task);
  GuestProbe *probe = talk->probe;

  while (talk->question < G_N_ELEMENTS (questions) &&
         !qmp_features_has_command (probe->features, questions[talk->question].command))
    talk->question++;

  if (talk->question < G_N_ELEMENTS (questions))
    {
      if (g_str_equal (questions[talk->question].command, "query-status"))
        probe->run_state_stale = FALSE;
      qmp_client_execute_async (probe->client, questions[talk->question].command, NULL,
                                GUEST_COMMAND_MS, g_task_get_cancellable (task), on_answer,
                                g_steal_pointer (&hold));
      return;
    }

  g_task_return_pointer (task, g_steal_pointer (&talk->probe), (GDestroyNotify) guest_probe_free);
}

static void
on_features (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Talk *talk = g_task_get_task_data (task);
  GError *error = NULL;

  talk->probe->features =
      qmp_feature_cache_lookup_finish (QMP_FEATURE_CACHE (source), result, &error);
  if (talk->probe->features == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  talk->probe->kind = qmp_features_has_command (talk->probe->features, "query-status")
                        ? GUEST_KIND_QEMU : GUEST_KIND_STORAGE_DAEMON;
  ask_next (g_steal_pointer (&task));
}

static void
on_jobs (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GPtrArray) jobs = NULL;
  Talk *talk = g_task_get_task_data (task);
  GError *error = NULL;

  jobs = qmp_jobs_query_finish (result, &error);
  if (jobs == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *job = g_ptr_array_index (jobs, i);

      g_debug ("job %s (%s) is there and %s", job->id, job->type,
               qmp_job_state_to_string (job->state));
    }

  qmp_feature_cache_lookup_async (talk->cache, talk->probe->client, GUEST_COMMAND_MS,
                                  g_task_get_cancellable (task), on_features, g_object_ref (task));
}

static void
on_open (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Talk *talk = g_task_get_task_data (task);
  GError *error = NULL;

  talk->probe->client = qmp_client_open_finish (result, &error);
  if (talk->probe->client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  talk->probe->listener = qmp_listener_new (talk->probe->client, NULL, NULL, NULL, NULL);
  talk->probe->event_handler =
      g_signal_connect (talk->probe->listener, "event", G_CALLBACK (on_event), talk->probe);

  qmp_jobs_query_async (talk->probe->client, GUEST_COMMAND_MS, g_task_get_cancellable (task),
                        on_jobs, g_object_ref (task));
}

/**
 * guest_probe_async:
 * @address: where the monitor listens
 * @cache: schemas of the QEMU binaries met so far
 * @cancellable: (nullable): ends the talk and the link
 * @callback: when all is known
 * @user_data: for @callback
 *
 * Connects and asks who it is; connecting and each command have #GUEST_COMMAND_MS.
 */
void
guest_probe_async (GSocketConnectable  *address,
                   QmpFeatureCache     *cache,
                   GCancellable        *cancellable,
                   GAsyncReadyCallback  callback,
                   gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Talk *talk = g_new0 (Talk, 1);

  talk->cache = g_object_ref (cache);
  talk->probe = g_new0 (GuestProbe, 1);
  g_task_set_task_data (task, talk, (GDestroyNotify) talk_free);

  qmp_client_connect_async (address, QMP_DIALECT_MONITOR, GUEST_COMMAND_MS, cancellable, on_open,
                            g_object_ref (task));
}

/**
 * guest_probe_finish:
 * @result: what the callback was given
 * @error: return location
 *
 * Returns: (transfer full): link and facts; %NULL with an error of the domain QMP_ERROR or
 *   G_IO_ERROR
 */
GuestProbe *
guest_probe_finish (GAsyncResult  *result,
                    GError       **error)
{
  GuestProbe *self = g_task_propagate_pointer (G_TASK (result), error);

  /* Up to here no event went by unseen; from here on the caller listens. */
  if (self != NULL)
    g_clear_signal_handler (&self->event_handler, self->listener);

  return self;
}
