/* SPDX-License-Identifier: Apache-2.0 */

#include "files-fixture.h"

#include <string.h>

void
fixture_set_up (Fixture       *self,
                gconstpointer  data)
{
  self->folder = scratch_new ();
  self->disk = scratch_write (self->folder, "disk", "base");
  self->layer = g_build_filename (self->folder, "disk.0", NULL);
  self->overlay = g_build_filename (self->folder, "disk.1", NULL);
  self->facts = scratch_look (self->disk);
}

void
fixture_tear_down (Fixture       *self,
                   gconstpointer  data)
{
  scratch_remove (self->folder);
  g_free (self->disk);
  g_free (self->layer);
  g_free (self->overlay);
  g_clear_error (&self->error);
}

gboolean
link_layer (Fixture *self)
{
  return files_link (self->disk, self->layer, self->facts.dev, self->facts.ino, &self->error);
}

void
assert_refused (Fixture    *self,
                gboolean    result,
                AgentError  code,
                const char *words)
{
  g_assert_false (result);
  g_assert_error (self->error, AGENT_ERROR, (int) code);
  g_test_message ("%s", self->error->message);
  g_assert_nonnull (strstr (self->error->message, self->folder));
  if (words != NULL)
    g_assert_nonnull (strstr (self->error->message, words));
  if (code != AGENT_ERROR_INTERNAL)
    g_assert_nonnull (agent_error_get_hint (self->error));
  g_clear_error (&self->error);
}

GBytes *
make_contents (void)
{
  guint8 *bytes = g_malloc0 (1 << 20);

  memcpy (bytes, "head", 4);
  bytes[500001] = 7;
  bytes[(1 << 20) - 1] = 9;

  return g_bytes_new_take (bytes, 1 << 20);
}
