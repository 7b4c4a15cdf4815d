/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nova-server.h"
#include "request.h"

G_BEGIN_DECLS

/* What handlers of Nova's dialect want to know of a request. */

void   nova_request_get_view   (Request *request, NovaView *view);
/* The server that the path names; NULL, and answered, when there is none. (transfer none) */
Guest *nova_request_find_guest (Request *request);

G_END_DECLS
