/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/guests, and how a guest to attach is described. */

#include "answer.h"
#include "request.h"

#include <core/error.h>
#include <operations/disks.h>

#include <string.h>

/**
 * guests_list:
 * @request: (transfer full): GET /v1/guests
 */
void
guests_list (Request *request)
{
  GuestRegistry *registry = operations_get_guests (request_get_operations (request));
  g_autoptr (GPtrArray) guests = guest_registry_list (registry);
  g_autoptr (JsonArray) array = json_array_new ();

  for (guint i = 0; i < guests->len; i++)
    json_array_add_element (array, guest_to_json (g_ptr_array_index (guests, i)));
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("guests", json_node_init_array (json_node_alloc (), array)));
}

static gboolean
take_string (const char  *member,
             JsonNode    *value,
             char       **target,
             GError     **error)
{
  if (json_node_get_value_type (value) == G_TYPE_STRING)
    {
      g_free (*target);
      *target = json_node_dup_string (value);
      return TRUE;
    }
  if (JSON_NODE_HOLDS_NULL (value))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" must be a string", member);
  return FALSE;
}

static gboolean
take_image_refs (JsonNode     *value,
                 GuestConfig  *config,
                 GError      **error)
{
  JsonObjectIter iter;
  const char *disk;
  JsonNode *image;

  if (JSON_NODE_HOLDS_NULL (value))
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (value))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"image_refs\" must be an object: disk, or \"*\" for all, to image id");
      return FALSE;
    }

  json_object_iter_init (&iter, json_node_get_object (value));
  while (json_object_iter_next (&iter, &disk, &image))
    {
      if (json_node_get_value_type (image) != G_TYPE_STRING)
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "\"image_refs\" of \"%s\" must be a string, an image id", disk);
          return FALSE;
        }
      g_hash_table_insert (config->image_refs, g_strdup (disk), json_node_dup_string (image));
    }
  return TRUE;
}

static gboolean
take_chain_length (JsonNode     *value,
                   GuestConfig  *config,
                   GError      **error)
{
  gint64 length = json_node_get_value_type (value) == G_TYPE_INT64 ? json_node_get_int (value) : -1;

  if (JSON_NODE_HOLDS_NULL (value))
    return TRUE;
  if (length < 0 || length > CHAIN_LONGEST)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"max_chain_length\" must be a number of layers from 0 (any) to %d",
                       CHAIN_LONGEST);
      return FALSE;
    }
  config->max_chain_length = (gint) length;
  return TRUE;
}

static gboolean
take_member (GuestConfig  *config,
             const char   *member,
             JsonNode     *value,
             GError      **error)
{
  const struct { const char *member; char **target; } strings[] = {
    { "monitor",        &config->monitor        },
    { "agent",          &config->agent          },
    { "id",             &config->id             },
    { "uuid",           &config->uuid           },
    { "overlay_folder", &config->overlay_folder },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    if (strcmp (member, strings[i].member) == 0)
      return take_string (member, value, strings[i].target, error);

  if (strcmp (member, "image_refs") == 0)
    return take_image_refs (value, config, error);

  if (strcmp (member, "max_chain_length") == 0)
    return take_chain_length (value, config, error);

  if (strcmp (member, "allow_format_change") == 0 &&
      json_node_get_value_type (value) == G_TYPE_BOOLEAN)
    {
      config->allow_format_change = json_node_get_boolean (value);
      return TRUE;
    }

  if (strcmp (member, "allow_format_change") == 0)
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" must be true or false", member);
  else
    agent_set_error (error, AGENT_ERROR_INVALID,
                     "There are monitor, agent, id, uuid, allow_format_change, overlay_folder, "
                     "max_chain_length and image_refs.",
                     "a guest to attach has no member \"%s\"", member);
  return FALSE;
}

static GuestConfig *
parse_guest (JsonObject  *body,
             GError     **error)
{
  g_autoptr (GuestConfig) config = guest_config_new ();
  JsonObjectIter iter;
  const char *member;
  JsonNode *value;

  json_object_iter_init (&iter, body);
  while (json_object_iter_next (&iter, &member, &value))
    if (!take_member (config, member, value, error))
      return NULL;

  if (config->monitor == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Name the socket of QEMU's monitor (-qmp unix:PATH,server=on,wait=off).",
                       "\"monitor\" is missing");
      return NULL;
    }
  return g_steal_pointer (&config);
}

static void
guest_attached (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  Request *request = user_data;
  GuestRegistry *registry = AGENT_GUEST_REGISTRY (source);
  g_autoptr (GError) error = NULL;
  g_autoptr (Guest) guest = guest_registry_attach_finish (registry, result, &error);

  if (guest == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer_at (request, SOUP_STATUS_CREATED,
                       request_location ("guests", guest_get_id (guest)), guest_to_json (guest));
}

/**
 * guests_attach:
 * @request: (transfer full): POST /v1/guests: waits until the guest is attached, or cannot be
 */
void
guests_attach (Request *request)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GuestConfig) config = parse_guest (request_get_body (request), &error);

  if (config == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    guest_registry_attach_async (operations_get_guests (request_get_operations (request)), config,
                                 request_get_cancellable (request), guest_attached, request);
}

/**
 * guest_show:
 * @request: (transfer full): GET /v1/guests/{guest}
 */
void
guest_show (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    request_answer (request, SOUP_STATUS_OK, guest_to_json (guest));
}

/**
 * guest_detach:
 * @request: (transfer full): DELETE /v1/guests/{guest}
 */
void
guest_detach (Request *request)
{
  g_autoptr (GError) error = NULL;
  Guest *guest = request_find_guest (request);

  if (guest == NULL)
    return;

  if (operations_detach (request_get_operations (request), guest, &error))
    request_answer (request, SOUP_STATUS_NO_CONTENT, NULL);
  else
    request_answer_error (request, g_steal_pointer (&error));
}

static void
disks_known (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  JsonNode *disks = operations_disks_finish (AGENT_OPERATIONS (source), result, &error);

  if (disks == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer (request, SOUP_STATUS_OK, answer_wrap ("disks", disks));
}

/**
 * guest_disks:
 * @request: (transfer full): GET /v1/guests/{guest}/disks
 */
void
guest_disks (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    operations_disks_async (request_get_operations (request), guest,
                            request_get_cancellable (request), disks_known, request);
}

static void
guest_resumed (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  Guest *guest;

  if (!operations_resume_guest_finish (AGENT_OPERATIONS (source), result, &error))
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }
  guest = request_find_guest (request);
  if (guest != NULL)
    request_answer (request, SOUP_STATUS_OK, guest_to_json (guest));
}

/**
 * guest_resume:
 * @request: (transfer full): POST /v1/guests/{guest}/resume: lets it go on that stands at an error
 */
void
guest_resume (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    operations_resume_guest_async (request_get_operations (request), guest,
                                   request_get_cancellable (request), guest_resumed, request);
}
