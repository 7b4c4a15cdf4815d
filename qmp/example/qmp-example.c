/* SPDX-License-Identifier: Apache-2.0 */

/* Prints what a QEMU is and how its block nodes lie on each other:
 *
 *   cc -o qmp-example qmp-example.c $(pkg-config --cflags --libs libqmp)
 *   ./qmp-example /run/guest.qmp
 *
 * A daemon would go on from its callbacks; this program waits for each. */

#include <gio/gunixsocketaddress.h>
#include <qmp/qmp.h>

#define DEADLINE_MS 5000

static void
done (GObject *source, GAsyncResult *result, gpointer place)
{
  *(GAsyncResult **) place = g_object_ref (result);
}

static GAsyncResult *
await (GAsyncResult **place)
{
  while (*place == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *place;
}

int
main (int argc, char **argv)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GAsyncResult) opened = NULL, answered = NULL, read = NULL;
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (JsonNode) status = NULL;
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  if (argc != 2)
    {
      g_printerr ("usage: qmp-example SOCKET\n");
      return 2;
    }

  address = g_unix_socket_address_new (argv[1]);
  qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, DEADLINE_MS, NULL,
                            done, &opened);
  client = qmp_client_open_finish (await (&opened), &error);
  if (client == NULL)
    {
      g_printerr ("qmp-example: %s\n", error->message);
      return 1;
    }

  qmp_client_execute_async (client, "query-status", NULL, DEADLINE_MS, NULL, done, &answered);
  status = qmp_client_execute_finish (client, await (&answered), NULL);
  g_print ("QEMU %s, %s\n", qmp_client_get_version (client),
           status != NULL && JSON_NODE_HOLDS_OBJECT (status) ? "with a guest" : "without a guest");

  qmp_graph_read_async (client, DEADLINE_MS, NULL, done, &read);
  graph = qmp_graph_read_finish (await (&read), &error);
  if (graph == NULL)
    {
      g_printerr ("qmp-example: %s\n", error->message);
      return 1;
    }

  for (guint i = 0; i < qmp_graph_get_nodes (graph)->len; i++)
    {
      QmpNode *node = g_ptr_array_index (qmp_graph_get_nodes (graph), i);

      g_print ("%s: %s %s%s%s\n", node->name, node->driver, node->filename,
               node->backing != NULL ? " over " : "",
               node->backing != NULL ? node->backing->name : "");
    }
  return 0;
}
