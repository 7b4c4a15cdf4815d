/* SPDX-License-Identifier: Apache-2.0 */

/* The body of a REST request, as our own dialect and Nova's take it. */

#include "fuzz.h"

#include <json-body.h>
#include <nova-action.h>
#include <snapshot-request.h>

static void
ask_nova (JsonObject *body)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) request = NULL;
  NovaAction action;

  request = nova_action_parse (body, &action, &error);
  fuzz_check_told (request, error);
  if (request != NULL)
    g_assert_nonnull (nova_action_to_string (action));
}

static void
ask_point (JsonObject *body, RequestKind kind)
{
  g_autoptr (GuestConfig) guest = guest_config_new ();
  g_autoptr (Config) config = config_load (NULL, NULL, NULL);
  g_autoptr (GError) error = NULL;
  SnapshotRequest *request = snapshot_request_parse (body, kind, config, guest, &error);

  fuzz_check_told (request, error);
  if (request == NULL)
    return;
  g_assert_cmpuint (strlen (request->name), <=, 255);
  snapshot_request_free (request);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) body = json_body_parse ((const char *) data, size, &error);

  fuzz_check_told (body, error);
  if (body == NULL)
    return 0;
  ask_nova (body);
  ask_point (body, REQUEST_SNAPSHOT);
  ask_point (body, REQUEST_IMAGE);
  return 0;
}
