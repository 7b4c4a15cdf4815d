/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is told of a guest that QEMU has stopped at an error of a disk. Events say it too, but
 * they are rate-limited, and have gone by when we come: its run state and what query-block says of
 * each device do not. */

#include <guest/alarm.h>

#include "guest-private.h"

#include <string.h>

#define AT_ERROR      "io-error"
#define JSON_PREFIX   "json:"
#define JSON_NAME_MAX 32768     /* bytes; the reader goes as deep as its text says */
#define ALARMS_MAX    64        /* of one guest: what more there is tells nobody more */

void
guest_alarm_free (GuestAlarm *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->node);
  g_free (self->path);
  g_free (self);
}

/* --- what QEMU says --- */

static const char *
text_of (JsonObject *object,
         const char *member)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, member) : NULL;
  const char *text = node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
                     ? json_node_get_string (node) : NULL;

  return text != NULL && *text != '\0' ? text : NULL;
}

/* "disk0" of "/machine/peripheral/disk0/virtio-backend". */
static char *
device_of (const char *qdev)
{
  static const char prefix[] = "/machine/peripheral/";

  if (qdev == NULL || !g_str_has_prefix (qdev, prefix))
    return g_strdup (qdev);
  qdev += strlen (prefix);

  return g_strndup (qdev, strcspn (qdev, "/"));
}

/* What QEMU calls a chain that no name describes is "json:{...}": the file is what stands below all
 * formats and filters. (nullable) */
static char *
file_of (const char *name)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *node;

  if (name == NULL || !g_str_has_prefix (name, JSON_PREFIX))
    return g_strdup (name);
  if (strlen (name) > JSON_NAME_MAX)
    return NULL;

  root = json_from_string (name + strlen (JSON_PREFIX), NULL);
  node = root != NULL && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  while (node != NULL && text_of (node, "filename") == NULL)
    {
      JsonNode *below = json_object_get_member (node, "file");

      node = below != NULL && JSON_NODE_HOLDS_OBJECT (below) ? json_node_get_object (below) : NULL;
    }

  return node != NULL ? g_strdup (text_of (node, "filename")) : NULL;
}

/* (nullable): the device has no error. */
static GuestAlarm *
read_block (JsonObject *block,
            gint64      now_us)
{
  const char *status = text_of (block, "io-status");
  const char *drive = text_of (block, "device");
  JsonNode *medium = json_object_get_member (block, "inserted");
  JsonObject *inserted = medium != NULL && JSON_NODE_HOLDS_OBJECT (medium)
                         ? json_node_get_object (medium) : NULL;
  GuestAlarm *self;

  if (status == NULL || strcmp (status, "ok") == 0)
    return NULL;

  self = g_new0 (GuestAlarm, 1);
  self->no_space = strcmp (status, "nospace") == 0;
  self->disk = drive != NULL ? g_strdup (drive) : device_of (text_of (block, "qdev"));
  self->node = g_strdup (text_of (inserted, "node-name"));
  self->path = file_of (text_of (inserted, "file"));
  self->since_us = now_us;

  return self;
}

/**
 * guest_alarms_read:
 * @blocks: (nullable): what query-block has answered; nothing in it is believed without a look
 * @now_us: the time, in microseconds since 1970
 *
 * Returns: (transfer full) (element-type GuestAlarm): an alarm for each device with an error; one
 *   without a device where none tells
 */
GPtrArray *
guest_alarms_read (JsonNode *blocks,
                   gint64    now_us)
{
  GPtrArray *alarms = g_ptr_array_new_with_free_func ((GDestroyNotify) guest_alarm_free);
  JsonArray *list = blocks != NULL && JSON_NODE_HOLDS_ARRAY (blocks) ? json_node_get_array (blocks)
                                                                     : NULL;

  for (guint i = 0;
       list != NULL && i < json_array_get_length (list) && alarms->len < ALARMS_MAX; i++)
    {
      JsonNode *block = json_array_get_element (list, i);
      GuestAlarm *alarm = JSON_NODE_HOLDS_OBJECT (block)
                          ? read_block (json_node_get_object (block), now_us) : NULL;

      if (alarm != NULL)
        g_ptr_array_add (alarms, alarm);
    }

  if (alarms->len == 0)
    {
      GuestAlarm *alarm = g_new0 (GuestAlarm, 1);

      alarm->since_us = now_us;
      g_ptr_array_add (alarms, alarm);
    }

  return alarms;
}

/* --- what people are told --- */

static char *
describe (const GuestAlarm *self)
{
  const char *between = self->path != NULL ? ", " : "";
  const char *path = self->path != NULL ? self->path : "";

  if (self->disk == NULL)
    return g_strdup ("QEMU has stopped the guest at an error of a disk");
  if (self->no_space)
    return g_strdup_printf ("QEMU has stopped the guest: there was no room for what it wrote to "
                            "disk %s%s%s; nothing is lost", self->disk, between, path);
  return g_strdup_printf ("QEMU has stopped the guest at an error of disk %s%s%s", self->disk,
                          between, path);
}

/**
 * guest_alarms_to_json:
 * @alarms: (element-type GuestAlarm): alarms
 *
 * Returns: (transfer full): an array of objects
 */
JsonNode *
guest_alarms_to_json (GPtrArray *alarms)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  for (guint i = 0; i < alarms->len; i++)
    {
      const GuestAlarm *alarm = g_ptr_array_index (alarms, i);
      g_autoptr (GDateTime) since = g_date_time_new_from_unix_utc (alarm->since_us
                                                                   / G_USEC_PER_SEC);
      g_autofree char *when = g_date_time_format (since, "%Y-%m-%dT%H:%M:%SZ");
      g_autofree char *message = describe (alarm);

      json_builder_begin_object (builder);
      guest_add_text (builder, "kind", alarm->no_space ? "no-space" : "io-error");
      guest_add_text (builder, "disk", alarm->disk);
      guest_add_text (builder, "node", alarm->node);
      guest_add_text (builder, "path", alarm->path);
      guest_add_text (builder, "since", when);
      guest_add_text (builder, "message", message);
      guest_add_text (builder, "hint", alarm->no_space
                      ? "make room, by shortening the chain for example; then let it go on (resume)"
                      : "mend the storage; then let it go on (resume)");
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);

  return json_builder_get_root (builder);
}

/* --- when --- */

gboolean
guest_is_at_error (Guest *self)
{
  return g_strcmp0 (guest_get_run_state (self), AT_ERROR) == 0;
}

/**
 * guest_get_alarms:
 * @self: a guest
 *
 * Returns: (transfer none) (element-type GuestAlarm): what keeps it from running
 */
GPtrArray *
guest_get_alarms (Guest *self)
{
  return self->alarms;
}

static void
set_alarms (Guest     *self,
            GPtrArray *alarms)
{
  g_ptr_array_unref (self->alarms);
  self->alarms = g_ptr_array_ref (alarms);
  for (guint i = 0; i < alarms->len; i++)
    {
      g_autofree char *message = describe (g_ptr_array_index (alarms, i));

      g_warning ("guest %s: %s", self->id, message);
    }
  g_signal_emit_by_name (self, "alarms-changed");
}

static void
on_blocks (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (Guest) self = user_data;
  g_autoptr (JsonNode) blocks = NULL;
  g_autoptr (GPtrArray) alarms = NULL;
  g_autoptr (GError) error = NULL;

  blocks = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (blocks == NULL)
    g_debug ("guest %s does not tell what stopped it: %s", self->id, error->message);
  /* It may run again by now, or be gone, or have been told of already. */
  if (!guest_is_at_error (self) || self->alarms->len > 0)
    return;
  alarms = guest_alarms_read (blocks, g_get_real_time ());
  set_alarms (self, alarms);
}

/**
 * guest_update_alarms:
 * @self: a guest whose run state or link has changed
 *
 * Asks what has stopped it, or takes back what was told.
 */
void
guest_update_alarms (Guest *self)
{
  g_autoptr (GPtrArray) none = NULL;

  if (guest_is_at_error (self))
    {
      if (self->alarms->len == 0)
        qmp_client_execute_async (guest_get_client (self), "query-block", NULL, GUEST_COMMAND_MS,
                                  NULL, on_blocks, g_object_ref (self));
      return;
    }
  if (self->alarms->len == 0)
    return;
  if (guest_get_client (self) != NULL)
    g_message ("guest %s does not stand at an error any more", self->id);
  none = g_ptr_array_new ();
  set_alarms (self, none);
}
