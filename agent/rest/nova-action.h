/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What a server is asked to do: the body of POST /servers/{server}/action, checked. */

typedef enum
{
  NOVA_ACTION_CREATE_IMAGE,     /* Nova's "createImage" */
  NOVA_ACTION_SNAPSHOT,         /* our own "snapshot" */
  NOVA_ACTION_REBUILD,          /* Nova's "rebuild" */
} NovaAction;

/* The action, and what the operation is asked for (transfer full). AGENT_ERROR_INVALID */
JsonObject *nova_action_parse     (JsonObject *body, NovaAction *action,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
const char *nova_action_to_string (NovaAction action);

G_END_DECLS
