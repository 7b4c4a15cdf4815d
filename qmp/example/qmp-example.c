/* SPDX-License-Identifier: Apache-2.0 */

/* Prints what a QEMU is and how its block nodes lie on each other.
 *
 *   cc -o qmp-example qmp-example.c $(pkg-config --cflags --libs libqmp)
 *   ./qmp-example /run/guest.qmp
 */

#include <gio/gunixsocketaddress.h>
#include <qmp/qmp.h>

#define DEADLINE_MS 5000

static int status = -1;         /* of the program, once it is known */

static void
fail (GError *error)
{
  g_printerr ("qmp-example: %s\n", error->message);
  g_error_free (error);
  status = 1;
}

static void
graph_read (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (QmpClient) client = user_data;
  GError *error = NULL;
  g_autoptr (QmpGraph) graph = qmp_graph_read_finish (result, &error);

  if (graph == NULL)
    {
      fail (error);
      return;
    }

  for (guint i = 0; i < qmp_graph_get_nodes (graph)->len; i++)
    {
      QmpNode *node = g_ptr_array_index (qmp_graph_get_nodes (graph), i);

      g_print ("%s: %s %s%s%s\n", node->name, node->driver, node->filename,
               node->backing != NULL ? " over " : "",
               node->backing != NULL ? node->backing->name : "");
    }
  status = 0;
}

static void
connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;
  QmpClient *client = qmp_client_open_finish (result, &error);

  if (client == NULL)
    {
      fail (error);
      return;
    }

  g_print ("QEMU %s\n", qmp_client_get_version (client));
  qmp_graph_read_async (client, DEADLINE_MS, NULL, graph_read, client);
}

int
main (int argc, char **argv)
{
  g_autoptr (GSocketAddress) address = NULL;

  if (argc != 2)
    {
      g_printerr ("usage: qmp-example SOCKET\n");
      return 2;
    }

  address = g_unix_socket_address_new (argv[1]);
  qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, DEADLINE_MS, NULL,
                            connected, NULL);
  while (status < 0)
    g_main_context_iteration (NULL, TRUE);
  return status;
}
