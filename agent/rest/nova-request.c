/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a client of Nova's looks at servers: from where, in which version, as whom. */

#include "nova-request.h"

#include "answer.h"

/**
 * nova_request_get_view:
 * @request: a request whose version was found good
 * @view: (out): to be cleared
 */
void
nova_request_get_view (Request  *request,
                       NovaView *view)
{
  const ImageUser *user = request_get_user (request);
  g_autofree char *problem = NULL;

  view->base = request_get_base (request);
  view->project = user != NULL && user->is_ours ? user->project_id : NULL;
  if (answer_find_version (request_get_message (request), &view->minor, &problem) !=
      SOUP_STATUS_OK)
    view->minor = 1;
}

/**
 * nova_request_find_guest:
 * @request: a request whose path names a server
 *
 * Returns: (transfer none) (nullable): its guest; %NULL when @request was answered with an error
 */
Guest *
nova_request_find_guest (Request *request)
{
  g_autoptr (GError) error = NULL;
  Guest *guest = nova_server_find (request_get_operations (request), request_get_name (request),
                                   &error);

  if (guest == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  return guest;
}
