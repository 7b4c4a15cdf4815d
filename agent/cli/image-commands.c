/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about images of the store. */

#include "ask.h"
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

      if (!client_call (cli->client, "DELETE", path, NULL, NULL, NULL, NULL, error))
        return FALSE;
      output_line (cli, "Deleted image %s.", *ids);
    }
  return TRUE;
}

static void
print_images (JsonObject *answer)
{
  JsonArray *list = field_array (answer, "images");
  g_autoptr (Table) table = table_new ("IMAGE", "NAME", "STATUS", "FORMAT", ">SIZE", "KIND", NULL);

  for (guint i = 0; i < array_length (list); i++)
    {
      JsonObject *image = array_object (list, i);

      table_add (table, field_text (image, "id"));
      table_add (table, field_text (image, "name"));
      table_add (table, field_text (image, "status"));
      table_add (table, field_text (image, "disk_format"));
      table_take (table, text_size (field_int (image, "size", -1)));
      table_add (table, field_bool (image, "hidden") ? "layer" : "image");
    }
  table_print (table);
}

static gboolean
images (Cli            *cli,
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
    return ask_and_print (cli, "/v1/images", print_images, error);
  if (strcmp (arguments[0], "delete") == 0 && arguments[1] != NULL)
    return delete_images (cli, arguments + 1, force, error);

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "wrong arguments: qsnap images %s\nSee qsnap images --help.", command->arguments);
  return FALSE;
}

const Command image_commands[] = {
  { "images", "[delete ID...]", 0, G_MAXUINT, "List the images of the store, or delete some.",
    "  qsnap images\n"
    "  qsnap images delete 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    images },
  { NULL }
};
