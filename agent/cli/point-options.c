/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the options that all commands that take a point have, and the request that they make. */

#include "point-options.h"

#include "error.h"
#include "members.h"

#include <string.h>

/**
 * point_options_clear:
 * @self: options; what they hold is freed
 */
void
point_options_clear (PointOptions *self)
{
  g_strfreev (self->disks);
  g_free (self->disk_list);
  g_free (self->quiesce);
  g_free (self->format);
  g_strfreev (self->metadata);
  g_strfreev (self->image_refs);
  g_free (self->overlay_folder);
  g_free (self->idempotency_key);
}

/**
 * point_options_entries:
 * @self: where the options go; must outlive the entries
 * @more: the command's own, ended by one without a name
 *
 * Returns: (transfer full): all entries, ended likewise; g_free() them
 */
GOptionEntry *
point_options_entries (PointOptions       *self,
                       const GOptionEntry *more)
{
  const GOptionEntry common[] = {
    { "disk", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &self->disks, "This disk (repeatable)", "DISK" },
    { "disks", 0, 0, G_OPTION_ARG_STRING, &self->disk_list,
      "These disks, or all that can be written", "A,B|all" },
    { "quiesce", 'q', 0, G_OPTION_ARG_STRING, &self->quiesce,
      "Freeze the guest's filesystems around the point", "none|try|require" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &self->format,
      "Format of full images (see below)", "qcow2|raw" },
    { "metadata", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &self->metadata,
      "Property of the images (repeatable)", "KEY=VALUE" },
    { "image-ref", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->image_refs,
      "Image of the store that a disk's base came from (repeatable)", "[DISK=]ID" },
    { "overlay-folder", 0, 0, G_OPTION_ARG_FILENAME, &self->overlay_folder,
      "Where overlays of disks on block devices go", "FOLDER" },
    { "allow-format-change", 0, 0, G_OPTION_ARG_NONE, &self->allow_format_change,
      "A raw disk may become a qcow2 one", NULL },
    { "end-jobs", 0, 0, G_OPTION_ARG_NONE, &self->end_jobs,
      "End jobs that others left on the disks", NULL },
    { "no-wait", 0, 0, G_OPTION_ARG_NONE, &self->no_wait,
      "Return when it has begun", NULL },
    { "idempotency-key", 0, 0, G_OPTION_ARG_STRING, &self->idempotency_key,
      "With the same key again, take no second point", "KEY" },
  };
  g_autoptr (GArray) entries = g_array_new (TRUE, FALSE, sizeof (GOptionEntry));

  g_array_append_vals (entries, common, G_N_ELEMENTS (common));
  for (; more->long_name != NULL; more++)
    g_array_append_val (entries, *more);
  return (GOptionEntry *) (gpointer) g_array_free (g_steal_pointer (&entries), FALSE);
}

/* One id is for all disks; else DISK=ID for each. */
static gboolean
set_image_refs (JsonObject  *object,
                char       **refs,
                GError     **error)
{
  if (refs == NULL || refs[1] != NULL || strchr (refs[0], '=') != NULL)
    return members_set_pairs (object, "image_ref", "--image-ref", refs, NULL, error);

  members_set_text (object, "image_ref", refs[0]);
  return TRUE;
}

/**
 * point_options_describe:
 * @self: the options
 * @name: (nullable): of the point
 * @error: return location
 *
 * Returns: (transfer full): the request; on failure %NULL with %CLI_ERROR_USAGE
 */
JsonObject *
point_options_describe (const PointOptions  *self,
                        const char          *name,
                        GError             **error)
{
  g_autoptr (JsonObject) object = json_object_new ();

  members_set_text (object, "name", name);
  members_set_text (object, "quiesce", self->quiesce);
  members_set_text (object, "format", self->format);
  members_set_path (object, "overlay_folder", self->overlay_folder);
  members_set_flag (object, "allow_format_change", self->allow_format_change);
  members_set_flag (object, "end_jobs", self->end_jobs);
  if (!members_set_disks (object, self->disks, self->disk_list, error) ||
      !members_set_pairs (object, "metadata", "--metadata", self->metadata, NULL, error) ||
      !set_image_refs (object, self->image_refs, error))
    return NULL;
  return g_steal_pointer (&object);
}
