/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/journal. */

#include "request.h"

#include <operations/rebuild.h>

static void
rebuilt (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  JsonNode *report = operations_rebuild_journal_finish (AGENT_OPERATIONS (source), result, &error);

  if (report == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer (request, SOUP_STATUS_OK, report);
}

/**
 * journal_rebuild:
 * @request: (transfer full): POST /v1/journal/rebuild
 */
void
journal_rebuild (Request *request)
{
  operations_rebuild_journal_async (request_get_operations (request), request_get_body (request),
                                    NULL, rebuilt, request);
}
