/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what became of points that are no more. */

#include "lost-points.h"

#include <core/error.h>

#include "document.h"
#include "image-records.h"

/* (nullable): of the point that the operation has taken */
static const char *
name_of_point (Operation *operation)
{
  JsonObject *snapshot = document_object (json_object_get_member (operation_get_plan (operation),
                                                                  "snapshot"));

  if (snapshot == NULL || document_text (operation_get_result (operation), "point") == NULL)
    return NULL;
  return document_text (snapshot, "name");
}

static Operation *
find_taking (GPtrArray *operations, const char *name)
{
  Operation *found = NULL;

  for (guint i = 0; i < operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (operations, i);
      const char *own = name_of_point (operation);

      /* An id goes before everybody's names. */
      if (own != NULL && g_str_equal (operation_get_id (operation), name))
        return operation;
      if (found == NULL && g_strcmp0 (own, name) == 0)
        found = operation;
    }
  return found;
}

static gboolean
has_text (JsonArray *list, const char *text)
{
  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonNode *node = json_array_get_element (list, i);

      if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
          && g_str_equal (json_node_get_string (node), text))
        return TRUE;
    }
  return FALSE;
}

/* Of those that meant to take it away the last has. @taken: (nullable): it was later than this */
static Operation *
find_loss (GPtrArray *operations, Operation *taken, const char *name)
{
  for (guint i = 0; i < operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (operations, i);

      if (operation == taken)
        return NULL;
      if (has_text (document_array (operation_get_result (operation), "points_lost"), name))
        return operation;
    }
  return NULL;
}

/* "IMAGE (disk system), IMAGE (disk data)"; empty when the store has none by what is known. */
static char *
list_images (Operation *taken, Journal *journal)
{
  JsonArray *disks = document_array (operation_get_result (taken), "disks");
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; disks != NULL && i < json_array_get_length (disks); i++)
    {
      JsonObject *disk = document_object (json_array_get_element (disks, i));
      const char *image = disk != NULL ? document_text (disk, "image_id") : NULL;
      const char *name = image != NULL ? document_text (disk, "disk") : NULL;
      gint64 size;

      if (name != NULL && image_records_size (journal, image, &size, NULL) && size >= 0)
        g_string_append_printf (text, "%s%s (disk %s)", text->len > 0 ? ", " : "", image, name);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
describe_loss (Operation *loss)
{
  if (loss == NULL)
    return g_strdup ("");
  return g_strdup_printf (": it %s (%s %s)",
                          g_str_equal (operation_get_kind (loss), "shorten")
                            ? "was folded away to keep the chain short" : "went with an operation",
                          operation_get_kind (loss), operation_get_id (loss));
}

/**
 * lost_points_explain:
 * @operations: (element-type Operation): those of a guest, newest first
 * @journal: the journal
 * @name: the name or the id of a point that is not there
 * @error: (inout): AGENT_ERROR_NOT_FOUND, which is put into better words where more is known
 */
void
lost_points_explain (GPtrArray *operations, Journal *journal, const char *name, GError **error)
{
  Operation *taken = find_taking (operations, name);
  Operation *loss = find_loss (operations, taken, taken != NULL ? name_of_point (taken) : name);
  g_autofree char *images = taken != NULL ? list_images (taken, journal) : g_strdup ("");
  g_autofree char *how = describe_loss (loss);
  g_autofree char *hint = *images != '\0'
    ? g_strdup_printf ("restore what it showed from the store: image %s", images)
    : g_strdup ("name one of the guest's snapshots");

  if (taken == NULL && loss == NULL)
    return;
  g_clear_error (error);
  agent_set_error (error, AGENT_ERROR_NOT_FOUND, hint, "there is no point \"%s\" any more%s", name,
                   how);
}
