/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the words in which people are told of a guest. */

#include "guest-private.h"

#include <core/error.h>
#include <guest/alarm.h>

/**
 * guest_state_to_string:
 * @state: a state
 *
 * Returns: (transfer none): its word
 */
const char *
guest_state_to_string (GuestState state)
{
  switch (state)
    {
    case GUEST_CONNECTING:
      return "connecting";
    case GUEST_ATTACHED:
      return "attached";
    case GUEST_GONE:
      return "gone";
    case GUEST_REFUSED:
      return "refused";
    default:
      g_return_val_if_reached ("gone");
    }
}

/**
 * guest_kind_to_string:
 * @kind: a kind
 *
 * Returns: (transfer none): its word
 */
const char *
guest_kind_to_string (GuestKind kind)
{
  switch (kind)
    {
    case GUEST_KIND_UNKNOWN:
      return "unknown";
    case GUEST_KIND_QEMU:
      return "qemu";
    case GUEST_KIND_STORAGE_DAEMON:
      return "storage-daemon";
    default:
      g_return_val_if_reached ("unknown");
    }
}

/**
 * guest_origin_to_string:
 * @origin: an origin
 *
 * Returns: (transfer none): its word
 */
const char *
guest_origin_to_string (GuestOrigin origin)
{
  switch (origin)
    {
    case GUEST_ORIGIN_CONFIG:
      return "config";
    case GUEST_ORIGIN_REQUEST:
      return "request";
    case GUEST_ORIGIN_WATCH:
      return "watch";
    default:
      g_return_val_if_reached ("config");
    }
}

/* File names and words of peers need not be UTF-8, but JSON must. @text: (nullable) */
void
guest_add_text (JsonBuilder *builder,
                const char  *member,
                const char  *text)
{
  g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

  json_builder_set_member_name (builder, member);
  if (valid != NULL)
    json_builder_add_string_value (builder, valid);
  else
    json_builder_add_null_value (builder);
}

static void
add_error (JsonBuilder  *builder,
           const GError *error)
{
  json_builder_set_member_name (builder, "error");
  if (error == NULL)
    {
      json_builder_add_null_value (builder);
      return;
    }

  json_builder_begin_object (builder);
  guest_add_text (builder, "code", agent_error_to_word (error));
  guest_add_text (builder, "message", error->message);
  guest_add_text (builder, "hint", agent_error_get_hint (error));
  json_builder_end_object (builder);
}

static void
add_image_refs (JsonBuilder *builder,
                GHashTable  *image_refs)
{
  GHashTableIter iter;
  gpointer disk, image;

  json_builder_set_member_name (builder, "image_refs");
  json_builder_begin_object (builder);
  if (image_refs != NULL)
    {
      g_hash_table_iter_init (&iter, image_refs);
      while (g_hash_table_iter_next (&iter, &disk, &image))
        guest_add_text (builder, disk, image);
    }
  json_builder_end_object (builder);
}

/**
 * guest_to_json:
 * @self: a guest
 *
 * Returns: (transfer full): an object with all there is to tell of it
 */
JsonNode *
guest_to_json (Guest *self)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  const GuestConfig *config = guest_get_config (self);
  QmpClient *client = guest_get_client (self);

  json_builder_begin_object (builder);
  guest_add_text (builder, "id", guest_get_id (self));
  guest_add_text (builder, "name", guest_get_name (self));
  guest_add_text (builder, "uuid", guest_get_uuid (self));
  guest_add_text (builder, "kind", guest_kind_to_string (guest_get_kind (self)));
  guest_add_text (builder, "state", guest_state_to_string (guest_get_state (self)));
  guest_add_text (builder, "run_state", guest_get_run_state (self));
  guest_add_text (builder, "monitor", config->monitor);
  guest_add_text (builder, "agent", config->agent);
  json_builder_set_member_name (builder, "pid");
  if (guest_get_pid (self) > 0)
    json_builder_add_int_value (builder, guest_get_pid (self));
  else
    json_builder_add_null_value (builder);
  guest_add_text (builder, "qemu_version", client != NULL ? qmp_client_get_version (client) : NULL);
  guest_add_text (builder, "origin", guest_origin_to_string (guest_get_origin (self)));
  add_error (builder, guest_get_error (self));
  json_builder_set_member_name (builder, "alarms");
  json_builder_add_value (builder, guest_alarms_to_json (guest_get_alarms (self)));
  json_builder_set_member_name (builder, "allow_format_change");
  json_builder_add_boolean_value (builder, config->allow_format_change);
  json_builder_set_member_name (builder, "max_chain_length");
  if (config->max_chain_length >= 0)
    json_builder_add_int_value (builder, config->max_chain_length);
  else
    json_builder_add_null_value (builder);
  guest_add_text (builder, "overlay_folder", config->overlay_folder);
  add_image_refs (builder, config->image_refs);
  json_builder_end_object (builder);

  return json_builder_get_root (builder);
}
