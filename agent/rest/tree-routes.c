/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/guests/{guest}/tree, which is read here and taken over on another host. */

#include "request.h"

#include <operations/disks.h>

static void
tree_known (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  JsonNode *tree = operations_tree_finish (AGENT_OPERATIONS (source), result, &error);

  if (tree == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer (request, SOUP_STATUS_OK, tree);
}

/**
 * tree_show:
 * @request: (transfer full): GET /v1/guests/{guest}/tree
 */
void
tree_show (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    operations_tree_async (request_get_operations (request), guest,
                           request_get_cancellable (request), tree_known, request);
}

static void
tree_adopted (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;

  if (operations_adopt_tree_finish (AGENT_OPERATIONS (source), result, &error))
    request_answer (request, SOUP_STATUS_NO_CONTENT, NULL);
  else
    request_answer_error (request, g_steal_pointer (&error));
}

/**
 * tree_adopt:
 * @request: (transfer full): PUT /v1/guests/{guest}/tree
 */
void
tree_adopt (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    operations_adopt_tree_async (request_get_operations (request), guest,
                                 request_get_body (request), NULL, tree_adopted, request);
}
