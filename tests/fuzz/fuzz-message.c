/* SPDX-License-Identifier: Apache-2.0 */

/* One line of a monitor: read, taken apart, and built into what callers get. */

#include "fuzz.h"

#include <message.h>

static void
build (QmpSpan span)
{
  g_autoptr (JsonNode) node = span.text != NULL ? qmp_json_build (span) : NULL;
  g_autofree char *text = node != NULL ? qmp_json_to_text (node) : NULL;
  g_autoptr (JsonNode) again = NULL;

  g_assert_true ((node != NULL) == (span.text != NULL));
  if (text == NULL)
    return;
  /* What we write ourselves is read as the same. */
  again = qmp_json_build ((QmpSpan) { text, strlen (text) });
  g_assert_true (json_node_equal (node, again));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *version = NULL;
  QmpMessage message = { 0 };
  gboolean oob;
  guint64 id;

  if (!qmp_message_read (&message, (QmpSpan) { (const char *) data, size }, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  g_assert_no_error (error);
  build (message.body);
  build (message.data);
  qmp_message_get_timestamp (&message);
  if (qmp_message_get_id (&message, &id))
    g_assert_nonnull (message.id.text);
  if (message.kind == QMP_MESSAGE_GREETING
      && !qmp_message_get_greeting (&message, &version, &oob, &error))
    g_assert_nonnull (error);
  if (message.kind == QMP_MESSAGE_ERROR)
    {
      g_autoptr (GError) refusal = qmp_message_get_refusal (&message, "query-status", NULL);

      g_assert_nonnull (refusal);
    }
  return 0;
}
