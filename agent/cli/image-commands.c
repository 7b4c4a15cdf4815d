/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about images of the store. */

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "text.h"

#include <string.h>

static gboolean
delete_images (Cli       *cli,
               char     **ids,
               gboolean   force,
               GError   **error)
{
  for (; *ids != NULL; ids++)
    {
      g_autofree char *plain = client_path ("images", *ids, NULL);
      g_autofree char *path = g_strconcat (plain, force ? "?force=true" : NULL, NULL);
      g_autoptr (JsonNode) answer = NULL;
      g_autoptr (GError) problem = NULL;

      answer = client_call (cli->client, "DELETE", path, NULL, NULL, NULL, &problem);
      if (problem != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      output_line (cli, "Deleted image %s.", *ids);
    }
  return TRUE;
}

static gboolean
list_images (Cli     *cli,
             GError **error)
{
  g_autoptr (JsonNode) answer = client_get (cli->client, "/v1/images", error);
  g_autoptr (Table) table = NULL;
  JsonArray *images;

  if (answer == NULL)
    return FALSE;
  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }

  images = field_array (json_node_get_object (answer), "images");
  table = table_new ("IMAGE", "NAME", "STATUS", "FORMAT", ">SIZE", "KIND", NULL);
  for (guint i = 0; i < array_length (images); i++)
    {
      JsonObject *image = array_object (images, i);

      table_add (table, field_text (image, "id"));
      table_add (table, field_text (image, "name"));
      table_add (table, field_text (image, "status"));
      table_add (table, field_text (image, "disk_format"));
      table_take (table, text_size (field_int (image, "size", -1)));
      table_add (table, field_bool (image, "hidden") ? "layer" : "image");
    }
  table_print (table);
  return TRUE;
}

/**
 * command_images:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Lists the images of the store, or deletes some.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_images (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  gboolean force = FALSE;
  const GOptionEntry entries[] = {
    { "force", 0, 0, G_OPTION_ARG_NONE, &force,
      "Delete images that other layers need, too", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  if (arguments[0] == NULL)
    return list_images (cli, error);
  if (strcmp (arguments[0], "delete") == 0 && arguments[1] != NULL)
    return delete_images (cli, arguments + 1, force, error);

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "wrong arguments: qsnap images %s\nSee qsnap images --help.", command->arguments);
  return FALSE;
}
