/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what changes chains: .../disks/{disk}/commit and its like, .../snapshots/{snapshot},
 * .../shorten and .../restore. What the path names becomes a member of the request. */

#include "begin.h"

#include <core/error.h>

static void
request_begun (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  Request *request = user_data;
  GError *error = NULL;
  g_autoptr (JsonNode) plan = NULL;
  g_autoptr (Operation) operation = operations_request_finish (AGENT_OPERATIONS (source), result,
                                                               &plan, &error);

  if (plan != NULL)
    request_answer (request, SOUP_STATUS_OK, g_steal_pointer (&plan));
  else
    begin_answer (request, operation, error);
}

/* @member: (nullable): what the second name of the path is */
static gboolean
add_members (Request     *request,
             const char  *member,
             GError     **error)
{
  JsonObject *body = request_get_body (request);
  gboolean dry_run = FALSE;

  if (member != NULL && json_object_has_member (body, member))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" stands in the path already",
                       member);
      return FALSE;
    }
  if (!request_get_flag (request, "dry_run", &dry_run, error))
    return FALSE;

  if (member != NULL)
    json_object_set_string_member (body, member, request_get_second_name (request));
  if (dry_run)
    json_object_set_boolean_member (body, "dry_run", TRUE);
  return TRUE;
}

static void
begin (Request    *request,
       const char *kind,
       const char *member)
{
  Guest *guest = request_find_guest (request);
  const char *key = NULL;
  GError *error = NULL;

  if (guest == NULL)
    return;

  /* Not cancelled with the request: who lost the connection asks again, with the same key. */
  if (add_members (request, member, &error) && begin_get_key (request, &key, &error))
    operations_request_async (request_get_operations (request), guest, kind,
                              request_get_body (request), key, NULL, request_begun, request);
  else
    request_answer_error (request, error);
}

/**
 * disk_commit:
 * @request: (transfer full): POST /v1/guests/{guest}/disks/{disk}/commit
 */
void
disk_commit (Request *request)
{
  begin (request, "commit", "disk");
}

/**
 * disk_stream:
 * @request: (transfer full): POST /v1/guests/{guest}/disks/{disk}/stream
 */
void
disk_stream (Request *request)
{
  begin (request, "stream", "disk");
}

/**
 * disk_mirror:
 * @request: (transfer full): POST /v1/guests/{guest}/disks/{disk}/mirror
 */
void
disk_mirror (Request *request)
{
  begin (request, "mirror", "disk");
}

/**
 * snapshot_revert:
 * @request: (transfer full): POST /v1/guests/{guest}/snapshots/{snapshot}/revert
 */
void
snapshot_revert (Request *request)
{
  begin (request, "revert", "point");
}

/* Not all clients can send a body with DELETE. */
static void
take_disks (Request    *request,
            const char *disks)
{
  g_auto (GStrv) names = g_strsplit (disks, ",", -1);
  JsonArray *array = json_array_new ();

  for (guint i = 0; names[i] != NULL; i++)
    json_array_add_string_element (array, names[i]);
  json_object_set_array_member (request_get_body (request), "disks", array);
}

/**
 * snapshot_delete:
 * @request: (transfer full): DELETE /v1/guests/{guest}/snapshots/{snapshot}
 */
void
snapshot_delete (Request *request)
{
  const char *disks = request_get_query (request, "disks");

  if (disks != NULL && json_object_has_member (request_get_body (request), "disks"))
    {
      request_answer_error (request, agent_error_new (AGENT_ERROR_INVALID, NULL,
                                                      "disks: stand in the body already"));
      return;
    }
  if (disks != NULL)
    take_disks (request, disks);
  begin (request, "delete", "point");
}

/**
 * guest_shorten:
 * @request: (transfer full): POST /v1/guests/{guest}/shorten
 */
void
guest_shorten (Request *request)
{
  begin (request, "shorten", NULL);
}

/**
 * guest_restore:
 * @request: (transfer full): POST /v1/guests/{guest}/restore
 */
void
guest_restore (Request *request)
{
  begin (request, "restore", NULL);
}
