/* SPDX-License-Identifier: Apache-2.0 */

/* The client with real monitors. */

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include <gio/gunixsocketaddress.h>
#include <qmp/qmp.h>

#include "live.h"
#include "sync.h"

static void
test_session (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;
  const char *pid;

  if (live == NULL)
    return;
  pid = g_subprocess_get_identifier (live->process);
  g_assert_cmpint (qmp_client_get_peer_pid (live->client), ==, g_ascii_strtoll (pid, NULL, 10));
  g_assert_true (qmp_client_has_oob (live->client));
  g_assert_true (g_ascii_isdigit (qmp_client_get_version (live->client)[0]));

  value = sync_execute (live->client, "query-named-block-nodes", qmp_args ("flat", "b", TRUE, NULL),
                        &error);
  g_assert_no_error (error);
  g_assert_cmpuint (json_array_get_length (json_node_get_array (value)), ==, 0);

  g_assert_null (sync_execute (live->client, "blockdev-del",
                               qmp_args ("node-name", "s", "a \"b\" \u20ac", NULL), &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND);
  g_assert_cmpstr (qmp_error_get_class (error), ==, "GenericError");
  /* QEMU read the name as it was meant. */
  g_assert_nonnull (strstr (qmp_error_get_description (error), "a \"b\" \u20ac"));
  g_clear_error (&error);

  g_assert_null (sync_execute (live->client, "make-coffee", NULL, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
  g_assert_true (qmp_client_is_open (live->client));
}

static void
test_many_in_flight (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  GAsyncResult *results[100] = { NULL };

  if (live == NULL)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    qmp_client_execute_async (live->client, i % 2 == 0 ? "query-jobs" : "make-coffee", NULL, 10000,
                              NULL, sync_done, &results[i]);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) value = NULL;

      sync_wait (&results[i]);
      value = qmp_client_execute_finish (live->client, results[i], &error);
      g_assert_cmpint (value != NULL, ==, i % 2 == 0);
      if (value == NULL)
        g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
      g_object_unref (results[i]);
    }
}

static void
test_second_client_hears_nothing (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  if (live == NULL)
    return;
  address = g_unix_socket_address_new (live->socket);
  qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, 200, NULL,
                            sync_done, &result);
  sync_wait (&result);
  g_assert_null (qmp_client_open_finish (result, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_NO_GREETING);
  g_assert_nonnull (strstr (error->message, live->socket));
  g_assert_nonnull (strstr (error->message, "serves one client at a time"));
  g_clear_error (&error);

  value = sync_execute (live->client, "query-jobs", NULL, &error);
  g_assert_no_error (error);
}

/* As many clients as a socket's queue takes, and one more, who cannot even connect. */
static void
test_full_queue_of_clients (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (GSocketAddress) address = NULL;
  GAsyncResult *results[8] = { NULL };
  guint refused = 0;

  if (live == NULL)
    return;
  address = g_unix_socket_address_new (live->socket);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, 200, NULL,
                              sync_done, &results[i]);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;

      sync_wait (&results[i]);
      g_assert_null (qmp_client_open_finish (results[i], &error));
      g_assert_error (error, QMP_ERROR, QMP_ERROR_NO_GREETING);
      if (strstr (error->message, "others wait for it already") != NULL)
        refused++;
      g_object_unref (results[i]);
    }
  g_assert_cmpuint (refused, >, 0);
}

static void
on_closed (QmpClient     *client,
           const GError  *reason,
           GError       **place)
{
  g_assert_null (*place);
  *place = g_error_copy (reason);
}

static void
test_killed (gconstpointer data)
{
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (QmpListener) listener = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) reason = NULL;

  if (live == NULL)
    return;
  g_signal_connect (live->client, "closed", G_CALLBACK (on_closed), &reason);
  listener = qmp_listener_new (live->client, NULL, NULL, NULL, NULL);
  /* g_subprocess_send_signal() leaves it to another thread: it may come after the answer. */
  g_assert_no_errno (kill (qmp_client_get_peer_pid (live->client), SIGKILL));
  qmp_client_execute_async (live->client, "query-jobs", NULL, 10000, NULL, sync_done, &result);
  sync_wait (&result);
  g_assert_null (qmp_client_execute_finish (live->client, result, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_clear_error (&error);
  g_assert_null (sync_next (listener, 10000, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  sync_settle ();
  g_assert_error (reason, QMP_ERROR, QMP_ERROR_LINK);
}

/* The events of a job, all of them, though they come before its command is answered. */
static void
test_events (gconstpointer data)
{
  static const char *const names[] = { "JOB_STATUS_CHANGE", NULL };
  static const char *const states[] = { "created", "running", "waiting", "pending", "concluded",
                                        "null" };
  g_autoptr (Live) live = live_storage (data);
  g_autoptr (QmpListener) listener = NULL;

  if (live == NULL)
    return;
  live_img (live, "create -q -f raw a 1M");
  live_run (live, "blockdev-add", "{'driver': 'file', 'node-name': 'a', 'filename': 'a'}");
  listener = qmp_listener_new (live->client, names, NULL, NULL, NULL);
  live_run (live, "blockdev-create", "{'job-id': 'j', 'options': {'driver': 'qcow2', 'file': 'a', "
                                     "'size': 1048576}}");
  for (guint i = 0; i < G_N_ELEMENTS (states); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (QmpEvent) event = sync_next (listener, 10000, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (json_object_get_string_member (event->data, "id"), ==, "j");
      g_assert_cmpstr (json_object_get_string_member (event->data, "status"), ==, states[i]);
      g_assert_cmpint (ABS (event->timestamp_us - g_get_real_time ()), <, G_USEC_PER_SEC * 60);
      if (strcmp (states[i], "concluded") == 0)
        live_run (live, "job-dismiss", "{'id': 'j'}");
    }
}

/* A monitor on an end of a socketpair that the process inherits. */
static void
test_passed_descriptor (gconstpointer data)
{
  const LivePrograms *programs = data;
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (JsonNode) value = NULL;
  g_autoptr (GError) error = NULL;
  int ends[2];

  if (programs->storage_daemon == NULL)
    {
      g_test_skip ("needs an installed qemu-storage-daemon");
      return;
    }
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  g_subprocess_launcher_take_fd (launcher, ends[0], 3);
  process = g_subprocess_launcher_spawn (launcher, &error, programs->storage_daemon,
                                         "--chardev", "socket,id=m,fd=3",
                                         "--monitor", "chardev=m", NULL);
  g_assert_no_error (error);
  g_clear_object (&launcher);

  socket = g_socket_new_from_fd (ends[1], &error);
  g_assert_no_error (error);
  connection = g_socket_connection_factory_create_connection (socket);
  qmp_client_adopt_async (G_IO_STREAM (connection), QMP_DIALECT_MONITOR, 10000, NULL, sync_done,
                          &result);
  sync_wait (&result);
  client = qmp_client_open_finish (result, &error);
  g_assert_no_error (error);
  value = sync_execute (client, "quit", NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (process, NULL, &error));
  g_assert_no_error (error);
}

int
main (int    argc,
      char **argv)
{
  guint n;

  g_test_init (&argc, &argv, NULL);

  live_add_test ("/client-live/session", test_session);
  live_add_test ("/client-live/many-in-flight", test_many_in_flight);
  live_add_test ("/client-live/second-client-hears-nothing", test_second_client_hears_nothing);
  live_add_test ("/client-live/full-queue-of-clients", test_full_queue_of_clients);
  live_add_test ("/client-live/killed", test_killed);
  live_add_test ("/client-live/events", test_events);
  /* An unpacked one is started through a wrapper, which passes no descriptors on. */
  g_test_add_data_func ("/client-live/passed-descriptor", live_programs (&n),
                        test_passed_descriptor);

  return g_test_run ();
}
