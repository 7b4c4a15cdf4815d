/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an answer is made of. */

#include "http.h"

/**
 * http_answer_get_header:
 * @self: the answer
 * @name: of a header, in lower case
 *
 * Returns: (transfer none) (nullable): its value
 */
const char *
http_answer_get_header (const HttpAnswer *self,
                        const char       *name)
{
  return g_hash_table_lookup (self->headers, name);
}

/**
 * http_answer_free:
 * @self: (transfer full) (nullable): the answer
 */
void
http_answer_free (HttpAnswer *self)
{
  if (self == NULL)
    return;

  g_hash_table_unref (self->headers);
  g_bytes_unref (self->body);
  g_free (self);
}
